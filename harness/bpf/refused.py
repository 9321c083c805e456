"""A refusal by the verifier in four parts: the reason, the instruction, the path that led there, and a fix.

The kernel names slots; what a slot was in C comes from the program's debug information. Of the path the kernel tells
the last branches; the host, which has the same verifier, walks it again and sees all of it (`Witness`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final

from contracts.ebpf.engine import Refusal
from contracts.ebpf.helpers import HELPER_NAMES
from contracts.errors import ProgramRejected
from contracts.program import Program
from harness.bpf.a64_align import Slot
from harness.bpf.dwarf import shown_path
from harness.bpf.insn_text import slots_of, text_of

PATH_SHOWN: Final = 12
"""Branches and calls of a path that a message shows."""
PATH_KEPT: Final = 64
"""Those in its JSON."""

_TEXT: Final = re.compile(
    r"(?:slot (?P<slot>\d+): )?(?P<reason>.*?)"
    r"(?:; path: (?P<path>\d+ (?:not )?taken(?:, \d+ (?:not )?taken)*))?"
    r"(?:; called at: (?P<calls>\d+(?:, \d+)*))?(?:; fix: (?P<fix>.*))?",
    re.DOTALL,
)
_ADD: Final = "add the bound that is missing, or ask for less"
_FIXES: Final = {
    Refusal.BAD_ENCODING: "compile it again with this clang: no compiler of C makes such an instruction",
    Refusal.BAD_JUMP: "end every function with a return, and leave no code behind it",
    Refusal.BAD_REGISTER: "copy the register first",
    Refusal.UNINITIALISED: "assign it on every path",
    Refusal.BAD_ACCESS: "compare the pointer or the offset with its limit first",
    Refusal.BAD_POINTER_ARITHMETIC: "compare the offset with a constant first, and add numbers to pointers only",
    Refusal.BAD_HELPER: "see the helper's parameters in docs/programs.md",
    Refusal.BAD_RETURN: "return a number on every path",
    Refusal.BAD_CALL: "make the function static inline",
    Refusal.STACK_TOO_DEEP: "use less stack, or move a large variable into an ARRAY map of one entry",
    Refusal.INFINITE_LOOP: "count the rounds, with a constant bound",
    Refusal.TOO_COMPLEX: "make loops shorter and branches fewer",
    Refusal.POINTER_LEAK: "store, print and return numbers only",
    Refusal.BAD_MAP: "correct the map's declaration",
    Refusal.UNSUPPORTED: "see docs/programs.md for what this kernel has",
}


@dataclass(frozen=True, slots=True)
class Spot:
    """One instruction: its slot, its text, and its source line (empty or 0 if unknown)."""

    slot: int
    instruction: str
    file: str
    line: int
    source: str

    @property
    def place(self) -> str:
        """`file:line: source`, as far as known."""
        return f"{self.file}:{self.line}: {self.source.strip()}".removesuffix(": ") if self.line else ""


@dataclass(frozen=True, slots=True)
class Step:
    """One decision of a path: a `branch` that was `taken` or not, a `call` or a `return` of a function."""

    kind: str
    taken: bool | None
    at: Spot

    @property
    def words(self) -> str:
        """The decision as text."""
        if self.kind != "branch":
            return self.kind
        return "taken" if self.taken else "not taken"


@dataclass(frozen=True, slots=True)
class State:
    """The contents, before an instruction, of the registers that it reads."""

    at: Spot
    registers: str


@dataclass(frozen=True, slots=True)
class Witness:
    """The walk to a refusal, repeated on the host: the slot of each step, and the newest steps' registers by step."""

    refusal: Refusal
    reason: str
    slots: tuple[int, ...]
    registers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The four parts. `refusal` is the stable name of the class; `left_out` counts earlier decisions of the path."""

    program: str
    refusal: str
    reason: str
    at: Spot
    path: tuple[Step, ...]
    left_out: int
    fix: str
    states: tuple[State, ...] = field(default=())

    def text(self, *, states: bool = False) -> str:
        """The parts as lines; with `states`, also the register contents along the path."""
        lines = [
            f"program {self.program!r} is refused by the verifier"
            + (f" ({self.refusal})" if self.refusal else "")
            + f" at slot {self.at.slot}",
            f"  reason: {self.reason}",
            *_labelled("at", [self.at.place, f"slot {self.at.slot}: {self.at.instruction}"]),
            *_labelled("path", self._path_lines()),
            f"  fix:    {self.fix}",
        ]
        if states and self.states:
            lines += ["  states, before each instruction:", *_state_lines(self.states)]
        return "\n".join(lines)

    def _path_lines(self) -> list[str]:
        shown = self.path[-PATH_SHOWN:]
        left = self.left_out + len(self.path) - len(shown)
        lines = [f"({left} earlier branches and calls)"] if left else []
        for step in shown:
            what = f"slot {step.at.slot}: {step.at.instruction}: {step.words}"
            lines.append(f"{step.at.place}  [{what}]" if step.at.place else what)
        return lines or ["from the start, without a branch"]

    def document(self, *, states: bool = False) -> dict[str, Any]:
        """The parts as JSON values."""
        out = {
            "refusal": self.refusal,
            "reason": self.reason,
            "at": asdict(self.at),
            "path": [{"kind": step.kind, "taken": step.taken, **asdict(step.at)} for step in self.path],
            "path_left_out": self.left_out,
            "fix": self.fix,
        }
        if states:
            out["states"] = [{**asdict(state.at), "registers": state.registers} for state in self.states]
        return out


def _labelled(label: str, lines: Sequence[str]) -> list[str]:
    given = [line for line in lines if line]
    return [f"  {f'{label}:' if not number else '':<8}{line}" for number, line in enumerate(given)]


def _state_lines(states: Sequence[State]) -> list[str]:
    out, last = [], ""
    for state in states:
        if state.at.place and state.at.place != last:
            out.append(f"    {state.at.place}")
            last = state.at.place
        held = f"  [{state.registers}]" if state.registers else ""
        out.append(f"    {state.at.slot:5}:  {state.at.instruction}{held}")
    return out


def explain(program: Program, text: str, witness: Witness | None = None) -> Explanation:
    """The four parts of a refusal that the kernel reported as `text`. A witness of another refusal is ignored."""
    spots = _Spots(program)
    found = _TEXT.fullmatch(text)
    parts = found.groupdict() if found is not None else {"reason": text}
    at = spots.at(int(parts.get("slot") or 0))
    if witness is not None and witness.reason != text:
        witness = None
    if witness is not None and witness.slots:
        path, states = _walked(spots, witness)
    else:
        path, states = _told(spots, parts.get("path") or "", parts.get("calls") or ""), ()
    refusal = witness.refusal if witness is not None else None
    return Explanation(
        program=program.name,
        refusal=refusal.name if refusal is not None else "",
        reason=parts["reason"] or text,
        at=at,
        path=path[-PATH_KEPT:],
        left_out=max(0, len(path) - PATH_KEPT),
        fix=_fix(parts["reason"] or "", parts.get("fix") or "", refusal, spots.slot(at.slot)),
        states=states,
    )


class _Spots:
    """The instructions of a program by slot."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._slots = {slot.number: slot for slot in slots_of(program.insns[: len(program.insns) // 8 * 8])}
        self._texts = {(place.file, place.line): place.text for place in program.places}

    def slot(self, number: int) -> Slot | None:
        return self._slots.get(number)

    def at(self, number: int) -> Spot:
        slot, place = self._slots.get(number), self._program.place_of(number)
        text = text_of(slot, self._program) if slot is not None else ""
        if place is None:
            return Spot(number, text, "", 0, "")
        return Spot(number, text, shown_path(place.file), place.line, place.text)


