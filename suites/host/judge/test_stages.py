"""The journey's stages stand in one list; budgets, records, the pipeline and the docs all follow it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from contracts.errors import ConfigError, ProgramRejected
from contracts.measurement import Clock
from contracts.root import ROOT
from contracts.stages import Side, Stage, place_in_journey
from harness.judge.budgets import load_budgets
from harness.loop.pipeline import HOST_STAGES

ROW = "schema: 1\nbudgets:\n  - {{stage: {}, stat: max, unit: ms, clock: {}, min_samples: 1, warmup: 0, limit: 10}}\n"


def test_a_stage_is_its_name_in_json_and_in_texts() -> None:
    assert json.dumps({Stage.VERIFY: [Stage.WASM_CALL]}) == '{"verify": ["wasm_call"]}'
    assert f"{Stage.ADAPT}" == "adapt"
    assert Stage("jit") is Stage.JIT


def test_the_stages_of_earlier_records_keep_their_order() -> None:
    known = "observe diagnose generate compile review analyse seal unseal verify jit trial deploy execute watch rollback"
    assert [str(stage) for stage in Stage if stage.side is not Side.WHOLE][
        : len(known.split())
    ] == known.split()
    places = [place_in_journey(stage) for stage in (*Stage, "a stage of a later version")]
    assert places == sorted(set(places))


def test_every_stage_from_source_to_image_is_in_the_pipeline_and_the_missing_ones_say_so() -> None:
    first, last = place_in_journey(Stage.COMPILE), place_in_journey(Stage.SEAL)
    assert [stage for stage, _ in HOST_STAGES] == list(Stage)[first : last + 1]
    assert all(bool(stage.not_built) == (step is None) for stage, step in HOST_STAGES)


def test_a_rejection_by_no_stage_of_the_journey_is_a_mistake_of_ours() -> None:
    assert ProgramRejected("x", stage="verify", reason="y").stage is Stage.VERIFY
    with pytest.raises(ValueError, match="verfy"):
        ProgramRejected("x", stage="verfy", reason="y")


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("clock", Clock)
def test_a_budget_is_for_a_clock_that_its_stage_has(tmp_path: Path, stage: Stage, clock: Clock) -> None:
    path = tmp_path / "budgets.yaml"
    path.write_text(ROW.format(stage, clock))
    if clock in stage.clocks:
        assert load_budgets(path)[stage, clock].limit == 10
    else:
        with pytest.raises(ConfigError, match=f"{path}:3:.*{stage} is measured on the .* never on {clock}"):
            load_budgets(path)


def test_the_docs_have_every_stage_with_its_clocks_in_order() -> None:
    page = (ROOT / "docs" / "budgets.md").read_text().partition("\n## Stages\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?)( \(not built yet\))? \| (.*) \|$", page, re.MULTILINE)
    assert [
        (name, does, bool(later), re.findall(r"`(\w+)`", clocks)) for name, does, later, clocks in rows
    ] == [(stage, stage.does, bool(stage.not_built), list(stage.clocks)) for stage in Stage]
