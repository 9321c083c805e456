"""`assay bench [NAME ...]`: every performance figure with its goal and its clock."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

from contracts.errors import AssayError
from harness.machine.interrupt import INTERRUPTED, interrupting
from harness.terminal.output import guard_output

# In order of duration; each module has `main() -> int`, 0 if every goal was met.
BENCHES: Final = ("report", "channel", "live", "jit", "model", "loop", "lab")


def main(arguments: list[str]) -> int:
    """Run the named benches, or all of them. Returns 1 if one missed a goal, 4 for an unknown name, 130 when ended."""
    here = Path(__file__).parent
    known = [name for name in BENCHES if (here / f"{name}.py").is_file()]
    unknown = [name for name in arguments if name not in known]
    if unknown:
        print(f"bench: no bench {', '.join(unknown)}; known: {', '.join(known)}", file=sys.stderr)
        return 4
    worst = 0
    for name in arguments or known:
        print(f"== {name}", flush=True)
        try:
            code = importlib.import_module(f"suites.bench.{name}").main()
        except KeyboardInterrupt:
            print(f"bench {name}: interrupted", file=sys.stderr)
            return INTERRUPTED
        except AssayError as error:
            print(f"bench {name}: {error}", file=sys.stderr)
            code = error.exit_code
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    guard_output()
    with interrupting():
        sys.exit(main(sys.argv[1:]))
