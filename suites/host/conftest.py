"""Property tests have no deadline per example: the machine's speed is not a property of what they test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("assay", deadline=None)
settings.load_profile("assay")
