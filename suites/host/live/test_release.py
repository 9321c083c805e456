"""What a release kernel must not contain: the code for testing images."""

from __future__ import annotations

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.kernel.build import build_kernel, known_boards

MARKER = b"testing images accepted"
TESTING_SYMBOLS = {"plant_write", "plant_accept_unverified", "stop_in_mid_frame"}


@pytest.mark.parametrize("board", known_boards())
def test_testing_code_is_in_testing_kernels_only(board: str) -> None:
    seen = {}
    for variant in ("release", "testing"):
        image = build_kernel(board, variant=variant)
        with image.elf.open("rb") as file:
            symbols = ELFFile(file).get_section_by_name(".symtab")
            assert isinstance(symbols, SymbolTableSection)
            names = {symbol.name for symbol in symbols.iter_symbols()}
        seen[variant] = (MARKER in image.img.read_bytes(), sorted(TESTING_SYMBOLS & names))
    assert seen["release"] == (False, [])
    assert seen["testing"] == (True, sorted(TESTING_SYMBOLS))
