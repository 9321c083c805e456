"""The part of DWARF that messages need: the file and line that declare a variable, which BTF does not contain."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


def shown_path(path: str) -> str:
    """A file of debug information as named in messages: relative to the working directory if it is inside."""
    if path.endswith("<stdin>"):
        return "<stdin>"
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def declared_at(elf: bytes, symbol: str) -> str:
    """`file:line` of the declaration of a symbol, empty if the object has none: it may be stripped or damaged.

    clang names a static variable of a function `function.variable`, and the parts of a split one `variable.0`.
    """
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    names = {symbol, symbol.rpartition(".")[2], symbol.partition(".")[0]}
    try:
        info = ELFFile(io.BytesIO(elf)).get_dwarf_info(relocate_dwarf_sections=True)
        found = [place for unit in info.iter_CUs() for place in _declarations(info, unit, names)]
    except (
        ELFError,
        DWARFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        OverflowError,
        MemoryError,
        RecursionError,
        AssertionError,
    ):  # what pyelftools raises for a damaged section
        return ""
    exact = [place for name, place in found if name == symbol]
    return next(iter(exact or [place for _, place in found]), "")


def _declarations(info: Any, unit: Any, names: set[str]) -> list[tuple[str, str]]:
    lines = info.line_program_for_CU(unit)
    files = lines["file_entry"]
    folders = [folder.decode("utf-8", "replace") for folder in lines["include_directory"]]
    found = []
    for entry in unit.iter_DIEs():
        attributes = entry.attributes
        if entry.tag != "DW_TAG_variable" or not {"DW_AT_name", "DW_AT_decl_line"} <= attributes.keys():
            continue
        name = attributes["DW_AT_name"].value.decode("utf-8", "replace")
        if name in names:
            file = files[attributes["DW_AT_decl_file"].value]
            path = Path(folders[file.dir_index]) / file.name.decode("utf-8", "replace")
            found.append((name, f"{shown_path(str(path))}:{attributes['DW_AT_decl_line'].value}"))
    return found
