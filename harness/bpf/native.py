"""The kernel's eBPF engine, called from Python: verify, interpret, inspect maps, emit A64 code."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

from contracts.ebpf.engine import MAP_NAME_SIZE, MAX_MAPS, MAX_SLOTS, Refusal, RunEnd
from contracts.ebpf.hooks import hook_row
from contracts.errors import AssayError, BuildError, ConfigError, ProgramRejected
from contracts.program import MapDef, Program
from harness.bpf.native_build import Variant, declarations, library
from harness.bpf.native_context import context_of
from harness.bpf.refused import RefusedByVerifier, VerifyRejected, Witness

__all__ = [
    "Emitted",
    "Engine",
    "Loaded",
    "NativeMap",
    "Refusal",
    "RunEnd",
    "RunResult",
    "VerifyRejected",
    "foreign",
]

P = ParamSpec("P")
R = TypeVar("R")

_STRUCTURES: Final = ("bpf_insn", "bpf_map_def", "bpf_prog", "bpf_verdict", "bpf_run", "bpf_jit_result")
_TRACE_SIZE = 65536
_JIT_BYTES_PER_SLOT = 128
_JIT_BYTES_MIN = 8192


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run: `executed` counts eBPF instructions, helpers at their cost; `memory` is its final contents."""

    r0: int
    executed: int
    end: RunEnd
    slot: int
    address: int
    memory: bytes
    trace: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Emitted:
    """A64 code of a program: bytes (little-endian words), and the byte offset of each slot."""

    code: bytes
    offsets: tuple[int, ...]
    max_per_slot: int


_loading: Final = threading.RLock()


def _once(make: Callable[P, R]) -> Callable[P, R]:
    """A thread-safe `functools.cache`: two cffi interfaces reject each other's pointers."""
    kept = cache(make)

    @wraps(make)
    def locked(*args: P.args, **kwargs: P.kwargs) -> R:
        with _loading:
            return kept(*args, **kwargs)  # type: ignore[arg-type]

    return locked


@_once
def _ffi() -> Any:
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(declarations())
    return ffi


def foreign() -> Any:
    """The cffi interface with the engine's declarations."""
    return _ffi()


class NativeMap:
    """One map of a loaded program."""

    def __init__(self, lib: Any, handle: Any, definition: MapDef, keep: Any) -> None:
        self._lib = lib
        self.handle = handle
        self.definition = definition
        self.memory = keep

    def _sized(self, what: str, given: bytes, size: int) -> bytes:
        if len(given) != size:
            raise ConfigError(
                f"map {self.definition.name!r}: {what} of the wrong size",
                expected=f"{size} bytes",
                seen=f"{len(given)} bytes",
            )
        return given

    def lookup(self, key: bytes) -> bytes | None:
        """The value at `key`, or None."""
        at = self._lib.bpf_map_lookup(self.handle, self._sized("key", key, self.definition.key_size))
        return None if at == _ffi().NULL else bytes(_ffi().buffer(at, self.definition.value_size))

    def update(self, key: bytes, value: bytes, flags: int = 0) -> int:
        """Stores a value; returns 0 or a negative errno, like the helper."""
        self._sized("key", key, self.definition.key_size)
        self._sized("value", value, self.definition.value_size)
        return int(self._lib.bpf_map_update(self.handle, key, value, flags))

    def delete(self, key: bytes) -> int:
        """Removes a key; returns 0 or a negative errno."""
        return int(self._lib.bpf_map_delete(self.handle, self._sized("key", key, self.definition.key_size)))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All (key, value) pairs, in the map's own order."""
        ffi = _ffi()
        key, value = ffi.new("const void **"), ffi.new("const void **")
        cursor = 0
        while cursor := int(self._lib.bpf_map_next(self.handle, cursor, key, value)):
            yield (
                bytes(ffi.buffer(key[0], self.definition.key_size)),
                bytes(ffi.buffer(value[0], self.definition.value_size)),
            )

    def next_cursor(self, cursor: int) -> int:
        """The cursor after `cursor`, which may be any 32-bit number, as in a request; 0 at the end."""
        ffi = _ffi()
        key, value = ffi.new("const void **"), ffi.new("const void **")
        return int(self._lib.bpf_map_next(self.handle, cursor, key, value))

    def clear(self) -> None:
        """Resets the map to its initial state."""
        self._lib.bpf_map_clear(self.handle)


