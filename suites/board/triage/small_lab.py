"""A test's own lab: separate leases, and a QEMU that can be made sick."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SICK_QEMU = """#!/bin/sh
# Counts its starts; while the flag exists, boots an invalid kernel instead of the requested one.
echo start >> {folder}/starts
[ -e {folder}/sick ] || exec {qemu} "$@"
before=
for word; do
    shift
    [ "$before" = -kernel ] && word={folder}/junk
    set -- "$@" "$word"
    before=$word
done
exec {qemu} "$@"
"""
BRANCH_TO_ITSELF = b"\x00\x00\x00\x14"


@dataclass(frozen=True)
class SmallLab:
    """A lab in a folder: after `sicken` every board that is powered on is silent."""

    folder: Path

    @property
    def starts(self) -> int:
        """Number of boards that were powered on."""
        path = self.folder / "starts"
        return len(path.read_text().splitlines()) if path.is_file() else 0

    def sicken(self) -> None:
        (self.folder / "sick").touch()

    def heal(self) -> None:
        (self.folder / "sick").unlink()

    @classmethod
    def make(cls, folder: Path) -> Self:
        """A lab in `folder`, which is created."""
        folder.mkdir()
        (folder / "junk").write_bytes(BRANCH_TO_ITSELF * 64)
        real = shutil.which(os.environ.get("ASSAY_QEMU", "qemu-system-aarch64"))
        assert real is not None
        program = folder / "qemu"
        program.write_text(SICK_QEMU.format(folder=folder, qemu=real))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that makes a process use this lab."""
        return {"ASSAY_QEMU": str(self.folder / "qemu"), "ASSAY_LEASES": str(self.folder / "leases")}
