"""Hooks. A hook is a row of `HOOKS` and the place in the kernel where its event happens, which calls `hooks_<name>`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Hook(IntEnum):
    """Where a program can be attached. The numbers are part of the extension image and count from 0 without gaps."""

    TEST = 0
    NET_RX = 1
    TIMER = 2


class Points(IntEnum):
    """What a context field points to, for the verifier."""

    NOWHERE = 0
    PACKET = 1
    PACKET_END = 2
    PACKET_META = 3


class PriorityClass(IntEnum):
    """How the programs of one hook share an event, lowest priority number first.

    ALONE: one program at a time, by a RUN request; never deployed. FIRST_VERDICT: until one returns a verdict other
    than the hook's pass; an invalid result counts as verdict 0. ALL: each runs, and results are ignored.
    """

    ALONE = 0
    FIRST_VERDICT = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a context: its size for programs and in the kernel's structure, both in bytes.

    Members have their natural alignment and the order of declaration, on both sides.
    """

    name: str
    size: int
    kernel_size: int
    points: Points = Points.NOWHERE
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """The structure that r1 points to, read-only.

    `program` and `kernel` are its C names for programs and in the kernel. If the two layouts differ, a program may
    load only whole members, which the verifier rewrites into loads of the kernel's; if they are equal, any bytes.
    """

    program: str
    kernel: str
    fields: tuple[Field, ...]

    def offsets(self, *, kernel: bool) -> tuple[int, ...]:
        """Byte offset of each member."""
        at, found = 0, []
        for field in self.fields:
            size = field.kernel_size if kernel else field.size
            at = -(-at // size) * size
            found.append(at)
            at += size
        return tuple(found)

    def size(self, *, kernel: bool) -> int:
        """Bytes of the whole structure: a multiple of its largest member."""
        sizes = [field.kernel_size if kernel else field.size for field in self.fields]
        end = self.offsets(kernel=kernel)[-1] + sizes[-1]
        return -(-end // max(sizes)) * max(sizes)

    @property
    def is_rewritten(self) -> bool:
        """True if the kernel's layout differs from the program's."""
        return any(field.size != field.kernel_size for field in self.fields)


@dataclass(frozen=True, slots=True)
class HookRow:
    """One hook.

    `sections` are the ELF sections for its programs. `context` None: r1 points to memory from the request, r2 is its
    size. `verdicts` are the valid results of a program with their C names, counted from 0; they form
    `enum <verdict_enum>`, and `passes` names the one that lets the event continue. `trialable`: TRIAL
    (`firmware/live/trial.c`) can create such a context from a trace.
    """

    hook: Hook
    doc: str
    sections: tuple[str, ...]
    context: Context | None
    priority_class: PriorityClass
    trialable: bool = False
    verdict_enum: str = ""
    verdicts: tuple[tuple[str, int], ...] = ()
    passes: str = ""

    @property
    def name(self) -> str:
        """Lower-case name, as in messages."""
        return self.hook.name.lower()

    @property
    def has_packet(self) -> bool:
        """True if the context has the location of a packet."""
        fields = self.context.fields if self.context is not None else ()
        return any(field.points is Points.PACKET for field in fields)

    @property
    def deployable(self) -> bool:
        """True if programs can be deployed on the hook."""
        return self.priority_class is not PriorityClass.ALONE

    @property
    def pass_value(self) -> int:
        """The verdict that lets the event continue; 0 if there are no verdicts."""
        return dict(self.verdicts).get(self.passes, 0)


HOOKS: Final = (
    HookRow(
        Hook.TEST,
        "A RUN request: the program works on memory that is part of the request and of the reply.",
        sections=("test",),
        context=None,
        priority_class=PriorityClass.ALONE,
    ),
    HookRow(
        Hook.NET_RX,
        "A received packet, as in Linux's XDP. An invalid result counts as XDP_ABORTED.",
        sections=("net_rx", "xdp"),
        context=Context(
            program="xdp_md",
            kernel="bpf_xdp_ctx",
            fields=(
                Field("data", 4, 8, Points.PACKET, "first byte of the packet"),
                Field("data_end", 4, 8, Points.PACKET_END, "one past its last byte"),
                Field("data_meta", 4, 8, Points.PACKET_META, "its metadata: none, equal to `data`"),
                Field("ingress_ifindex", 4, 4, doc="1"),
                Field("rx_queue_index", 4, 4, doc="0"),
                Field("egress_ifindex", 4, 4, doc="0"),
            ),
        ),
        priority_class=PriorityClass.FIRST_VERDICT,
        trialable=True,
        verdict_enum="xdp_action",
        verdicts=(("XDP_ABORTED", 0), ("XDP_DROP", 1), ("XDP_PASS", 2), ("XDP_TX", 3)),
        passes="XDP_PASS",
    ),
    HookRow(
        Hook.TIMER,
        "A period of virtual time that has passed. The result is ignored.",
        sections=("timer",),
        context=Context(
            program="timer_ctx",
            kernel="bpf_timer_ctx",
            fields=(
                Field("now_ns", 8, 8, doc="virtual time of the call"),
                Field("period_ns", 8, 8, doc="the period that has passed"),
            ),
        ),
        priority_class=PriorityClass.ALL,
        trialable=True,
    ),
)

assert [row.hook for row in HOOKS] == list(Hook), "a row for each hook, in the order of Hook"
assert [hook.value for hook in Hook] == list(range(len(Hook))), "hooks are numbered from 0 without gaps"

SECTIONS: Final = {section: row.hook for row in HOOKS for section in row.sections}


def hook_row(hook: Hook) -> HookRow:
    """The row of a hook."""
    return HOOKS[hook]


def hooks_text() -> str:
    """The hooks as text, for messages: `test 0, net_rx 1 or timer 2`."""
    texts = [f"{row.name} {row.hook.value}" for row in HOOKS]
    return f"{', '.join(texts[:-1])} or {texts[-1]}"


def names_text(rows: Iterable[HookRow] = HOOKS) -> str:
    """Only the names of hooks: `test, net_rx or timer`."""
    names = [row.name for row in rows]
    return f"{', '.join(names[:-1])} or {names[-1]}"