class Loaded:
    """A program in the engine, verified unless it came from `Engine.load_unverified`.

    The engine's clock, randomness and trace buffer are one per process, as they are one per kernel.
    """

    def __init__(
        self, lib: Any, program: Program, prog: Any, keep: list[Any], maps: tuple[NativeMap, ...]
    ) -> None:
        self._lib = lib
        self.lib = lib
        self.program = program
        self.prog = prog
        self._keep = keep
        self.maps = maps
        self.processed = 0
        self.peak_states = 0

    @property
    def wcet(self) -> int:
        """Bound on `RunResult.executed`, in eBPF instructions."""
        return int(self.prog.wcet)

    @property
    def stack_bytes(self) -> int:
        """Worst stack use over all call chains, in bytes."""
        return int(self.prog.stack_bytes)

    @property
    def insns(self) -> bytes:
        """The engine's current instructions: rewritten after `load`."""
        return bytes(_ffi().buffer(self.prog.insns, 8 * self.prog.slots))

    def map(self, name: str) -> NativeMap:
        """The map of that name. Raises ConfigError if there is none."""
        for candidate in self.maps:
            if candidate.definition.name == name:
                return candidate
        known = ", ".join(m.definition.name for m in self.maps) or "none"
        raise ConfigError(f"program {self.program.name!r} has no map {name!r}", expected=known, seen=name)

    def interpret(
        self,
        memory: bytes = b"",
        *,
        ktime_ns: int = 0,
        seed: int = 0,
        period_ns: int = 0,
        fuel: int | None = None,
        fill: int = 0,
        context_values: Mapping[str, int] | None = None,
    ) -> RunResult:
        """Runs the program once in the bounds-checked interpreter.

        `memory` is the packet (net_rx) or the test memory (test; its size must be the one given to `load`). A timer
        program sees `ktime_ns` and `period_ns`. `context_values` are members of other contexts by name; missing ones
        are zero. `fuel` defaults to the WCET bound plus one. `fill` is the initial value of stack bytes; it also shifts
        the memory slightly, so that a result that depends on it reveals a program that reads unwritten stack or leaks a
        pointer.
        """
        ffi, lib, prog = _ffi(), self._lib, self.prog
        row = hook_row(self.program.hook)
        if row.context is None and len(memory) != prog.test_mem_size:
            raise ConfigError(
                f"program {self.program.name!r}: test memory of the wrong size",
                expected=f"{prog.test_mem_size} bytes, as given to load",
                seen=f"{len(memory)} bytes",
            )
        room = ffi.new("uint64_t[]", len(memory) // 8 + 8)
        data = room + fill % 7
        ffi.memmove(data, memory, len(memory))
        context: Any = data
        if row.context is not None:
            at = int(ffi.cast("uintptr_t", data))
            values = {"now_ns": ktime_ns, "period_ns": period_ns, **(context_values or {})}
            context = context_of(ffi, row.context, at, len(memory), values)
        lib.native_set_ktime(ktime_ns)
        lib.native_set_seed(seed)
        out = ffi.new("struct bpf_run *")
        lib.bpf_interp_filled(prog, context, self.wcet + 1 if fuel is None else fuel, fill, out)
        return RunResult(
            r0=out.r0,
            executed=out.executed,
            end=RunEnd(out.end),
            slot=out.slot,
            address=out.address,
            memory=bytes(ffi.buffer(data, len(memory))),
            trace=self._trace(),
        )

    def _trace(self) -> tuple[str, ...]:
        ffi = _ffi()
        buffer = ffi.new("char[]", _TRACE_SIZE)
        length = int(self._lib.native_take_trace(buffer, _TRACE_SIZE))
        return tuple(bytes(ffi.buffer(buffer, length)).decode("utf-8", "replace").splitlines())

    def emit_arm64(self, code_va: int = 0xFFFF_8000_0100_0000) -> Emitted:
        """The kernel's own JIT, run here: code for virtual address `code_va`. Raises ProgramRejected (stage jit)."""
        ffi = _ffi()
        size = max(_JIT_BYTES_MIN, self.prog.slots * _JIT_BYTES_PER_SLOT)
        code = ffi.new("uint8_t[]", size)
        offsets = ffi.new("uint32_t[]", self.prog.slots + 1)
        out = ffi.new("struct bpf_jit_result *")
        if not self._lib.bpf_jit_arm64(self.prog, code, size, code_va, offsets, out):
            text = ffi.string(out.error).decode()
            raise ProgramRejected(
                f"program {self.program.name!r} cannot be compiled to A64 at slot {out.slot}",
                stage="jit",
                reason=text,
            )
        return Emitted(bytes(ffi.buffer(code, out.bytes)), tuple(offsets), int(out.max_per_slot))


class Engine:
    """The engine of one variant, loaded into this process."""

    def __init__(self, variant: Variant = Variant.PLAIN) -> None:
        self.lib = _open(variant)
        self._arena_size = int(self.lib.bpf_verify_arena_size())
        self._arena = _ffi().new("uint64_t[]", self._arena_size // 8 + 1)

    def load(self, program: Program, *, test_mem_size: int = 0) -> Loaded:
        """Verifies a program like the kernel. Raises VerifyRejected, or ConfigError for a malformed map."""
        loaded = self.load_unverified(program, test_mem_size=test_mem_size)
        ffi = _ffi()
        verdict = ffi.new("struct bpf_verdict *")
        accepted = self.lib.bpf_verify(loaded.prog, self._arena, self._arena_size, verdict)
        if not accepted:
            raise VerifyRejected(
                program,
                refusal=Refusal(verdict.refusal),
                slot=verdict.slot,
                processed=verdict.processed,
                reason=ffi.string(verdict.reason).decode("utf-8", "replace"),
                witness=lambda: self.witness(program, test_mem_size=test_mem_size),
            )
        loaded.processed = int(verdict.processed)
        loaded.peak_states = int(verdict.peak_states)
        return loaded

    def witness(self, program: Program, *, test_mem_size: int = 0) -> Witness | None:
        """The walk to the refusal of a program; None if it is accepted, or if the path is too long for the memory."""
        loaded = self.load_unverified(program, test_mem_size=test_mem_size)
        ffi = _ffi()
        verdict = ffi.new("struct bpf_verdict *")
        self.lib.native_witness_start()
        accepted = self.lib.bpf_verify(loaded.prog, self._arena, self._arena_size, verdict)
        steps = int(self.lib.native_witness_end())
        if accepted:
            return None
        return Witness(
            Refusal(verdict.refusal),
            ffi.string(verdict.reason).decode("utf-8", "replace"),
            tuple(int(self.lib.native_witness_slot(step)) for step in range(steps)),
            tuple(ffi.string(self.lib.native_witness_state(step)).decode() for step in range(steps)),
        )

    def load_unverified(self, program: Program, *, test_mem_size: int = 0) -> Loaded:
        """Loads a program unchanged, only for the interpreter: context loads and map references stay unresolved."""
        ffi = _ffi()
        if len(program.insns) % 8 or not 0 < program.slots <= MAX_SLOTS:
            raise ProgramRejected(
                f"the size of program {program.name!r} is not a multiple of 8-byte slots",
                stage="verify",
                reason=f"{len(program.insns)} bytes",
                expected=f"8 to {8 * MAX_SLOTS} bytes, a multiple of 8",
            )
        if len(program.maps) > MAX_MAPS:
            raise ProgramRejected(
                f"program {program.name!r} has too many maps",
                stage="verify",
                reason=f"{len(program.maps)} maps",
                expected=f"at most {MAX_MAPS}",
            )
        insns = ffi.new("struct bpf_insn[]", program.slots)
        ffi.memmove(insns, program.insns, len(program.insns))
        flags = ffi.new("uint8_t[]", program.slots)
        prog = ffi.new("struct bpf_prog *")
        prog.insns = insns
        prog.slots = program.slots
        prog.hook = int(program.hook)
        prog.test_mem_size = test_mem_size
        prog.slot_flags = flags
        maps = tuple(self._map(program, definition) for definition in program.maps)
        for index, one in enumerate(maps):
            prog.maps[index] = one.handle
        prog.map_count = len(maps)
        return Loaded(self.lib, program, prog, [insns, flags], maps)

    def create_map(self, definition: MapDef) -> NativeMap:
        """A single map. Raises ConfigError if the shape is refused."""
        ffi = _ffi()
        sizes = (definition.key_size, definition.value_size, definition.max_entries, definition.flags)
        if not all(0 <= number < 1 << 32 for number in sizes):
            raise ConfigError(
                f"map {definition.name!r} is refused",
                expected="sizes and flags of 32 bits",
                seen=repr(definition),
            )
        shape = ffi.new("struct bpf_map_def *")
        shape.name = definition.name.encode()[: MAP_NAME_SIZE - 1]
        shape.type = int(definition.type)
        shape.key_size = definition.key_size
        shape.value_size = definition.value_size
        shape.max_entries = definition.max_entries
        shape.flags = definition.flags
        reason = ffi.new("const char **")
        size = int(self.lib.bpf_map_footprint(shape, reason))
        if size == 0:
            raise ConfigError(
                f"map {definition.name!r} is refused",
                expected=ffi.string(reason[0]).decode(),
                seen=repr(definition),
            )
        memory = ffi.new("uint64_t[]", size // 8 + 1)
        init = ffi.from_buffer(definition.init) if definition.init else ffi.NULL
        handle = self.lib.bpf_map_init(memory, shape, init, len(definition.init))
        if handle == ffi.NULL:
            raise ConfigError(
                f"map {definition.name!r}: its initial contents are refused",
                expected="a frozen array map (RDONLY_PROG) and no more bytes than it holds",
                seen=f"{len(definition.init)} bytes for a {definition.type.name.lower()} map",
            )
        return NativeMap(self.lib, handle, definition, memory)

    def _map(self, program: Program, definition: MapDef) -> NativeMap:
        try:
            return self.create_map(definition)
        except ConfigError as refused:
            raise ProgramRejected(
                f"program {program.name!r}: {refused.what}",
                stage="verify",
                reason=refused.seen,
                expected=refused.expected,
            ) from refused


def refused_by_kernel(program: Program, reason: str, test_mem_size: int = 0) -> RefusedByVerifier:
    """The refusal that a board's kernel reported as `reason`; this engine repeats the walk to it on request."""

    def witness() -> Witness | None:
        try:
            return Engine().witness(program, test_mem_size=test_mem_size)
        except AssayError:  # no engine on this machine: the kernel's own text is reported
            return None

    slot = re.match(r"slot (\d+): ", reason)
    return RefusedByVerifier(program, slot=int(slot[1]) if slot else 0, reason=reason, witness=witness)


@_once
def _open(variant: Variant) -> Any:
    path = library(variant)
    lib = _ffi().dlopen(str(path))
    _check_sizes(lib, str(path))
    return lib


def _check_sizes(lib: Any, path: str) -> None:
    """Raises BuildError when a structure of the library is not the one that was declared."""
    ffi = _ffi()
    for name in _STRUCTURES:
        built, declared = int(lib.native_size_of(name.encode())), int(ffi.sizeof(f"struct {name}"))
        if built != declared:
            raise BuildError(
                f"the native engine and its declarations differ in struct {name}",
                expected=f"{declared} bytes, as the headers declare it",
                seen=f"{built} bytes in {path}",
                do=f"remove {path}; it is built again",
            )
