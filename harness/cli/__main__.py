"""`python -m harness.cli`: what the launcher `./assay` runs once the machine is set up."""

from __future__ import annotations

import sys

from harness.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