def _is_branch(slot: Slot) -> bool:
    return slot.code & 7 in (5, 6) and slot.code & 0xF0 not in (0x00, 0x80, 0x90)


def _walked(spots: _Spots, witness: Witness) -> tuple[tuple[Step, ...], tuple[State, ...]]:
    path: list[Step] = []
    for number, following in zip(witness.slots, witness.slots[1:], strict=False):
        slot = spots.slot(number)
        if slot is None:
            continue
        if _is_branch(slot):
            path.append(Step("branch", following != number + 1, spots.at(number)))
        elif slot.code == 0x85 and slot.src == 1:
            path.append(Step("call", None, spots.at(number)))
        elif slot.code == 0x95:
            path.append(Step("return", None, spots.at(number)))
    states = tuple(
        State(spots.at(number), registers)
        for number, registers in zip(witness.slots, witness.registers, strict=True)
    )
    return tuple(path), states[-len([one for one in witness.registers if one]) - PATH_KEPT :]


def _told(spots: _Spots, path: str, calls: str) -> tuple[Step, ...]:
    steps = [
        Step("branch", "not" not in one, spots.at(int(one.split()[0]))) for one in path.split(", ") if one
    ]
    return (*steps, *(Step("call", None, spots.at(int(one))) for one in calls.split(", ") if one))


