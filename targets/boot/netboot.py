"""Boot method `netboot`: installs kernel and config.txt in the folder that a Raspberry Pi 4 loads over TFTP."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, Field

from contracts.board import BoardSpec
from contracts.errors import InfraError
from targets.options import LocatedPath, Options

KERNEL: Final = "kernel8.img"
CONFIG: Final = "config.txt"
DEFAULT_UART_HZ: Final = 48_000_000
_MODE: Final = 0o644  # the TFTP server runs as another user

# Settings of the Pi's own firmware that the kernel needs. 64-bit kernels load at 0x200000 by default; Bluetooth uses
# the PL011 unless disabled; the UART clock is set before the kernel starts.
_CONFIG: Final = """\
# Written by Assay before each boot: add your own lines to the board file, `boot: config`.
[all]
arm_64bit=1
kernel={kernel}
kernel_address=0x80000
enable_uart=1
init_uart_clock={uart_hz}
dtoverlay=disable-bt
enable_gic=1
"""


class NetbootOptions(Options):
    """`folder`: the board's folder on the TFTP server; `firmware`: files of the manufacturer that must be in it."""

    folder: LocatedPath
    firmware: list[Annotated[str, Field(pattern=r"^[^/]+$")]] = Field(default=[])
    config: list[Annotated[str, Field(pattern=r"^[^\n\r]*$")]] = Field(default=[])


def _lay(folder: Path, name: str, data: bytes) -> None:
    """Write a file atomically: a server that reads it at the same time sends the old or the new content."""
    fd, partial = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), _MODE)
        Path(partial).replace(folder / name)
    except BaseException:
        with suppress(OSError):
            Path(partial).unlink()
        raise


class NetbootBoot:
    """A folder below a TFTP server's root."""

    Options: ClassVar[type[BaseModel]] = NetbootOptions

    def __init__(self, options: BaseModel) -> None:
        assert isinstance(options, NetbootOptions)
        self.options = options

    def check(self) -> None:
        """Raise InfraError for a folder that is missing or cannot be written, and for missing firmware."""
        folder = self.options.folder
        if not folder.is_dir():
            raise InfraError(
                f"the TFTP folder {folder} is missing",
                expected="the folder that the TFTP server serves to this board",
                seen="a file" if folder.exists() else "nothing",
                do="mount or create it, or correct `boot: folder` of this place",
            )
        try:
            fd, probe = tempfile.mkstemp(dir=folder, prefix=".assay.")
            os.close(fd)
            Path(probe).unlink()
        except OSError as error:
            raise self._unwritable(error) from error
        gone = [name for name in self.options.firmware if not (folder / name).is_file()]
        if gone:
            raise InfraError(
                f"the TFTP folder {folder} lacks the board's own firmware",
                expected=", ".join(self.options.firmware),
                seen=f"no {', '.join(gone)}",
                do="copy them from the firmware of the board's manufacturer (on a Raspberry Pi: /boot/firmware)",
            )

    def _unwritable(self, error: OSError) -> InfraError:
        return InfraError(
            f"the TFTP folder {self.options.folder} cannot be written",
            expected="a folder that this user may write, with free space",
            seen=str(error),
            do="correct its owner or permissions (is it mounted read-only?), or free space",
        )

    def lay(self, spec: BoardSpec, kernel: Path) -> None:
        """Install kernel and config.txt, each atomically. Raises InfraError."""
        self.check()
        text = _CONFIG.format(kernel=KERNEL, uart_hz=spec.uart_hz or DEFAULT_UART_HZ)
        text += "".join(f"{line}\n" for line in self.options.config)
        try:
            _lay(self.options.folder, KERNEL, kernel.read_bytes())
            _lay(self.options.folder, CONFIG, text.encode())
        except OSError as error:
            raise self._unwritable(error) from error
