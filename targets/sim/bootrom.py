"""Models how a Raspberry Pi 4's firmware uses a TFTP folder: find its own files, read config.txt, select a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FIRMWARE: Final = ("start4.elf", "fixup4.dat")
LOAD_ADDRESS: Final = 0x80000
"""Load address of a raw image on QEMU's `raspi4b`; on silicon 64-bit kernels load at 0x200000 by default."""

_FILTERS: Final = ("all", "pi4")
_STAND_IN: Final = (
    "Placeholder for {name} of the Raspberry Pi's firmware; the simulator needs only its name.\n"
)


class NoBootError(Exception):
    """The board would not boot; the message says why."""


def lay_firmware(folder: Path) -> None:
    """Create placeholders for the manufacturer's files where they are expected."""
    for name in FIRMWARE:
        (folder / name).write_text(_STAND_IN.format(name=name))


def settings(text: str) -> dict[str, str]:
    """The settings of a config.txt that apply to a Pi 4: `key=value` lines, filters, comments; a later one wins."""
    found: dict[str, str] = {}
    holds = True
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            holds = line[1:-1].strip().lower() in _FILTERS
        elif holds and "=" in line:
            key, _, value = line.partition("=")
            found[key.strip()] = value.strip()
    return found


def choose_kernel(folder: Path) -> Path:
    """The kernel that `folder` boots. Raises NoBootError with what is missing or wrong."""
    gone = [name for name in FIRMWARE if not (folder / name).is_file()]
    if gone:
        raise NoBootError(f"no {', '.join(gone)} in {folder}")
    try:
        config = settings((folder / "config.txt").read_text("utf-8", "replace"))
    except OSError:
        raise NoBootError(f"no config.txt in {folder}") from None
    if config.get("arm_64bit", "0") != "1":
        raise NoBootError("config.txt lacks arm_64bit=1: the cores would start in 32-bit state")
    try:
        address = int(config.get("kernel_address", "0x200000"), 0)
    except ValueError:
        raise NoBootError(f"config.txt: kernel_address={config['kernel_address']} is not a number") from None
    if address != LOAD_ADDRESS:
        raise NoBootError(f"config.txt loads the kernel at {address:#x}; it is linked for {LOAD_ADDRESS:#x}")
    if config.get("enable_uart", "0") != "1":
        raise NoBootError("config.txt lacks enable_uart=1: the serial line would stay silent")
    kernel = folder / config.get("kernel", "kernel8.img")
    if kernel.parent != folder or not kernel.is_file() or kernel.stat().st_size == 0:
        raise NoBootError(f"no kernel {kernel.name} in {folder}")
    return kernel
