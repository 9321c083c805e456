"""Seeded random programs that are well-defined by construction: no uninitialised reads, no addresses in results."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.bpf import asm
from harness.bpf.asm import DW, B, H, Insn, Item, Label, Reg, W
from suites.host.jit.corpus import IMMEDIATES, OPERANDS, SHIFTS, Case

MEMORY = 512
SCALAR, POINTER = "scalar", "pointer"
SIZES = {B: 1, H: 2, W: 4, DW: 8}


@dataclass
class State:
    """The known state at a point: each readable register's kind, and the written stack words."""

    kinds: dict[int, str] = field(default_factory=dict)
    stack: set[int] = field(default_factory=set)

    def copy(self) -> State:
        """An independent copy."""
        return State(dict(self.kinds), set(self.stack))

    def meet(self, other: State) -> None:
        """The state that two paths have in common."""
        self.kinds = {r: k for r, k in self.kinds.items() if other.kinds.get(r) == k}
        self.stack &= other.stack


class Function:
    """Writes one function: `base` always points to the memory."""

    def __init__(self, rng: random.Random, name: str, callees: list[str], helpers: bool) -> None:
        self.rng, self.name, self.callees = rng, name, callees
        self.helpers = helpers
        self.calls = helpers or bool(callees)
        self.base = rng.choice((6, 7, 8, 9) if self.calls else (1, 1, 3, 5, 6, 9))
        self.items: list[Item] = [Label(name)]
        self.state = State({1: POINTER, 2: SCALAR})
        self.labels = 0
        self.depth = 0

    def emit(self, *items: Item) -> None:
        """Appends."""
        self.items += items

    def label(self) -> str:
        """A new label name."""
        self.labels += 1
        return f"{self.name}_{self.labels}"

    def scalars(self) -> list[int]:
        """Registers with plain numbers."""
        return [r for r, k in self.state.kinds.items() if k == SCALAR]

    def target(self) -> int:
        """A register that may be overwritten: not the base, and not a loop's counter (r-numbers from `pinned`)."""
        return self.rng.choice([r for r in range(10) if r != self.base and r not in self.pinned])

    pinned: tuple[int, ...] = ()

    def number(self) -> int:
        """An immediate of some class."""
        rng = self.rng
        return rng.choice((rng.choice(IMMEDIATES), rng.randrange(-64, 64), rng.randrange(-(2**31), 2**31)))

    def define(self) -> None:
        """Gives some register a constant."""
        dst = self.target()
        value = self.rng.choice(
            (self.rng.choice(OPERANDS), self.rng.getrandbits(64), self.rng.getrandbits(20))
        )
        if self.rng.random() < 0.4:
            self.emit(asm.lddw(dst, value))
        else:
            self.emit(self.rng.choice((asm.mov64, asm.mov32))(dst, self.number()))
        self.state.kinds[dst] = SCALAR

    def pair_of_operands(self) -> tuple[int, int | Reg] | None:
        """A scalar to operate on, and an operand."""
        able = [r for r in self.scalars() if r not in self.pinned]
        if not able:
            return None
        operand: int | Reg = (
            Reg(self.rng.choice(self.scalars())) if self.rng.random() < 0.5 else self.number()
        )
        return self.rng.choice(able), operand

    def operation(self, dst: int, operand: int | Reg) -> Insn:
        """A random ALU operation on dst."""
        rng = self.rng
        make, bits = rng.choice(((asm.alu64, 64), (asm.alu32, 32)))
        kind = rng.random()
        if kind < 0.3:
            amount = operand if isinstance(operand, Reg) else rng.randrange(bits)
            return make(rng.choice(SHIFTS), dst, amount)
        if kind < 0.4:
            return rng.choice((asm.le, asm.be, asm.bswap))(dst, rng.choice((16, 32, 64)))
        if kind < 0.45:
            return make("neg", dst)
        op = rng.choice(("add", "sub", "mul", "div", "or", "and", "mod", "xor"))
        return make(op, dst, operand, rng.choice((0, 1)) if op in ("div", "mod") else 0)

    def compute(self) -> None:
        """A few operations, often after a move."""
        rng = self.rng
        if rng.random() < 0.5 and self.scalars():
            dst, src = self.target(), rng.choice(self.scalars())
            sign = rng.choice((0, 0, 0, 8, 16))
            self.emit(rng.choice((asm.alu64, asm.alu32))("mov", dst, Reg(src), sign))
            self.state.kinds[dst] = SCALAR
            for _ in range(rng.randrange(3)):
                operand: int | Reg = Reg(rng.choice(self.scalars())) if rng.random() < 0.5 else self.number()
                self.emit(self.operation(dst, operand))
            return
        chosen = self.pair_of_operands()
        if chosen:
            self.emit(self.operation(*chosen))

    def memory(self) -> None:
        """A load or store through the base or a copy of it, sometimes two neighbours."""
        rng = self.rng
        size = rng.choice((B, H, W, DW))
        pointers = [r for r, k in self.state.kinds.items() if k == POINTER]
        base = rng.choice(pointers)
        off = rng.randrange(8, MEMORY - 16)
        if rng.random() < 0.6:
            off -= off % SIZES[size]
        count, step = rng.choice((1, 1, 2)), rng.choice((-1, 1)) * SIZES[size]
        what = rng.random()
        for n in range(count):
            at = off + n * step
            if what < 0.5:
                dst = self.target()
                sign = size != DW and rng.random() < 0.2
                self.emit((asm.ldxsx if sign else asm.ldx)(size, dst, base, at))
                self.state.kinds[dst] = SCALAR
                if rng.random() < 0.3:
                    self.emit(asm.be(dst, rng.choice((16, 32))))
                if self.state.kinds.get(base) != POINTER:
                    return
            elif what < 0.8 and self.scalars():
                self.emit(asm.stx(size, base, at, rng.choice(self.scalars())))
            else:
                self.emit(asm.st(size, base, at, rng.choice((0, self.number()))))

    def stack(self) -> None:
        """Spills a number, or reads back one that was spilled, directly or through a copy of r10."""
        rng = self.rng
        if self.state.stack and rng.random() < 0.5:
            at, dst = rng.choice(sorted(self.state.stack)), self.target()
            if rng.random() < 0.3:
                self.emit(asm.mov64(dst, Reg(10)), asm.add64(dst, at), asm.ldx(DW, dst, dst, 0))
            else:
                self.emit(asm.ldx(DW, dst, 10, at))
            self.state.kinds[dst] = SCALAR
        else:
            at = -8 * rng.randrange(1, 65)
            if self.scalars() and rng.random() < 0.7:
                self.emit(asm.stx(DW, 10, at, rng.choice(self.scalars())))
            else:
                self.emit(asm.st(DW, 10, at, self.number()))
            self.state.stack.add(at)

    def atomic(self) -> None:
        """One atomic operation on aligned memory."""
        rng = self.rng
        sources = [r for r in self.scalars() if r not in self.pinned]
        if not sources:
            return
        size = rng.choice((W, DW))
        op = rng.choice([o for o in asm.ATOMIC_OPS if o != "cmpxchg" or 0 in sources])
        off = rng.randrange(MEMORY // 8) * 8
        fetch = op in ("xchg", "cmpxchg") or rng.random() < 0.5
        src = rng.choice(sources)
        self.emit(asm.atomic(size, op, self.base, off, src, fetch=fetch))

    def pointer(self) -> None:
        """A copy of the base."""
        dst = self.target()
        self.emit(asm.mov64(dst, Reg(self.base)))
        self.state.kinds[dst] = POINTER

    def after_call(self) -> None:
        """The state after a call."""
        for r in range(1, 6):
            self.state.kinds.pop(r, None)
        self.state.kinds[0] = SCALAR

    def call(self) -> None:
        """A helper or a function of the program."""
        rng = self.rng
        if any(r < 6 for r in self.pinned):
            return
        if self.callees and (not self.helpers or rng.random() < 0.5):
            sources = self.scalars()
            self.emit(asm.mov64(2, Reg(rng.choice(sources)) if sources else 7), asm.mov64(1, Reg(self.base)))
            self.emit(asm.call_local(rng.choice(self.callees)))
        elif self.helpers:
            self.emit(asm.call(rng.choice((5, 7, 8))))
        else:
            return
        self.after_call()

    def branch(self) -> None:
        """If, if-else, or a jump over nothing."""
        rng = self.rng
        chosen = self.pair_of_operands()
        if not chosen or self.depth > 3:
            return
        make = rng.choice((asm.jump, asm.jump32))
        other, end = self.label(), self.label()
        operand = chosen[1]
        if isinstance(operand, int) and rng.random() < 0.4:
            operand = rng.choice((0, 0, 1, -1, 1 << rng.randrange(31), -(1 << 31)))
        self.emit(make(rng.choice(list(asm.JMP_OPS)), chosen[0], operand, other))
        before = self.state.copy()
        self.block(rng.randrange(4))
        if rng.random() < 0.4:
            self.emit(rng.choice((asm.ja, asm.ja32))(end), Label(other))
            first, self.state = self.state, before
            self.block(rng.randrange(4))
            self.state.meet(first)
            self.emit(Label(end))
        else:
            self.emit(Label(other))
            self.state.meet(before)

    def loop(self) -> None:
        """A short counted loop."""
        rng = self.rng
        if self.depth > 1:
            return
        counters = [
            r for r in ((6, 7, 8, 9) if self.calls else range(10)) if r != self.base and r not in self.pinned
        ]
        if not counters:
            return
        counter = rng.choice(counters)
        self.emit(asm.mov64(counter, rng.randrange(1, 5)))
        self.state.kinds[counter] = SCALAR
        if self.calls:
            for r in range(6):
                self.state.kinds.pop(r, None)
        # Kinds must be valid in every round: registers that the body may turn into numbers are numbers before it.
        self.state.kinds = {r: k for r, k in self.state.kinds.items() if k == SCALAR or r == self.base}
        entry = self.state.copy()
        top, pinned = self.label(), self.pinned
        self.pinned = (*pinned, counter)
        self.emit(Label(top))
        self.no_pointers = getattr(self, "no_pointers", 0) + 1
        self.block(rng.randrange(1, 6))
        self.no_pointers -= 1
        self.pinned = pinned
        self.emit(asm.alu64("sub", counter, 1), asm.jump("jne", counter, 0, top))
        self.state.meet(entry)

    def block(self, length: int) -> None:
        """A sequence of statements."""
        self.depth += 1
        choices = (
            [self.compute] * 8
            + [self.memory] * 4
            + [self.define] * 2
            + [self.stack, self.atomic, self.branch]
        )
        choices += [self.branch, self.loop]
        if not getattr(self, "no_pointers", 0):
            choices.append(self.pointer)
        if self.calls:
            choices += [self.call] * 2
        for _ in range(length):
            self.rng.choice(choices)()
        self.depth -= 1

    def write(self, length: int) -> list[Item]:
        """The function: base set up, a body, results to memory, r0 a number."""
        rng = self.rng
        start = rng.randrange(3) if self.base != 1 else 0
        if self.base != 1 and start:
            self.base, keep = 1, self.base
            for _ in range(start):
                self.rng.choice((self.compute, self.define, self.memory))()
                self.pinned = ()
            self.base = keep
            self.state.kinds.pop(keep, None)
        if self.base != 1:
            self.emit(asm.mov64(self.base, Reg(1)))
        self.state.kinds[self.base] = POINTER
        self.block(length)
        for r in self.scalars():
            if rng.random() < 0.8:
                self.emit(asm.stx(DW, self.base, 8 * r, r))
        if self.state.kinds.get(0) != SCALAR or rng.random() < 0.2:
            sources = self.scalars()
            self.emit(asm.mov64(0, Reg(rng.choice(sources))) if sources else asm.mov64(0, 1))
        self.emit(asm.exit_())
        return self.items


def random_case(seed: int) -> Case:
    """The program of a seed, and memory for it."""
    rng = random.Random(seed)
    functions = [f"f{n}" for n in range(rng.choice((0, 0, 0, 1, 3)))]
    length = rng.choice((2, 6, 12, 30))
    items = Function(rng, "main", functions, rng.random() < 0.4).write(length)
    for n, name in enumerate(functions):
        items += Function(rng, name, functions[n + 1 :], rng.random() < 0.3).write(length // 2)
    values = [rng.choice((rng.choice(OPERANDS), rng.getrandbits(64))) for _ in range(MEMORY // 8)]
    return Case(f"random seed={seed}", asm.assemble(items), struct.pack(f"<{MEMORY // 8}Q", *values))


def random_cases(first: int, count: int) -> Iterator[Case]:
    """`count` programs from seed `first` on."""
    for seed in range(first, first + count):
        yield random_case(seed)
