"""A diagnosis follows the documented thresholds and depends only on telemetry and policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ai.diagnose import DEFAULT_POLICIES, NoBottleneck, PolicyRefused, diagnose
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


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"limit": 0, "window_ms": 0, "action": ""}, "limit is 0"),  # count only
        ({"action": ""}, "action is ''"),
        ({"action": "log"}, "action is 'log'"),
        ({"limit": 33}, "limit is 33"),
        ({"limit": 32.0}, "limit is 32.0"),
        ({"window_ms": 50}, "window_ms is 50"),
        ({"min_length": 64}, "min_length is 64"),
        ({"entries": 100}, "entries is 100"),
        ({"key": "proto"}, "key is 'proto'"),
        ({"measure": "both"}, "measure is 'both'"),
        ({"scale": "us", "buckets": 24}, "scale is 'us'"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_in_words(change: dict[str, Any], word: str) -> None:
    flood = situation("flood", 3)
    with pytest.raises(PolicyRefused, match="policy does not fit a flood") as caught:
        diagnose(telemetry(flood.workload), replace(flood.policy, **change))
    assert word in caught.value.seen


def test_a_policy_for_another_bottleneck_is_refused_too() -> None:
    flood = situation("flood", 3)
    with pytest.raises(PolicyRefused, match="does not fit a flood"):
        diagnose(telemetry(flood.workload), situation("latency", 3).policy)


def test_too_little_traffic_is_said() -> None:
    few = Trace(situation("flood", 1).workload.packets[:10])
    with pytest.raises(NoBottleneck, match="not enough traffic"):
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
