"""A diagnosis follows the stated thresholds, from telemetry and policy alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai.diagnose import DEFAULT_POLICIES, NoBottleneck, diagnose
from ai.scenarios import situation
from ai.scenarios.observe import telemetry
from ai.scenarios.parameters import FAMILIES
from contracts.trace import Trace


@pytest.mark.parametrize("family", FAMILIES)
def test_every_situation_is_diagnosed_as_what_it_is(family: str) -> None:
    for seed in range(40):
        one = situation(family, seed)
        found = diagnose(telemetry(one.workload), one.policy)
        assert found.bottleneck == family
        assert found.parameters == one.parameters.as_text()
        assert found.hook == "net_rx"


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_policy_the_default_one_is_used(family: str) -> None:
    found = diagnose(telemetry(situation(family, 3).workload))
    assert found.bottleneck == family
    assert found.parameters["key"] == DEFAULT_POLICIES[family].key


def test_a_policy_for_another_bottleneck_gives_way_to_the_default() -> None:
    flood = situation("flood", 3)
    found = diagnose(telemetry(flood.workload), situation("latency", 3).policy)
    assert found.parameters["measure"] == DEFAULT_POLICIES["flood"].measure


def test_too_little_traffic_is_said() -> None:
    few = Trace(situation("flood", 1).workload.packets[:10])
    with pytest.raises(NoBottleneck, match="too little traffic"):
        diagnose(telemetry(few))


def test_even_traffic_has_no_bottleneck() -> None:
    seen = telemetry(situation("latency", 1).workload)
    even = replace(seen, gap_hist=(0,) * 10 + (239,) + (0,) * 21)
    with pytest.raises(NoBottleneck, match="no bottleneck"):
        diagnose(even)


def test_the_evidence_can_be_checked_against_the_telemetry() -> None:
    seen = telemetry(situation("flood", 4).workload)
    share = round(100 * seen.top_sources[0].packets / seen.rx_packets)
    assert f"top source {share}%" in diagnose(seen).evidence
