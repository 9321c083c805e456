"""The stages of an extension's journey, in order. A new stage is one line here."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Literal

from contracts.measurement import Clock


class Side(Enum):
    """Where a stage runs, which determines the clocks of its samples."""

    HOST = "a step on the host, before the kernel sees anything"
    BOARD = "a step inside the kernel, which measures it"
    WHOLE = "several steps together, measured on the host"

    @property
    def clocks(self) -> tuple[Clock, ...]:
        """The clocks that a figure of this side can be on."""
        return (Clock.VIRTUAL, Clock.HARDWARE) if self is Side.BOARD else (Clock.HOST,)


class Stage(StrEnum):
    """A stage; as a text, also in JSON, it is its name.

    `does` is a description in one line. `unit` is that of its samples. `paced_by_model`: its time depends on the model,
    so a model without a latency promise is not judged by it. `not_built` is the reason to show a missing stage as
    `skip`; empty for an existing stage.
    """

    _value_: str
    side: Side
    does: str
    unit: Literal["ns", "%"]
    paced_by_model: bool
    not_built: str

    def __new__(
        cls,
        name: str,
        side: Side = Side.HOST,
        does: str = "",
        unit: Literal["ns", "%"] = "ns",
        paced_by_model: bool = False,
        not_built: str = "",
    ) -> Stage:
        """One member; `Stage(name)` finds a member by name, like every enum. Raises ValueError for an unknown name."""
        stage = str.__new__(cls, name)
        stage._value_ = name
        stage.side, stage.does, stage.unit = side, does, unit
        stage.paced_by_model, stage.not_built = paced_by_model, not_built
        return stage

    OBSERVE = "observe", Side.HOST, "read the kernel's telemetry"
    DIAGNOSE = "diagnose", Side.HOST, "find the bottleneck in the telemetry"
    GENERATE = "generate", Side.HOST, "the model writes restricted C", "ns", True
    COMPILE = "compile", Side.HOST, "clang compiles it to eBPF"
    REVIEW = "review", Side.HOST, "the model as critic", "ns", True, "the model as critic is not built yet"
    ANALYSE = "analyse", Side.HOST, "symbolic execution", "ns", False, "symbolic execution is not built yet"
    SEAL = "seal", Side.HOST, "sign the extension image"
    UNSEAL = "unseal", Side.BOARD, "the kernel checks signature and format"
    VERIFY = "verify", Side.BOARD, "the kernel proves the program safe and bounds its cost"
    JIT = "jit", Side.BOARD, "the kernel compiles it to A64 code"
    TRIAL = "trial", Side.BOARD, "the program runs on test traffic, and an oracle judges it"
    DEPLOY = "deploy", Side.BOARD, "swap the hook's configuration"
    EXECUTE = "execute", Side.BOARD, "one call of the program at its hook"
    WATCH = "watch", Side.BOARD, "the configuration passes its watch window and is committed"
    ROLLBACK = "rollback", Side.BOARD, "the previous configuration is active again"
    WASM_CALL = (
        "wasm_call",
        Side.BOARD,
        "one call into a plugin",
        "ns",
        False,
        "WASM plugins are not built yet",
    )
    ADAPT = "adapt", Side.WHOLE, "from the telemetry request to the acknowledged deploy", "ns", True
    UNADAPTED = "unadapted", Side.WHOLE, "share of situations that ended without a deployed program", "%"
    UART = "uart", Side.WHOLE, "the part of `adapt` that the debug channel took"

    @property
    def clocks(self) -> tuple[Clock, ...]:
        """The possible clocks of its samples."""
        return self.side.clocks


def place_in_journey(stage: str) -> int:
    """A stage's position in the order; unknown names come last."""
    order = tuple(Stage)
    return order.index(Stage(stage)) if stage in order else len(order)