def _fix(reason: str, told: str, refusal: Refusal | None, slot: Slot | None) -> str:
    """The fix that would make the program acceptable: the kernel's, or a better one if more is known here."""
    is_helper = slot is not None and slot.code == 0x85 and slot.src == 0
    if is_helper and "is read before it is written" in reason:
        return (
            "write every byte that the helper reads, the padding of a structure included: "
            "`__builtin_memset(&key, 0, sizeof(key))` first"
        )
    if is_helper and "part of a pointer" in reason:
        return "keep pointers out of keys and values: a map would let the address out; use what it points to"
    if refusal in (Refusal.INFINITE_LOOP, Refusal.TOO_COMPLEX) and "bpf_loop" in HELPER_NAMES.values():
        return f"{told}; or call the loop's body through bpf_loop, which is verified once"
    return told or (_FIXES.get(refusal, _ADD) if refusal is not None else _ADD)


class RefusedByVerifier(ProgramRejected):
    """A refusal by a verifier, here or on a board: at `slot`, with the kernel's own text as `reason`.

    `explanation` has the four parts, and so has the message. `witness` walks to the refusal again, once somebody asks.
    """

    def __init__(
        self,
        program: Program,
        *,
        slot: int,
        reason: str,
        witness: Callable[[], Witness | None] = lambda: None,
    ) -> None:
        self.program: Program | None = (
            None  # the parts are not computed while the base class builds its message
        )
        self.slot = slot
        self._witness = witness
        super().__init__(
            f"program {program.name!r} is refused by the verifier", stage="verify", reason=reason
        )
        self.program = program

    @cached_property
    def explanation(self) -> Explanation:
        """The refusal in its parts."""
        assert self.program is not None
        return explain(self.program, self.reason, self._witness())

    def __str__(self) -> str:
        return super().__str__() if self.program is None else self.explanation.text()


class VerifyRejected(RefusedByVerifier):
    """A refusal by the verifier on this machine: `refusal` is its class, `processed` the number of walked instructions."""

    def __init__(
        self,
        program: Program,
        *,
        refusal: Refusal,
        slot: int,
        processed: int,
        reason: str,
        witness: Callable[[], Witness | None] = lambda: None,
    ) -> None:
        self.refusal = refusal
        self.processed = processed
        super().__init__(program, slot=slot, reason=reason, witness=witness)


def document_of(refused: ProgramRejected, *, states: bool = False) -> dict[str, Any]:
    """Any refusal as JSON values: `stage`, `what` and `reason`; by the verifier, also the four parts."""
    out: dict[str, Any] = {"accepted": False, "stage": refused.stage}
    if isinstance(refused, RefusedByVerifier):
        explanation = refused.explanation
        return out | {"program": explanation.program} | explanation.document(states=states)
    return out | {
        "what": refused.what,
        "reason": refused.reason,
        "expected": refused.expected,
        "fix": refused.do,
    }
