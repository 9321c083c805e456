"""All errors, in one small tree: the class says who is at fault, the message what was expected, seen and to do."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Final, Self

from contracts.stages import Stage

_WORD_MAX: Final = 200


class AssayError(Exception):
    """Root of every error that Assay raises on purpose.

    `expected`, `seen` and `do` are separate so that reports can format them; `str()` joins them.
    """

    exit_code = 1

    def __init__(self, what: str, *, expected: str = "", seen: str = "", do: str = "") -> None:
        self.what = what
        self.expected = expected
        self.seen = seen
        self.do = do
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.what]
        if self.expected:
            parts.append(f"expected: {self.expected}")
        if self.seen:
            parts.append(f"seen: {self.seen}")
        if self.do:
            parts.append(f"do: {self.do}")
        return "\n  ".join(parts)


class ConfigError(AssayError):
    """The user's files or arguments are invalid. Raised before any board is leased; exit code 4."""

    exit_code = 4


class SetupError(AssayError):
    """The machine cannot be set up (package, network, privilege). Exit code 69."""

    exit_code = 69


class BuildError(AssayError):
    """The kernel or one of our programs does not build. Ends the run before a lease; exit code 1."""


class ModelError(AssayError):
    """A model file is missing, is truncated, has the wrong architecture, or does not load. Exit code 4."""

    exit_code = 4


class Cause(StrEnum):
    """The cause of a lab fault: it decides whether a test is retried, and what two such faults mean."""

    ITSELF = "itself"
    """The board died or failed during the run, without a known outside cause."""
    OUTSIDE = "outside"
    """Somebody took the board, killed or stopped its process, switched its supply, or used its console."""
    LAB = "lab"
    """Something around the board: its switch, its cable, its server. Another place may work."""
    MACHINE = "machine"
    """This machine: no processor time, no free disk space, no working QEMU. Another place would not help."""


class InfraError(AssayError):
    """A lab fault: a lost board, a killed QEMU, a full disk. Exit code 75.

    `cause` is the default of the class unless one is given.
    """

    exit_code = 75
    usual_cause: ClassVar[Cause] = Cause.LAB

    def __init__(
        self, what: str, *, expected: str = "", seen: str = "", do: str = "", cause: Cause | None = None
    ) -> None:
        self.cause = self.usual_cause if cause is None else cause
        super().__init__(what, expected=expected, seen=seen, do=do)

    def renamed(self, what: str) -> Self:
        """The same error, of the same class and cause, with another message."""
        return type(self)(what, expected=self.expected, seen=self.seen, do=self.do, cause=self.cause)


class ChannelError(InfraError):
    """The debug channel gave no valid answer in time (silent board, closed link)."""

    usual_cause = Cause.ITSELF


class MachineBusy(InfraError):
    """The machine was too busy for a QEMU board to answer in time. Another board here would have the same problem."""

    usual_cause = Cause.MACHINE


class BoardLost(InfraError):
    """The board is gone: its process was killed from outside, or its link closed."""

    usual_cause = Cause.ITSELF


class KernelError(AssayError):
    """The kernel under test died, hung or violated its contract: a `fail`, exit code 1."""


class KernelFault(KernelError):
    """The kernel reported its own fault (panic) with registers; `report` is the full text."""

    def __init__(
        self, what: str, *, report: str = "", expected: str = "", seen: str = "", do: str = ""
    ) -> None:
        self.report = report
        super().__init__(what, expected=expected, seen=seen, do=do)


class RequestRefused(AssayError):
    """The kernel refused a request. `status` is the channel status name, `detail` the kernel's text."""

    def __init__(
        self, what: str, *, status: str, detail: str = "", expected: str = "", seen: str = "", do: str = ""
    ) -> None:
        self.status = status
        self.detail = detail
        super().__init__(what, expected=expected, seen=seen or detail, do=do)


class ProgramRejected(AssayError):
    """A program was refused by a stage (`compile`, `unseal`, `verify`, `trial`); the text can go back to a model.

    `stage` may be a name. Raises ValueError for a name that is not in the journey.
    """

    def __init__(
        self, what: str, *, stage: Stage | str, reason: str, expected: str = "", seen: str = "", do: str = ""
    ) -> None:
        self.stage = Stage(stage)
        self.reason = reason
        super().__init__(what, expected=expected, seen=seen or reason, do=do)


class BudgetExceeded(AssayError):
    """A stage missed its budget."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A ` (did you mean 'x'?)` suffix for the nearest of `known`, or an empty string."""
    from difflib import get_close_matches

    if len(word) > _WORD_MAX:  # too long for a typo, and difflib is slow
        return ""
    near = get_close_matches(word, [str(name) for name in known], n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
