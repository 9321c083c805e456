"""The kernel of a board: built from its firmware folder for the baud rate and clock in its board file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from contracts.board import BoardSpec
from contracts.errors import BuildError
from harness.kernel.build import FIRMWARE, KernelImage, Variant, build_kernel

_UART = FIRMWARE / "drivers" / "uart.c"


def _default(name: str, path: Path) -> int:
    """A macro's value in the firmware. Raises BuildError if it is not defined there."""
    try:
        found = re.search(rf"^#define {name}\s+(\d+)u?\b", path.read_text("utf-8"), re.MULTILINE)
    except OSError as error:
        raise BuildError(
            f"{path} cannot be read", expected="the firmware's source", seen=str(error)
        ) from error
    if found is None:
        raise BuildError(f"{path} does not define {name}", expected=f"#define {name} NUMBER", seen="nothing")
    return int(found[1])


def line_defines(spec: BoardSpec) -> dict[str, str]:
    """The macros of the serial line that differ from the firmware's defaults; usually none."""
    defines = {}
    if spec.baud != _default("UART_BAUD", _UART):
        defines["UART_BAUD"] = f"{spec.baud}u"
    board = FIRMWARE / "boards" / spec.firmware / "board.h"
    if spec.uart_hz is not None and board.is_file() and spec.uart_hz != _default("UART_CLOCK_HZ", board):
        defines["UART_CLOCK_HZ"] = f"{spec.uart_hz}u"
    return defines


def kernel_for(
    spec: BoardSpec,
    variant: Variant = "release",
    *,
    key: Path | None = None,
    extra_defines: Mapping[str, str] | None = None,
) -> KernelImage:
    """Build the kernel for a board of type `spec`; reuses the files of the last build if nothing changed.

    `key` is a lab key file (None: the development key), `extra_defines` are C macros. Raises ConfigError for an unknown
    board or key, SetupError if a source distribution is not available, BuildError if the sources do not build.
    """
    defines = line_defines(spec) | dict(extra_defines or {})
    return build_kernel(spec.firmware, variant=variant, key=key, extra_defines=defines or None)
