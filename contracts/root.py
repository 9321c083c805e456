"""The location of the project's files, computed only here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
"""The repository's root: the folder that holds `lab-config/`, `firmware/`, `suites/`, `results/`."""
