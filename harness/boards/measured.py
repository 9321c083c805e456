"""A kernel's own costs as samples on the board's clock: instructions if time is modelled, otherwise time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.board import EXACT, BoardSpec
from contracts.errors import ConfigError, KernelError
from contracts.measurement import Clock, Samples
from contracts.stages import Stage
from contracts.wire.events import RollbackEvent
from contracts.wire.live import LoadResponse, ReplayResponse, RunResponse, SwapResponse, TrialResponse
from contracts.wire.schema import Record
from contracts.wire.session import BoardFlag, HelloResponse

QEMU: Final = "QEMU"

# The field of an answer with a stage's cost, in each of the two units.
_FIELDS: Final[Mapping[tuple[type[Record], Stage], tuple[str, str]]] = {
    (LoadResponse, Stage.UNSEAL): ("unseal_instructions", "unseal_ns"),
    (LoadResponse, Stage.VERIFY): ("verify_instructions", "verify_ns"),
    (LoadResponse, Stage.JIT): ("jit_instructions", "jit_ns"),
    (TrialResponse, Stage.TRIAL): ("trial_instructions", "trial_ns"),
    (SwapResponse, Stage.DEPLOY): ("swap_instructions", "swap_ns"),
    (SwapResponse, Stage.ROLLBACK): ("swap_instructions", "swap_ns"),
    (RunResponse, Stage.EXECUTE): ("instructions_max", "ns_max"),
    (ReplayResponse, Stage.EXECUTE): ("instructions_max", "ns_max"),
    (ReplayResponse, Stage.WATCH): ("replay_instructions", "replay_ns"),
    (RollbackEvent, Stage.ROLLBACK): ("rollback_instructions", "rollback_ns"),
}


def guest_clock(spec: BoardSpec, hello: HelloResponse) -> Clock:
    """The clock of the board kernel's figures: virtual if its time is its instruction count.

    Silicon also counts instructions, but the counts vary and are not its time.
    """
    counters = hello.flags & (BoardFlag.INSTRUCTION_COUNTER | BoardFlag.TIME_COUNTER)
    exact = EXACT in spec.capabilities and counters == BoardFlag.INSTRUCTION_COUNTER
    return Clock.VIRTUAL if exact else Clock.HARDWARE


def samples_of(spec: BoardSpec, hello: HelloResponse, stage: str, answers: tuple[Record, ...]) -> Samples:
    """A stage's cost from the kernel's `answers`, one sample each, on the board's clock.

    Raises ConfigError for an answer without samples of the stage, KernelError for a kernel without a clock.
    """
    clock = guest_clock(spec, hello)
    if clock is Clock.HARDWARE and not hello.flags & BoardFlag.TIME_COUNTER:
        raise KernelError(
            f"the kernel on {spec.kind} does not measure time",
            expected="time in addition to instructions, on a board that is not exact",
            seen="only instructions: the kernel detects that time is modelled, or it is an older build",
            do="build the kernel from this tree; a QEMU with -icount is an exact board type",
        )
    values = []
    for answer in answers:
        fields = _FIELDS.get((type(answer), Stage(stage))) if stage in tuple(Stage) else None
        if fields is None:
            known = sorted({known.value for kind, known in _FIELDS if kind is type(answer)})
            raise ConfigError(
                f"{type(answer).__name__} has no samples of {stage}",
                expected=f"one of {', '.join(known)}"
                if known
                else "an answer or event that measures something",
                seen=stage,
                do="pass the answer of the command that executes the stage",
            )
        values.append(float(getattr(answer, fields[clock is Clock.HARDWARE])))
    simulated = spec.qemu is not None or spec.sim is not None
    return Samples(clock, tuple(values), QEMU if clock is Clock.HARDWARE and simulated else "")
