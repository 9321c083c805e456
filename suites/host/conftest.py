"""Property tests have no deadline an example: how fast this machine is, is no property of what they test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("assay", deadline=None)
settings.load_profile("assay")
