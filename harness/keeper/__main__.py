"""`python -m harness.keeper`: what `assay up` starts."""

from __future__ import annotations

import sys

from harness.keeper.process import main

if __name__ == "__main__":
    sys.exit(main())
