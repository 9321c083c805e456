"""Kernel addresses as symbols: the functions of a kernel ELF, for fault reports and disassembly."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from contracts.errors import BuildError

_KERNEL_ADDRESS: Final = re.compile(r"(?:0x)?ffff8000[0-9a-f]{8}\b")
_REACH: Final = 64 * 1024  # an address this far after the last symbol is not in kernel code


@dataclass(frozen=True, slots=True)
class Symbols:
    """The symbols of one kernel: ascending `addresses` and the matching `names`."""

    addresses: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, elf: Path) -> Self:
        """Read the symbols of `elf`. Raises BuildError if it is not an ELF with a symbol table."""
        try:
            with elf.open("rb") as stream:
                table = ELFFile(stream).get_section_by_name(".symtab")
                if not isinstance(table, SymbolTableSection):
                    raise ELFError("no symbol table")
                found = {
                    symbol["st_value"]: symbol.name
                    for symbol in table.iter_symbols()
                    if symbol.name
                    and not symbol.name.startswith("$")
                    and symbol["st_info"]["type"] in ("STT_FUNC", "STT_NOTYPE")
                }
        except (OSError, ELFError) as error:
            raise BuildError(
                f"{elf} has no symbols",
                expected="a kernel ELF built by harness.kernel.build",
                seen=str(error),
                do="build the kernel again",
            ) from error
        ordered = sorted(found)
        return cls(tuple(ordered), tuple(found[address] for address in ordered))

    def name(self, address: int) -> str:
        """`function+0x1c`, or the hexadecimal address if there is no symbol close below it."""
        index = bisect_right(self.addresses, address) - 1
        if index < 0 or address - self.addresses[index] > _REACH:
            return f"{address:#x}"
        offset = address - self.addresses[index]
        return self.names[index] + (f"+{offset:#x}" if offset else "")

    def backtrace(self, addresses: Iterable[int]) -> list[str]:
        """Names of a fault report's backtrace, innermost first, without zeros (unused entries).

        All but the first are return addresses: the names are those of the call, one instruction before.
        """
        given = [address for address in addresses if address]
        return [self.name(address if depth == 0 else address - 4) for depth, address in enumerate(given)]

    def annotate(self, text: str) -> str:
        """`text` (a fault report) with a name in parentheses after each address in kernel code."""

        def named(match: re.Match[str]) -> str:
            name = self.name(int(match[0], 16))
            return match[0] if name.startswith("0x") else f"{match[0]} ({name})"

        return _KERNEL_ADDRESS.sub(named, text)
