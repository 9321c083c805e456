"""Situations are pure functions of their seed, fit the channel, and their trials detect nearly correct programs."""

from __future__ import annotations

from itertools import islice, pairwise
from random import Random

import pytest

from ai.scenarios import families, oracle, parameters_of, situation, wrong_choices
from ai.scenarios.parameters import FAMILIES, FILTERS, KEYS, MEASURES, Parameters, held_out, templates
from ai.scenarios.programs import PREFIX, reference
from ai.train.data import drawn, examples
from contracts.diagnosis import TrialObservation
from contracts.errors import ConfigError
from contracts.trace import Trace

SEEDS = range(20)


def test_there_are_at_least_four_families() -> None:
    assert set(families()) >= {"flood", "portscan", "hotport", "latency"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_names_one_situation(family: str) -> None:
    assert situation(family, 7) == situation(family, 7)
    assert situation(family, 7) != situation(family, 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_traces_fit_the_upload_and_never_run_backwards(family: str) -> None:
    for seed in SEEDS:
        one = situation(family, seed)
        for trace, most in ((one.workload, 40 * 1024), (one.trial, 8 * 1024)):
            assert sum(16 + -(-len(p.frame) // 8) * 8 for p in trace.packets) <= most
            assert all(a.arrival_ns <= b.arrival_ns for a, b in pairwise(trace.packets))
            assert all(14 <= len(p.frame) <= 1514 for p in trace.packets)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trial_tells_every_single_wrong_choice(family: str) -> None:
    told = missed = 0
    for seed in SEEDS:
        one = situation(family, seed)
        for wrong in wrong_choices(one.parameters):
            other = oracle.expect(wrong, one.trial)
            same = other.verdicts == one.expected.verdicts and list(other.maps.values()) == list(
                one.expected.maps.values()
            )
            missed, told = missed + same, told + (not same)
    assert missed <= told // 50, f"{missed} wrong choices go unseen, {told} are told"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_expected_outcome_passes_and_any_other_is_named(family: str) -> None:
    one = situation(family, 3)
    right = TrialObservation(one.expected.verdicts, one.expected.maps)
    assert one.judge_trial(right).ok
    flipped = TrialObservation((0, *one.expected.verdicts[1:]), one.expected.maps)
    assert "packet 0" in one.judge_trial(flipped).reason
    assert "XDP_ABORTED" in one.judge_trial(flipped).reason
    name = next(iter(one.expected.maps))
    assert one.judge_trial(TrialObservation(one.expected.verdicts, {})).reason == f"map {name} is missing"
    emptied = {**one.expected.maps, name: {}}
    assert name in one.judge_trial(TrialObservation(one.expected.verdicts, emptied)).reason
    assert not one.judge_trial(TrialObservation(one.expected.verdicts[:-1], one.expected.maps)).ok


def test_an_array_may_be_given_whole_with_its_zeros() -> None:
    one = next(s for s in (situation("latency", seed) for seed in range(9)) if s.parameters.key != "all")
    padded = {
        name: {**dict.fromkeys((i.to_bytes(4, "little") for i in range(32)), bytes(8)), **contents}
        if name in one.expected.arrays
        else contents
        for name, contents in one.expected.maps.items()
    }
    assert one.judge_trial(TrialObservation(one.expected.verdicts, padded)).ok


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_trace_expects_nothing(family: str) -> None:
    expected = oracle.expect(situation(family, 1).parameters, Trace(()))
    assert expected.verdicts == ()
    assert not any(expected.maps.values())


def test_parameters_survive_the_diagnosis() -> None:
    for family in FAMILIES:
        for seed in SEEDS:
            parameters = parameters_of(family, seed)
            assert Parameters.from_text(family, parameters.as_text()) == parameters


def test_a_value_outside_its_closed_set_is_named() -> None:
    text = parameters_of("flood", 1).as_text()
    with pytest.raises(ValueError, match="key is 'colour'"):
        Parameters.from_text("flood", {**text, "key": "colour"})
    del text["filter"]
    with pytest.raises(ValueError, match="'filter' is missing"):
        Parameters.from_text("flood", text)


def test_an_unknown_family_is_a_config_error_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'portscan'"):
        situation("portscam", 1)


def test_every_word_of_the_closed_sets_is_taught() -> None:
    rng = Random(1)
    taught = [drawn(rng) for _ in range(5000)]
    assert {p.key for p in taught} == {key for keys in KEYS.values() for key in keys}
    for family in FAMILIES:
        mine = [p for p in taught if p.family == family]
        assert {p.filter for p in mine} == set(FILTERS[family])
        assert {p.measure for p in mine} == set(MEASURES[family])


def test_each_family_has_one_template_held_out_and_some_compositions() -> None:
    held = [p.family for p in templates() if held_out(p) == "template"]
    assert sorted(held) == sorted(FAMILIES)
    splits = [held_out(parameters_of(family, seed)) for family in FAMILIES for seed in range(500)]
    assert 0.05 < splits.count("composition") / len(splits) < 0.2
    assert 0.05 < splits.count("template") / len(splits) < 0.2


def test_training_never_writes_a_held_out_program() -> None:
    held = [p for p in (parameters_of(f, s) for f in FAMILIES for s in range(2000)) if held_out(p)]
    forbidden = {reference(p).removeprefix(PREFIX) for p in held}
    assert not forbidden & {e.program for e in islice(examples(1), 3000)}
