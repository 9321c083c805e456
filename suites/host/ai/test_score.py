"""The shipped model's first programs pass verifier and trial in held-out situations; rules and random weights do not."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from ai import baseline
from ai.evaluate import EXAM_SITUATIONS, PASS_SHARE, exam, natural, score
from ai.generate import Generator, open_generator
from ai.scenarios import Situation
from ai.train.random_weights import write_random_gguf
from contracts.diagnosis import Refusal
from contracts.errors import ProgramRejected
from contracts.stages import Stage
from harness.bpf.host_trial import host_trial, net_rx_program
from harness.bpf.native import Engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def _attempt(engine: Engine, source: str, one: Situation) -> Refusal | None:
    try:
        result = one.judge_trial(host_trial(engine, net_rx_program(source), one.trial))
    except ProgramRejected as rejected:
        return Refusal(rejected.stage, rejected.reason, source)
    return None if result.ok else Refusal(Stage.TRIAL, result.reason, source)


def test_the_exam_is_held_out_and_covers_every_family_and_both_splits() -> None:
    situations = list(exam())
    assert len(situations) == EXAM_SITUATIONS
    assert {one.split for one in situations} == {"composition", "template"}
    assert len({(one.family, one.seed) for one in situations}) == EXAM_SITUATIONS
    assert {one.family: 0 for one in situations}.keys() == {"flood", "portscan", "hotport", "latency"}


@pytest.mark.timeout(600)
def test_the_shipped_model_passes_the_exam_at_first_attempt(engine: Engine, generator: Generator) -> None:
    made = score(
        "shipped", lambda d: generator.generate(d).source, lambda s, o: _attempt(engine, s, o), exam()
    )
    assert made.share >= PASS_SHARE, f"{made}\n" + "\n".join(made.reasons)


def test_rules_that_know_the_training_split_alone_fail_what_is_held_out(engine: Engine) -> None:
    def attempt(source: str, one: Situation) -> Refusal | None:
        return _attempt(engine, source, one)

    held = score("rules", baseline.write, attempt, islice(exam(), 12))
    known = score("rules", baseline.write, attempt, (one for one in natural(12) if not one.split))
    assert held.passed == 0
    assert known.passed == known.total > 0


def test_random_weights_pass_nothing(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    write_random_gguf(path, seed=9)
    random = open_generator(path)
    made = score("random", lambda d: random.generate(d).source, lambda s, o: _attempt(engine, s, o), exam(16))
    assert made.passed == 0
