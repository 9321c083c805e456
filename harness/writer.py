"""Who writes the programs of a run: the shipped model, or another GGUF through the slow path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ai.diagnose import diagnose
from ai.generate import Generator, open_generator
from contracts.diagnosis import Diagnosis, Generated, Refusal
from contracts.telemetry import Telemetry
from harness.pipeline import Situation


class ModelWriter:
    """A model behind the pipeline's `Writer`. One generation at a time: callers hold the machine's turn."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    @property
    def name(self) -> str:
        """The model file's name."""
        return self._generator.name

    @property
    def promises_latency(self) -> bool:
        """True for the shipped model alone."""
        return self._generator.promises_latency

    @property
    def model_hash(self) -> bytes:
        """SHA-256 of the model file."""
        return self._generator.model_hash

    def diagnose(self, telemetry: Telemetry, situation: Situation) -> Diagnosis:
        """The bottleneck in the telemetry, with the situation's policy as parameters."""
        return diagnose(telemetry, situation.policy)

    def generate(self, diagnosis: Diagnosis, feedback: Sequence[Refusal]) -> Generated:
        """One program. Raises ProgramRejected (stage `generate`) when the model ends without a whole program."""
        return self._generator.generate(diagnosis, feedback)


def open_writer(model: Path | None) -> ModelWriter:
    """The writer for `--model`; None is the shipped model. Raises ModelError."""
    return ModelWriter(open_generator(model))
