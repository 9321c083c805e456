"""Seeded random programs that the verifier mostly accepts, to compare verifier, interpreter and JIT.

The generator adds statement by statement and tracks which registers hold numbers and which stack bytes are written, so
that most of the program is legal. The interesting accesses (at computed, masked or compared offsets) are sometimes
right and sometimes slightly wrong, and one program in five has bits of its code changed afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.ebpf.helpers import HELPERS
from contracts.program import Hook, MapDef, MapFlags, MapType, Program
from harness.bpf import asm
from harness.bpf.asm import DW, FP, B, H, Insn, Item, Label, Reg, W

_SIZES = {B: 1, H: 2, W: 4, DW: 8}
_MAPS = (
    MapDef("array", MapType.ARRAY, 4, 24, 4),
    MapDef("hash", MapType.HASH, 8, 16, 8),
    MapDef("frozen", MapType.ARRAY, 4, 32, 1, int(MapFlags.RDONLY_PROG), bytes(range(7, 39))),
    MapDef("global", MapType.ARRAY, 4, 16, 1),
)
_ARRAY, _HASH, _FROZEN, _GLOBAL = range(4)
_WITHOUT_ARGUMENTS = tuple(row.number for row in HELPERS if not row.args and not row.hooks)
_MEMORY = 6  # the register that keeps the base of memory or packet
_COUNTERS = (7, 8)  # of loops, outermost first
_NUMBERS = (0, 1, 2, 3, 4, 5, 9)
_CONSTANTS = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF)
_WIDE_CONSTANTS = (
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    1 << 63,
    (1 << 64) - 1,
)
_FREE_ALU = ("add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "mod", "xor", "mov", "arsh")
_MUTATED = 0.2


class _Grower:
    """One function's statements, and the known state of its registers and stack during emission."""

    def __init__(self, rng: random.Random, reach: int, maps: bool, prefix: str) -> None:
        self.rng = rng
        self.reach = reach  # bytes of memory behind r6
        self.maps = maps
        self.prefix = prefix
        self.items: list[Item] = []
        self.numbers: set[int] = set()
        self.written: set[int] = set()  # stack bytes, as positive distances below r10
        self.labels = 0
        self.loops = 0
        self.callees: list[str] = []

    def emit(self, *items: Item) -> None:
        self.items += items

    def label(self) -> str:
        self.labels += 1
        return f"{self.prefix}{self.labels}"

    def number(self) -> int:
        """A register that holds a number; creates one if there is none."""
        if not self.numbers:
            self.constant(self.rng.choice(_NUMBERS))
        return self.rng.choice(sorted(self.numbers))

    def target(self) -> int:
        return self.rng.choice(_NUMBERS)

    def immediate(self) -> int:
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.rng.choice(_CONSTANTS)
        if kind == 1:
            return -self.rng.choice(_CONSTANTS)
        return self.rng.randrange(-64, 64) if kind == 2 else self.rng.randrange(-(1 << 31), 1 << 31)

    def constant(self, register: int) -> None:
        if self.rng.random() < 0.2:
            self.emit(asm.lddw(register, self.rng.choice((*_WIDE_CONSTANTS, self.rng.getrandbits(64)))))
        else:
            self.emit(asm.mov64(register, self.immediate()))
        self.numbers.add(register)

    def clobber(self) -> None:
        self.numbers -= {0, 1, 2, 3, 4, 5}

    @contextmanager
    def maybe(self) -> Iterator[None]:
        """Statements that may be skipped by a jump: their effects are not known afterwards."""
        numbers, written = set(self.numbers), set(self.written)
        yield
        self.numbers &= numbers
        self.written &= written

    # ---- statements -------------------------------------------------------------------------------------------------

    def arithmetic(self) -> None:
        rng = self.rng
        alu = rng.choice((asm.alu64, asm.alu32))
        dst = self.number()
        kind = rng.randrange(12)
        if kind == 0:
            self.emit(alu("neg", dst))
        elif kind == 1:
            self.emit(rng.choice((asm.le, asm.be, asm.bswap))(dst, rng.choice((16, 32, 64))))
        elif kind == 2:
            bits = rng.choice((8, 16, 32) if alu is asm.alu64 else (8, 16))
            self.emit(alu("mov", dst, Reg(self.number()), off=bits))
        else:
            op = rng.choice(_FREE_ALU)
            off = 1 if op in ("div", "mod") and rng.random() < 0.5 else 0
            operand: int | Reg = Reg(self.number()) if rng.random() < 0.5 else self.immediate()
            if op in ("lsh", "rsh", "arsh") and isinstance(operand, int):
                operand = rng.randrange(64 if alu is asm.alu64 else 32)
            self.emit(alu(op, dst, operand, off=off))

    def move(self) -> None:
        dst, src = self.target(), self.number()
        self.emit(self.rng.choice((asm.mov64, asm.mov32))(dst, Reg(src)))
        self.numbers.add(dst)

    def _fitting(self, limit: int) -> tuple[int, int]:
        """(size code, offset) of an access within `limit` bytes, or occasionally just outside."""
        sizes = [code for code, size in _SIZES.items() if size <= limit]
        code = self.rng.choice(sizes)
        last = limit - _SIZES[code]
        chance = self.rng.random()
        if chance < 0.1:
            return code, last + 1 if chance < 0.015 else last
        return code, self.rng.randrange(last + 1)

    def _load(self, size: int, dst: int, base: int, off: int) -> Insn:
        if size != DW and self.rng.random() < 0.3:
            return asm.ldxsx(size, dst, base, off)
        return asm.ldx(size, dst, base, off)

    def memory(self) -> None:
        if self.reach == 0:
            self.arithmetic()
            return
        size, off = self._fitting(self.reach)
        kind = self.rng.randrange(3)
        if kind == 0:
            dst = self.target()
            self.emit(self._load(size, dst, _MEMORY, off))
            self.numbers.add(dst)
        elif kind == 1:
            self.emit(asm.stx(size, _MEMORY, off, self.number()))
        else:
            self.emit(asm.st(size, _MEMORY, off, self.immediate()))

    def stack(self) -> None:
        rng = self.rng
        size = rng.choice(list(_SIZES))
        width = _SIZES[size]
        below = rng.randrange(1, 9) * 8 if rng.random() < 0.7 else rng.randrange(width, 65)
        below = max(below, width)
        touched = set(range(below - width + 1, below + 1))
        if touched <= self.written and rng.random() < 0.6:
            dst = self.target()
            self.emit(self._load(size, dst, FP, -below))
            self.numbers.add(dst)
        elif rng.random() < 0.3:
            self.emit(asm.st(size, FP, -below, self.immediate()))
            self.written |= touched
        else:
            self.emit(asm.stx(size, FP, -below, self.number()))
            self.written |= touched

    def spill(self) -> None:
        """Spills the memory pointer to the stack and reloads it, with or without a call in between."""
        below = self.rng.randrange(1, 9) * 8
        self.emit(asm.stx(DW, FP, -below, _MEMORY))
        self.written -= set(range(below - 7, below + 1))
        if self.rng.random() < 0.5:
            self.statement(0)
        dst = self.target()
        if self.reach == 0 or self.rng.random() < 0.5:
            self.emit(asm.ldx(DW, _MEMORY, FP, -below))
        else:
            size, off = self._fitting(self.reach)
            self.emit(asm.ldx(DW, dst, FP, -below), self._load(size, dst, dst, off))
            self.numbers.add(dst)
        self.emit(asm.st(DW, FP, -below, 0))
        self.written |= set(range(below - 7, below + 1))

    def _indexed(self, base: int, limit: int, offset: int, *, store: bool) -> None:
        """An access at base + number, with the number already within [0, 2^k) or [0, n]."""
        room = limit - offset
        size = self.rng.choice([code for code, width in _SIZES.items() if width <= max(room, 1)])
        if store:
            self.emit(
                asm.stx(
                    size,
                    base,
                    self.rng.randrange(room - _SIZES[size] + 1) if room >= _SIZES[size] else 0,
                    self.number(),
                )
            )
        else:
            dst = self.target()
            self.emit(
                self._load(
                    size,
                    dst,
                    base,
                    self.rng.randrange(room - _SIZES[size] + 1) if room >= _SIZES[size] else 0,
                )
            )
            self.numbers.add(dst)

    def _pointer(self, base: int, index: int) -> int:
        """A register that is neither, set to base + index."""
        register = self.rng.choice([r for r in _NUMBERS if r not in (base, index)])
        self.emit(asm.mov64(register, Reg(base)), asm.add64(register, Reg(index)))
        self.numbers.discard(register)
        return register

    def masked(self) -> None:
        """An access at an offset bounded by a mask, a modulus or a shift."""
        if self.reach < 8:
            self.arithmetic()
            return
        rng = self.rng
        index = self.number()
        largest = rng.choice([n for n in (1, 3, 7, 15, 31) if n < self.reach])
        kind = rng.randrange(5)
        if kind == 4:  # by a register, which may be zero: then nothing is bounded
            other = rng.choice([r for r in _NUMBERS if r != index])
            self.emit(asm.alu64("and", index, rng.choice((largest, 127))), asm.ldx(B, other, _MEMORY, 0))
            self.emit(asm.alu64("and", other, largest), asm.alu64("or", other, rng.choice((0, 1, 1))))
            self.emit(rng.choice((asm.alu64, asm.alu32))("mod", index, Reg(other)))
            self.numbers.add(other)
        elif kind == 0:
            self.emit(rng.choice((asm.alu64, asm.alu32))("and", index, largest))
        elif kind == 1:
            self.emit(rng.choice((asm.alu64, asm.alu32))("mod", index, largest + 1))
        elif kind == 2:
            self.emit(asm.alu64("rsh", index, 64 - largest.bit_length()))
        else:
            self.emit(asm.alu32("rsh", index, 32 - largest.bit_length()))
        pointer = self._pointer(_MEMORY, index)
        self._indexed(pointer, self.reach, largest, store=rng.random() < 0.4)

    def compared(self) -> None:
        """An access at an offset bounded by branches, with unsigned, signed, 32- and 64-bit comparisons."""
        if self.reach < 8:
            self.arithmetic()
            return
        rng = self.rng
        index, end = self.number(), self.label()
        largest = rng.randrange(1, self.reach - 1)
        if rng.random() < 0.03:
            largest += rng.choice((1, 2, 8, 256))
        narrow = rng.random() < 0.4
        jump = asm.jump32 if narrow else asm.jump
        if rng.random() < 0.3:  # a copy is compared, the original used
            copy = rng.choice([r for r in _NUMBERS if r != index])
            self.emit(asm.mov32(index, Reg(index)) if narrow else asm.mov64(index, Reg(index)))
            self.emit(asm.mov64(copy, Reg(index)))
            self.numbers.add(copy)
            compared = copy
        else:
            compared = index
            if narrow and rng.random() < 0.9:
                self.emit(asm.mov32(index, Reg(index)))
        with self.maybe():
            if rng.random() < 0.5:
                self.emit(
                    rng.choice((jump("jgt", compared, largest, end), jump("jge", compared, largest + 1, end)))
                )
            else:
                self.emit(jump("jsgt", compared, largest, end), jump("jslt", compared, 0, end))
            if rng.random() < 0.2:
                self.emit(asm.alu64("rsh", index, 1))
            if rng.random() < 0.3:
                self._through_stack(index)
            pointer = self._pointer(_MEMORY, index)
            self._indexed(pointer, self.reach, min(largest, self.reach), store=rng.random() < 0.4)
        self.emit(Label(end))

    def _through_stack(self, index: int) -> None:
        """Spills the number to the stack and reloads it, completely or (half the time) only its low half."""
        below = self.rng.randrange(1, 9) * 8
        size = self.rng.choice((W, DW))
        self.emit(asm.stx(size, FP, -below, index), asm.ldx(size, index, FP, -below))
        self.written |= set(range(below - _SIZES[size] + 1, below + 1))

    def confused(self) -> None:
        """A register or slot with a pointer on one path and a number on the other: refused when used."""
        rng = self.rng
        end, register = self.label(), rng.choice([r for r in _NUMBERS if r != 9])
        below = rng.randrange(1, 9) * 8
        if 9 not in self.numbers:
            self.constant(9)
        ways = [asm.mov64(register, rng.randrange(64)), asm.mov64(register, Reg(_MEMORY))]
        if rng.random() < 0.5:
            ways.reverse()
        self.emit(ways[0], asm.stx(DW, FP, -below, register), asm.jump("jset", 9, 1, end))
        self.emit(ways[1], asm.stx(DW, FP, -below, register), Label(end))
        self.numbers.discard(register)
        self.written -= set(range(below - 7, below + 1))
        if rng.random() < 0.2:
            self.emit(asm.ldx(DW, register, FP, -below))
        if rng.random() < 0.1:
            self.emit(rng.choice((asm.ldx(B, register, register, 0), asm.stx(DW, _MEMORY, 0, register))))
        self.constant(register)
        self.emit(asm.st(DW, FP, -below, 0))

    def branch(self, depth: int) -> None:
        rng = self.rng
        end = self.label()
        jump = rng.choice((asm.jump, asm.jump32))
        operand: int | Reg = Reg(self.number()) if rng.random() < 0.4 else self.immediate()
        self.emit(jump(rng.choice(list(asm.JMP_OPS)), self.number(), operand, end))
        with self.maybe():
            self.block(depth - 1, rng.randrange(1, 4))
        if rng.random() < 0.4:
            over = self.label()
            self.emit(rng.choice((asm.ja, asm.ja32))(over), Label(end))
            with self.maybe():
                self.block(depth - 1, rng.randrange(1, 4))
            self.emit(Label(over))
        else:
            self.emit(Label(end))

    def loop(self, depth: int) -> None:
        if self.loops == len(_COUNTERS):
            self.arithmetic()
            return
        counter, again = _COUNTERS[self.loops], self.label()
        self.loops += 1
        rounds = self.rng.randrange(1, 9)
        self.emit(asm.mov64(counter, 0), Label(again))
        with self.maybe():
            self.block(depth - 1, self.rng.randrange(1, 4))
        self.emit(asm.add64(counter, 1), asm.jump("jlt", counter, rounds, again))
        self.loops -= 1

    def map_access(self) -> None:
        rng = self.rng
        if not self.maps:
            self.arithmetic()
            return
        kind = rng.randrange(5)
        if kind < 2:
            self._direct(kind)
        else:
            self._lookup(_ARRAY if rng.random() < 0.5 else _HASH)

    def _direct(self, kind: int) -> None:
        index, limit = (_FROZEN, 32) if kind == 0 else (_GLOBAL, 16)
        size, off = self._fitting(limit)
        base = self.target()
        self.numbers.discard(base)
        self.emit(asm.ld_map_value(base, index, 0))
        if kind == 1 and self.numbers:
            self.emit(asm.stx(size, base, off, self.number()))
            if self.rng.random() < 0.5:
                source = self.number()
                aligned = 8 * self.rng.randrange(2)
                op = self.rng.choice(list(asm.ATOMIC_OPS))
                self._atomic(DW if self.rng.random() < 0.5 else W, op, base, aligned, source)
        else:
            self.emit(self._load(size, base, base, off))
            self.numbers.add(base)

    def _atomic(self, size: int, op: str, base: int, off: int, source: int) -> None:
        if op == "cmpxchg":
            if 0 not in self.numbers or base == 0:
                return
            fetch = True
        else:
            fetch = op == "xchg" or self.rng.random() < 0.5
        self.emit(asm.atomic(size, op, base, off, source, fetch=fetch))

    def _lookup(self, index: int) -> None:
        rng = self.rng
        definition = _MAPS[index]
        key = 72 if definition.key_size == 8 else 68
        self.emit(asm.st(DW if definition.key_size == 8 else W, FP, -key, rng.randrange(6)))
        self.emit(asm.mov64(2, Reg(FP)), asm.add64(2, -key), asm.ld_map(1, index))
        if rng.random() < 0.4:
            for at in range(0, definition.value_size, 8):
                self.emit(asm.st(DW, FP, -104 + at, self.immediate()))
            self.emit(asm.mov64(3, Reg(FP)), asm.add64(3, -104), asm.mov64(4, rng.randrange(3)), asm.call(2))
            self.clobber()
            self.numbers.add(0)
            return
        if rng.random() < 0.15:
            self.emit(asm.call(3))
            self.clobber()
            self.numbers.add(0)
            return
        missing = self.label()
        self.emit(asm.call(1))
        self.clobber()
        if rng.random() < 0.98:
            self.emit(asm.jump("jeq", 0, 0, missing))
        with self.maybe():
            size, off = self._fitting(definition.value_size)
            if rng.random() < 0.5:
                self.emit(self._load(size, 1, 0, off))
                self.numbers.add(1)
            else:
                self.emit(asm.mov64(1, self.immediate()), asm.stx(size, 0, off, 1))
                self.numbers.add(1)
            if rng.random() < 0.3:
                self.emit(
                    asm.alu64("and", 1, 7), asm.mov64(3, Reg(0)), asm.add64(3, Reg(1)), asm.ldx(DW, 2, 3, 0)
                )
                self.numbers.add(2)
            if rng.random() < 0.3:
                self._atomic(DW, rng.choice(("add", "or", "xor", "and", "xchg")), 0, 8, 1)
        self.emit(Label(missing), asm.mov64(0, self.immediate()))
        self.numbers.add(0)

    def helper(self) -> None:
        self.emit(asm.call(self.rng.choice(_WITHOUT_ARGUMENTS)))
        self.clobber()
        self.numbers.add(0)

    def local_call(self) -> None:
        if not self.callees:
            self.arithmetic()
            return
        for register in (2, 3):
            if register not in self.numbers:
                self.emit(asm.mov64(register, self.immediate()))
        self.emit(asm.mov64(1, Reg(_MEMORY)), asm.call_local(self.rng.choice(self.callees)))
        self.clobber()
        self.numbers.add(0)

    def atomic(self) -> None:
        below = self.rng.randrange(1, 9) * 8
        size = self.rng.choice((W, DW))
        self.emit(asm.st(DW, FP, -below, self.immediate()))
        self.written |= set(range(below - 7, below + 1))
        self._atomic(size, self.rng.choice(list(asm.ATOMIC_OPS)), FP, -below, self.number())

    def statement(self, depth: int) -> None:
        simple = (
            (self.arithmetic, 24),
            (self.move, 6),
            (self.memory, 12),
            (self.stack, 12),
            (self.masked, 6),
            (self.compared, 8),
            (self.map_access, 5),
            (self.helper, 2),
            (self.local_call, 4),
            (self.atomic, 3),
            (self.spill, 2),
            (self.confused, 2),
        )
        choice = self.rng.randrange(100)
        if depth > 0 and choice < 14:
            self.branch(depth)
        elif depth > 0 and choice < 20:
            self.loop(depth)
        else:
            kinds, weights = zip(*simple, strict=True)
            if depth == 0:
                kinds, weights = kinds[:6], weights[:6]
            self.rng.choices(kinds, weights)[0]()

    def block(self, depth: int, count: int) -> None:
        for _ in range(count):
            self.statement(max(depth, 0))

    def finish(self, *, publish: bool) -> None:
        """Stores the computed values where they are visible, and returns a number."""
        result = self.number()
        if publish and self.reach >= 8:
            for place, register in enumerate(sorted(self.numbers)[: self.reach // 8]):
                self.emit(asm.stx(DW, _MEMORY, 8 * place, register))
        if result != 0:
            self.emit(asm.mov64(0, Reg(result)))
        self.emit(asm.exit_())


def _function(rng: random.Random, name: str, reach: int, callees: list[str]) -> list[Item]:
    """A function of (memory, number, number)."""
    grower = _Grower(rng, reach, maps=False, prefix=f"{name}_")
    grower.callees = callees
    grower.emit(Label(name), asm.mov64(_MEMORY, Reg(1)))
    grower.numbers = {2, 3}
    grower.block(1, rng.randrange(1, 7))
    grower.finish(publish=False)
    return grower.items


def _mutate(rng: random.Random, code: bytes) -> bytes:
    """Changes a few fields of a few instructions."""
    changed = bytearray(code)
    for _ in range(rng.randrange(1, 3)):
        slot = 8 * rng.randrange(len(code) // 8)
        field = rng.randrange(4)
        if field == 0:
            changed[slot] ^= 1 << rng.randrange(8)
        elif field == 1:
            changed[slot + 1] = rng.randrange(11) | rng.randrange(11) << 4
        elif field == 2:
            changed[slot + 2] = (changed[slot + 2] + rng.choice((-8, -4, -1, 1, 2, 4, 8))) & 0xFF
        else:
            changed[slot + 4] = (changed[slot + 4] + rng.choice((-128, -8, -1, 1, 7, 8, 127))) & 0xFF
    return bytes(changed)


def random_program(seed: int, hook: Hook | None = None) -> tuple[Program, bytes]:
    """A program and the memory (hook `test`) or packet (`net_rx`) to run it on; the same for the same arguments.

    A `test` program is to be loaded with `test_mem_size=len(memory)`. Without `hook` one in four is `net_rx`.
    """
    rng = random.Random(f"assay-bpf-{seed}")
    if hook is None:
        hook = Hook.NET_RX if rng.randrange(4) == 0 else Hook.TEST
    maps = rng.random() < 0.5
    size = rng.choice((8, 16, 32, 64))
    reach = size if hook == Hook.TEST else rng.choice((14, 34, 54))
    main = _Grower(rng, reach, maps, "m")
    out = None
    if hook == Hook.TEST:
        main.emit(asm.mov64(_MEMORY, Reg(1)))
        if rng.random() < 0.5:
            main.numbers.add(2)
    else:
        out = main.label()
        main.emit(
            asm.ldx(W, _MEMORY, 1, 0), asm.ldx(W, 2, 1, 4), asm.mov64(3, Reg(_MEMORY)), asm.add64(3, reach)
        )
        main.emit(asm.mov64(0, 2))
        main.emit(asm.jump("jgt", 3, Reg(2), out) if rng.random() < 0.5 else asm.jump("jlt", 2, Reg(3), out))
        main.numbers.add(0)
    functions: list[Item] = []
    for index in range(rng.randrange(3) if rng.random() < 0.3 else 0):
        functions += _function(rng, f"f{index}", reach, list(main.callees))
        main.callees.append(f"f{index}")
    main.block(rng.randrange(1, 4), rng.randrange(3, 14))
    for callee in main.callees:  # an uncalled function would be unreachable
        main.emit(asm.mov64(1, Reg(_MEMORY)), asm.mov64(2, 1), asm.mov64(3, 2), asm.call_local(callee))
        main.clobber()
        main.numbers.add(0)
    main.finish(publish=True)
    if out is not None:
        main.emit(Label(out), asm.exit_())
    code = asm.assemble(main.items + functions)
    if rng.random() < _MUTATED:
        code = _mutate(rng, code)
    length = size if hook == Hook.TEST else rng.choice((reach, reach + 6, 60, 10))
    memory = rng.randbytes(length) if rng.random() < 0.8 else bytes(length)
    return Program(f"fuzz{seed}", hook, code, _MAPS if maps else ()), memory
