"""Generation is a pure function of its input, bounded, and ends with a complete program or a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai import prompt
from ai.diagnose import diagnose
from ai.generate import TOKENS_MAX, Generator, open_generator
from ai.model import SHIPPED, Model
from ai.scenarios import Situation, families, situation
from ai.scenarios.observe import telemetry
from ai.scenarios.programs import EMPTY, PREFIX
from ai.train.random_weights import write_random_gguf
from contracts.diagnosis import Diagnosis, Refusal
from contracts.errors import ModelError, ProgramRejected
from contracts.stages import Stage


def _end(generator: Generator, one: Situation) -> str:
    """The program, or the stage and reason of the refusal."""
    try:
        return generator.generate(_diagnosis(one)).source
    except ProgramRejected as rejected:
        return f"{rejected.stage}: {rejected.reason}"


def _diagnosis(one: Situation) -> Diagnosis:
    return diagnose(telemetry(one.workload), one.policy)


def test_the_shipped_model_promises_latency_and_names_itself(generator: Generator) -> None:
    assert generator.promises_latency
    assert generator.name == SHIPPED.name
    assert len(generator.model_hash) == 32


@pytest.mark.parametrize("family", families())
def test_the_same_diagnosis_gives_the_same_program_whatever_came_between(
    generator: Generator, family: str
) -> None:
    one = _diagnosis(situation(family, 11))
    first = generator.generate(one)
    for other in families():
        generator.generate(_diagnosis(situation(other, 12)))
    again = generator.generate(one)
    assert (first.source, first.prompt_hash, first.tokens) == (again.source, again.prompt_hash, again.tokens)


def test_a_program_is_whole_and_its_cost_is_recorded(generator: Generator) -> None:
    made = generator.generate(_diagnosis(situation("flood", 5)))
    assert made.source.startswith(PREFIX)
    assert made.source.endswith("\n}\n")
    assert 0 < made.tokens <= TOKENS_MAX
    assert made.thread_cpu_s > 0
    assert made.wall_s > 0
    assert made.model_hash == generator.model_hash


def test_a_refusal_reaches_the_prompt_with_its_reason_and_program(generator: Generator) -> None:
    one = _diagnosis(situation("portscan", 5))
    refusal = Refusal(Stage.TRIAL, "packet 3: expected XDP_DROP, got XDP_PASS (2 wrong)", EMPTY)
    made = generator.generate(one, [Refusal(Stage.VERIFY, "older", EMPTY), refusal])
    assert "refused by trial: packet 3: expected XDP_DROP" in made.prompt
    assert "older" not in made.prompt
    assert EMPTY.removeprefix(PREFIX) in made.prompt
    assert made.prompt_hash != generator.generate(one).prompt_hash


@pytest.mark.parametrize("family", families())
def test_a_refused_program_is_not_written_again(generator: Generator, family: str) -> None:
    one = _diagnosis(situation(family, 21))
    feedback: list[Refusal] = []
    for _ in range(3):
        source = generator.generate(one, feedback).source
        assert source not in {refusal.source for refusal in feedback}
        feedback.append(Refusal(Stage.TRIAL, "packet 3: expected XDP_DROP, got XDP_PASS (2 wrong)", source))
    assert generator.generate(one, feedback[:2]).source == feedback[2].source


def test_a_refusal_too_long_for_the_context_is_left_out(generator: Generator) -> None:
    one = _diagnosis(situation("hotport", 5))
    endless = Refusal(Stage.COMPILE, "x " * 5000, "\t/* not of ours */\n" * 500)
    assert generator.generate(one, [endless]).source.endswith("}\n")


def test_a_long_reason_is_cut_to_one_line() -> None:
    text = prompt.refused(Refusal(Stage.VERIFY, "first\nsecond " + "z" * 500, EMPTY))
    assert text.startswith("refused by verify: first second z")
    assert len(text.splitlines()[0]) < 200


def test_random_weights_end_in_a_whole_program_or_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    write_random_gguf(path, seed=3)
    random = open_generator(path)
    assert not random.promises_latency
    ends = set()
    for family in families():
        for seed in range(3):
            one = situation(family, seed)
            end = _end(random, one)
            assert end.startswith("generate: ") or (end.endswith("\n}\n") and end != one.reference)
            ends.add(end)
    assert len(ends) > 1


def test_a_prompt_longer_than_the_context_is_said(model: Model) -> None:
    with pytest.raises(ModelError, match="does not fit"):
        model.begin([5] * (model.context_size + 1))


@pytest.mark.parametrize("family", families())
def test_a_foreign_model_is_told_all_it_needs_in_words(family: str) -> None:
    for seed in range(10):
        one = situation(family, seed)
        text = prompt.explained(_diagnosis(one), [Refusal(Stage.VERIFY, "R0 may be null", EMPTY)])
        for name in one.expected.maps:
            assert name in text
        assert one.reference not in text
        assert "R0 may be null" in text


def test_a_figure_of_the_evidence_is_never_the_token_of_a_choice() -> None:
    from ai.scenarios.parameters import Parameters

    p = Parameters("hotport", "dest", "udp", 128, "packets", 256)
    text = prompt.compact_parameters(p, "udp 96%, top source 100%, 64 ports, 16 octaves, 73 left")
    assert "evidence: udp 97%, top source 99%, 63 ports, 17 octaves, 73 left\n" in text
    assert "shortest: 128 bytes\n" in text
