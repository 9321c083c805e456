"""C files of the engine that rows name: `python -m contracts.ebpf.sources` prints one per line, for meson."""

from __future__ import annotations

import sys

from contracts.ebpf.helpers import HELPERS
from contracts.ebpf.maps import MAP_KINDS


def row_sources() -> list[str]:
    """Names of files in `firmware/bpf`, sorted."""
    return sorted({row.source for row in (*HELPERS, *MAP_KINDS)})


if __name__ == "__main__":
    sys.stdout.write("\n".join(row_sources()) + "\n")
