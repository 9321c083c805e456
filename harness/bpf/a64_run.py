"""Runs a program's JIT code on the A64 model, with the engine's own maps and helpers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.ebpf.helpers import HELPERS
from contracts.ebpf.hooks import hook_row
from harness.bpf.a64_model import Machine, Region
from harness.bpf.native import Loaded, foreign
from harness.bpf.native_context import context_of

CODE_VA = 0xFFFF_8000_0100_0000
_STACK_SIZE = 8192


@dataclass(frozen=True, slots=True)
class A64Run:
    """One call of the emitted code, first to last instruction; helpers count as the instruction that calls them.

    `visits` counts how often the instruction at each byte offset ran.
    """

    r0: int
    emitted: int
    executed: int
    memory: bytes
    visits: dict[int, int]


def _caller(ffi: Any, address: Any) -> Callable[[Machine], int]:
    function = ffi.cast("uint64_t (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t)", address)
    return lambda machine: int(function(*(machine.get(r) for r in range(5))))


def near_helpers(loaded: Loaded) -> int:
    """An address for code from which BL reaches the helpers of this process."""
    ffi = foreign()
    return (int(ffi.cast("uintptr_t", loaded.lib.bpf_helper_address(1))) & ~0xFFF) - (64 << 20)


def run_a64(
    loaded: Loaded,
    memory: bytes = b"",
    *,
    code_va: int = CODE_VA,
    ktime_ns: int = 0,
    seed: int = 0,
    period_ns: int = 0,
    fill: int = 0,
    fuel: int = 1_000_000,
    context_values: Mapping[str, int] | None = None,
) -> A64Run:
    """Emits and runs `loaded` once; the arguments, including `memory`, are those of `Loaded.interpret`.

    Raises ModelFault for an access outside the program's memory, an unknown word, or lost callee-saved registers.
    """
    ffi, lib = foreign(), loaded.lib
    data = ffi.new("uint64_t[]", len(memory) // 8 + 1)
    ffi.memmove(data, memory, len(memory))
    stack = ffi.new("uint8_t[]", bytes([fill]) * (_STACK_SIZE + 16))
    at = int(ffi.cast("uintptr_t", data))
    stack_top = int(ffi.cast("uintptr_t", stack)) + _STACK_SIZE & ~0xF
    blocks = [
        (data, len(memory)),
        (stack, _STACK_SIZE),
        *((m.memory, ffi.sizeof(m.memory)) for m in loaded.maps),
    ]
    arguments = [at, len(memory)]
    row = hook_row(loaded.program.hook)
    if row.context is not None:
        values = {"now_ns": ktime_ns, "period_ns": period_ns, **(context_values or {})}
        context = context_of(ffi, row.context, at, len(memory), values)
        blocks.append((context, ffi.sizeof(f"struct {row.context.kernel}")))
        arguments = [int(ffi.cast("uintptr_t", context))]
    regions = [
        Region(int(ffi.cast("uintptr_t", block)), ffi.buffer(block, size)) for block, size in blocks if size
    ]
    helpers = {helper.number: lib.bpf_helper_address(helper.number) for helper in HELPERS}
    calls = {int(ffi.cast("uintptr_t", address)): _caller(ffi, address) for address in helpers.values()}
    lib.native_set_ktime(ktime_ns)
    lib.native_set_seed(seed)
    emitted = loaded.emit_arm64(code_va)
    machine = Machine(emitted.code, code_va, regions, calls)
    r0 = machine.run(arguments, stack_top, fuel)
    return A64Run(
        r0,
        len(emitted.code) // 4,
        machine.executed,
        bytes(ffi.buffer(data, len(memory))),
        dict(machine.visits),
    )
