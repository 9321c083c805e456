"""A process with a running board: prints its place, QEMU's process id and the epoch, then echoes on request."""

from __future__ import annotations

import json
import sys
from typing import Any

from contracts.errors import AssayError
from harness.boards.board import open_board
from harness.boards.registry import select_one
from harness.config.keys import load_key
from harness.kernel.build import build_kernel


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    spec = select_one(sys.argv[1])
    with open_board(spec, load_key(None), build_kernel(spec.firmware, variant="release")) as board:
        say({"place": board.lease.place.name, "qemu": board.pid, "epoch": board.epoch})
        for line in sys.stdin:
            try:
                say({"echo": board.client.echo(line.strip().encode()).decode()})
            except AssayError as error:
                say({"error": type(error).__name__, "text": str(error)})
                return


if __name__ == "__main__":
    main()
