"""Correct programs pass the trial in the kernel's own engine; empty, foreign and nearly correct ones fail."""

from __future__ import annotations

import pytest

from ai.scenarios import EMPTY, Situation, families, situation, wrong_choices
from ai.scenarios.programs import map_name, reference
from contracts.diagnosis import TrialResult
from harness.bpf.host_trial import host_trial, net_rx_program
from harness.bpf.native import Engine

SEEDS = range(5)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def _tried(engine: Engine, source: str, one: Situation) -> TrialResult:
    return one.judge_trial(host_trial(engine, net_rx_program(source), one.trial))


@pytest.mark.parametrize("family", families())
def test_the_reference_verifies_and_passes(engine: Engine, family: str) -> None:
    for seed in SEEDS:
        one = situation(family, seed)
        assert _tried(engine, one.reference, one) == TrialResult(True), one.parameters


@pytest.mark.parametrize("family", families())
def test_the_empty_program_fails_every_situation(engine: Engine, family: str) -> None:
    for seed in SEEDS:
        assert not _tried(engine, EMPTY, situation(family, seed)).ok


@pytest.mark.parametrize("family", families())
def test_the_references_of_other_families_fail(engine: Engine, family: str) -> None:
    for seed in SEEDS[:3]:
        one = situation(family, seed)
        for other in families():
            if other != family:
                assert not _tried(engine, situation(other, seed).reference, one).ok


@pytest.mark.parametrize("family", families())
def test_a_program_with_the_right_map_and_one_wrong_choice_fails(engine: Engine, family: str) -> None:
    one = situation(family, 2)
    for wrong in wrong_choices(one.parameters)[:8]:
        source = reference(wrong).replace(map_name(wrong), map_name(one.parameters))
        result = _tried(engine, source, one)
        assert not result.ok, wrong
        assert result.reason
