"""Barriers and cache maintenance, which an emulator does not check, verified in the built kernel."""

from __future__ import annotations

from typing import Final

import capstone
import pytest
from elftools.elf.elffile import ELFFile

from harness.kernel.build import build_kernel
from harness.kernel.symbols import Symbols

MAINTENANCE: Final = ("dc", "ic", "tlbi", "dsb", "isb")


def maintenance_of(function: str) -> list[str]:
    """The cache, TLB and barrier instructions of a kernel function, in order."""
    elf = build_kernel("qemu-rpi4").elf
    symbols = Symbols.of(elf)
    start = symbols.addresses[symbols.names.index(function)]
    end = min(address for address in symbols.addresses if address > start)
    with elf.open("rb") as stream:
        text = ELFFile(stream).get_section_by_name(".text")
        assert text is not None
        code = text.data()[start - text["sh_addr"] : end - text["sh_addr"]]
    listing = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM).disasm(code, start)
    return [
        " ".join([i.mnemonic, *i.op_str.split(",")[:1]]).strip() for i in listing if i.mnemonic in MAINTENANCE
    ]


@pytest.mark.parametrize(
    ("function", "sequence"),
    [
        # ARM DDI 0487 B2.4.4: clean to PoU, wait, invalidate, wait, synchronise.
        ("vm_publish_code", ["dc cvau", "dsb ish", "ic ivau", "dsb ish", "isb"]),
        # D8.14.5: the invalid descriptor is visible before the TLB invalidation, which completes before execution goes on.
        ("vm_unmap_alias", ["dsb ishst", "tlbi vaae1is", "dsb ish", "isb"]),
        ("vm_map_rw_alias", ["dsb ishst", "isb"]),
    ],
)
def test_the_sequence_is_the_manuals(function: str, sequence: list[str]) -> None:
    assert maintenance_of(function) == sequence


def test_the_mmu_goes_on_with_nothing_stale() -> None:
    """Page tables and instructions: invalidated, completed and synchronised before SCTLR_EL1.M is written."""
    assert maintenance_of("enable_mmu") == ["dsb ish", "tlbi vmalle1", "ic iallu", "dsb ish", "isb", "isb"]
    assert maintenance_of("invalidate_boot_data") == ["dc ivac", "dsb sy"]
