"""`python -m harness.cli`: what the launcher `./assay` runs after set-up."""

from __future__ import annotations

import sys

from harness.terminal.output import guard_output

if __name__ == "__main__":
    guard_output(only_lists=True)  # before the first file is opened, which might get a closed stream's number
    from harness.cli.app import main

    sys.exit(main())
