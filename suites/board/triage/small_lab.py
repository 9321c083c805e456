"""A lab of a test's own: its leases apart from the machine's, and a QEMU that can be made sick."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SICK_QEMU = """#!/bin/sh
# Counts its starts; while the flag is there, boots a kernel that is none, whatever it was asked to boot.
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
    """A lab in a folder: `sicken` makes every board that is powered on from then on a silent one."""

    folder: Path

    @property
    def starts(self) -> int:
        """How many boards were powered on."""
        path = self.folder / "starts"
        return len(path.read_text().splitlines()) if path.is_file() else 0

    def sicken(self) -> None:
        (self.folder / "sick").touch()

    def heal(self) -> None:
        (self.folder / "sick").unlink()

    @classmethod
    def make(cls, folder: Path) -> Self:
        """A lab in `folder`, which is made."""
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
        """What makes a process use this lab."""
        return {"ASSAY_QEMU": str(self.folder / "qemu"), "ASSAY_LEASES": str(self.folder / "leases")}
