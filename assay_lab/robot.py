"""The Robot Framework library under its public name: `Library    assay_lab.robot.AssayLibrary`."""

from __future__ import annotations

from harness.robot.library import AssayLibrary

__all__ = ["AssayLibrary"]
