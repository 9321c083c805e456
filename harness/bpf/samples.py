"""Small extensions for tests and benches: each shows one effect of a program on the kernel."""

from __future__ import annotations

from typing import Final

from contracts.ebpf.hooks import hook_row
from contracts.program import Hook, MapDef, MapFlags, MapType, Program
from harness.bpf.asm import (
    DW,
    FP,
    R0,
    R1,
    R2,
    R6,
    Item,
    Label,
    Reg,
    W,
    add64,
    assemble,
    call,
    exit_,
    ja,
    jump,
    ld_map,
    ld_map_value,
    lddw,
    ldx,
    mov64,
    st,
    stx,
)

MAP_LOOKUP: Final = 1
KTIME_GET_NS: Final = 5
PRANDOM_U32: Final = 7

_VERDICTS: Final = dict(hook_row(Hook.NET_RX).verdicts)
XDP_ABORTED: Final = _VERDICTS["XDP_ABORTED"]
XDP_DROP: Final = _VERDICTS["XDP_DROP"]
XDP_PASS: Final = _VERDICTS["XDP_PASS"]
XDP_TX: Final = _VERDICTS["XDP_TX"]


def answer(value: int, hook: Hook = Hook.NET_RX, name: str = "answer") -> Program:
    """Returns `value` and does nothing else."""
    return Program(name, hook, assemble([mov64(R0, value), exit_()]))


def counter(
    *,
    name: str = "counter",
    map_name: str = "calls",
    step: int = 1,
    value_size: int = 8,
    flags: int = MapFlags.NONE,
    hook: Hook = Hook.NET_RX,
    verdict: int = XDP_PASS,
) -> Program:
    """Adds `step` to the first word of an array map's one value at every call."""
    code: list[Item] = [ld_map_value(R1, 0), ldx(DW, R2, R1), add64(R2, step), stx(DW, R1, 0, R2)]
    definition = MapDef(map_name, MapType.ARRAY, 4, value_size, 1, flags)
    return Program(name, hook, assemble([*code, mov64(R0, verdict), exit_()]), (definition,))


def frozen(value: int) -> Program:
    """Returns the first word of its own frozen map."""
    definition = MapDef(".rodata", MapType.ARRAY, 4, 8, 1, MapFlags.RDONLY_PROG, value.to_bytes(8, "little"))
    return Program(
        "frozen", Hook.NET_RX, assemble([ld_map_value(R1, 0), ldx(DW, R0, R1), exit_()]), (definition,)
    )


def tally_by_lookup(entries: int = 8) -> Program:
    """Counts in entry 0 of an array map through the lookup helper, as a compiler writes it."""
    code: list[Item] = [
        st(W, FP, -4, 0),
        mov64(R2, Reg(FP)),
        add64(R2, -4),
        ld_map(R1, 0),
        call(MAP_LOOKUP),
        jump("jeq", R0, 0, "out"),
        ldx(DW, R1, R0),
        add64(R1, 1),
        stx(DW, R0, 0, R1),
        Label("out"),
        mov64(R0, XDP_PASS),
        exit_(),
    ]
    return Program("tally", Hook.NET_RX, assemble(code), (MapDef("tally", MapType.ARRAY, 4, 8, entries),))


def record_time(hook: Hook = Hook.TIMER) -> Program:
    """Stores the virtual time of its last call in entry 0, and a random number in entry 1."""
    code: list[Item] = [
        ld_map_value(R6, 0),
        call(KTIME_GET_NS),
        stx(DW, R6, 0, R0),
        call(PRANDOM_U32),
        stx(DW, R6, 8, R0),
        mov64(R0, XDP_PASS),
        exit_(),
    ]
    return Program("clock", hook, assemble(code), (MapDef("clock", MapType.ARRAY, 4, 16, 1),))


# --- for testing kernels only: no verifier accepts these ---------------------------------------------------------


def wild_load(address: int = 0x10, hook: Hook = Hook.NET_RX) -> Program:
    """Reads where nothing is mapped."""
    return Program("wild", hook, assemble([lddw(R1, address), ldx(DW, R0, R1), exit_()]))


def endless(hook: Hook = Hook.NET_RX) -> Program:
    """Loops for ever without a call."""
    return Program("endless", hook, assemble([Label("on"), ja("on"), exit_()]))


def endless_in_helpers(hook: Hook = Hook.NET_RX, moves: int = 0) -> Program:
    """Loops for ever, mostly inside a helper; with `moves` additional instructions per iteration."""
    work = [mov64(R2, n) for n in range(moves)]
    return Program("busy", hook, assemble([Label("on"), call(KTIME_GET_NS), *work, ja("on"), exit_()]))


def helper_given_nonsense(address: int = 0x10, hook: Hook = Hook.NET_RX) -> Program:
    """Passes an invalid map to a helper: the kernel itself faults."""
    return Program(
        "nonsense", hook, assemble([lddw(R1, address), lddw(R2, address), call(MAP_LOOKUP), exit_()])
    )
