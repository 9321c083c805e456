"""The writer of a run's programs: the shipped model, or another GGUF through the slow path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ai.diagnose import diagnose
from ai.generate import Generator
from ai.model import SHIPPED, Model
from ai.reference import Reference
from contracts.diagnosis import Diagnosis, Generated, Refusal
from contracts.telemetry import Telemetry
from harness.loop.pipeline import Situation
from harness.machine.pace import Pace


class ModelWriter:
    """A model as the pipeline's `Writer`. One generation at a time: callers hold the machine's turn.

    `promises_latency` is True only for the shipped model.
    """

    def __init__(self, model: Model, *, promises_latency: bool) -> None:
        self.model = model
        self._generator = Generator(model)
        self.name = model.path.name
        self.model_hash = model.hash
        self.promises_latency = promises_latency

    @cached_property
    def pace(self) -> Pace | None:
        """How fast this machine evaluates a model like ours now; None where no latency is guaranteed."""
        return Pace(Reference()) if self.promises_latency else None

    def diagnose(self, telemetry: Telemetry, situation: Situation) -> Diagnosis:
        """The bottleneck in the telemetry, with the situation's policy as parameters. Raises NoBottleneck."""
        return diagnose(telemetry, situation.policy)

    def generate(self, diagnosis: Diagnosis, feedback: Sequence[Refusal]) -> Generated:
        """One program. Raises ProgramRejected (stage `generate`) if the model ends without a complete program."""
        return self._generator.generate(diagnosis, feedback)


def open_writer(model: Path | None) -> ModelWriter:
    """The writer for `--model`; None is the shipped model. Raises ModelError."""
    return ModelWriter(Model(model or SHIPPED), promises_latency=model is None)
