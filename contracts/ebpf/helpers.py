"""Helpers. A helper is a row of `HELPERS` and a C function `symbol` in the file of `firmware/bpf` that the row names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from contracts.ebpf.hooks import Hook


class Arg(IntEnum):
    """What an argument register must hold (`enum bpf_arg`)."""

    NONE = 0
    MAP = 1
    KEY = 2
    VALUE = 3
    SCALAR = 4
    MEMORY = 5
    SIZE = 6
    PRINTED = 7


ARG_TEXTS: Final = {
    Arg.NONE: "nothing",
    Arg.MAP: "a map, by lddw",
    Arg.KEY: "readable: key_size bytes of the map",
    Arg.VALUE: "readable: value_size bytes of the map",
    Arg.SCALAR: "a number",
    Arg.MEMORY: "readable: the number of bytes in the next argument",
    Arg.SIZE: "1 to BPF_TRACE_FORMAT_MAX",
    Arg.PRINTED: "a number if the format in r1 consumes it",
}


class Result(IntEnum):
    """What r0 holds after the call (`enum bpf_result`)."""

    SCALAR = 0
    U32 = 1
    VALUE_OR_NULL = 2


RESULT_TEXTS: Final = {
    Result.SCALAR: "a number",
    Result.U32: "a number of 32 bits, zero-extended",
    Result.VALUE_OR_NULL: "a value of the map in r1, or NULL",
}

CLOBBERED: Final = (1, 2, 3, 4, 5)
"""Registers that no helper call preserves: the calling convention of RFC 9669, section 2.1."""

VALUE_COPY_COST: Final = 16
VALUE_WORD_COST: Final = 4
"""Additional cost of a call with a VALUE argument: once, and for every 8 bytes of the value."""


@dataclass(frozen=True, slots=True)
class Helper:
    """One helper, under Linux's number and with Linux's semantics.

    `cost` counts eBPF instructions: A64 instructions of the worst case, rounded up. For a helper on a map it is the
    cost for a kind that searches; each kind states the cost of its operations (`struct bpf_map_ops`). `returns` and
    `parameters` are the C prototype for programs, `args` what the verifier requires of r1 to r5. `hooks` are those
    whose programs may call it; empty: all.
    """

    number: int
    name: str
    returns: str
    parameters: str
    doc: str
    cost: int
    source: str
    args: tuple[Arg, ...] = ()
    result: Result = Result.SCALAR
    writes_map: bool = False
    hooks: frozenset[Hook] = frozenset()

    @property
    def symbol(self) -> str:
        """The C function that implements it: `uint64_t symbol(uint64_t r1, ..., uint64_t r5)`."""
        return f"bpf_helper_{self.name.removeprefix('bpf_')}"

    @property
    def hook_mask(self) -> int:
        """Bit n: programs of hook n may call it."""
        return sum(1 << hook for hook in (self.hooks or frozenset(Hook)))

    @property
    def prototype(self) -> str:
        """The C prototype for programs."""
        star = "" if self.returns.endswith("*") else " "
        return f"{self.returns}{star}{self.name}({self.parameters})"


HELPERS: Final = (
    Helper(
        1,
        "bpf_map_lookup_elem",
        "void *",
        "void *map, const void *key",
        "The value at `key`, or NULL.",
        cost=288,
        source="helper_map.c",
        args=(Arg.MAP, Arg.KEY),
        result=Result.VALUE_OR_NULL,
    ),
    Helper(
        2,
        "bpf_map_update_elem",
        "long",
        "void *map, const void *key, const void *value, u64 flags",
        "Stores a value; `flags` is BPF_ANY, BPF_NOEXIST or BPF_EXIST. 0, or a negative errno.",
        cost=384,
        source="helper_map.c",
        args=(Arg.MAP, Arg.KEY, Arg.VALUE, Arg.SCALAR),
        writes_map=True,
    ),
    Helper(
        3,
        "bpf_map_delete_elem",
        "long",
        "void *map, const void *key",
        "Removes a key. 0, or a negative errno.",
        cost=320,
        source="helper_map.c",
        args=(Arg.MAP, Arg.KEY),
        writes_map=True,
    ),
    Helper(
        5,
        "bpf_ktime_get_ns",
        "u64",
        "void",
        "Nanoseconds since boot; virtual arrival time in a trial or replay.",
        cost=48,
        source="helper_env.c",
    ),
    Helper(
        6,
        "bpf_trace_printk",
        "long",
        "const char *fmt, u32 fmt_size, ...",
        "Prints to the session's log: %d %i %u %x with l or ll, %p, %%; at most three numbers. The length, or a "
        "negative errno.",
        cost=8192,
        source="helper_trace.c",
        args=(Arg.MEMORY, Arg.SIZE, Arg.PRINTED, Arg.PRINTED, Arg.PRINTED),
    ),
    Helper(
        7,
        "bpf_get_prandom_u32",
        "u32",
        "void",
        "A pseudo-random number, from the seed of the run.",
        cost=48,
        source="helper_env.c",
        result=Result.U32,
    ),
    Helper(
        8,
        "bpf_get_smp_processor_id",
        "u32",
        "void",
        "Number of the core that the program runs on.",
        cost=16,
        source="helper_env.c",
        result=Result.U32,
    ),
)

assert len({helper.number for helper in HELPERS}) == len(HELPERS), "helper numbers are unique"

HELPER_NAMES: Final = {helper.number: helper.name for helper in HELPERS}


def numbers_text() -> str:
    """The numbers as text, for messages: `1, 2 and 3`."""
    texts = [str(helper.number) for helper in HELPERS]
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
