"""A judged row of a record -> a row of the page."""

from __future__ import annotations

from collections.abc import Mapping

from harness.report.fields import number_of, text_of, verdict_of
from harness.report.view import Sample, StageView
from harness.terminal.style import in_stage_unit, stage_unit


def stage_of(row: Mapping[str, object], samples: tuple[Sample, ...]) -> StageView:
    """The view of a row (`stage` in docs/schemas/run.schema.json) with its samples.

    Figures are in the unit in which the stage is shown, whatever their unit in the record.
    """
    name, unit = text_of(row.get("name")), text_of(row.get("unit"))

    def figure(key: str) -> float | None:
        return in_stage_unit(number_of(row.get(key)), unit, name)

    return StageView(
        name=name,
        value=figure("value"),
        unit=stage_unit(name, unit),
        clock=text_of(row.get("clock")),
        stat=text_of(row.get("stat")),
        count=int(number_of(row.get("samples")) or 0),
        p50=figure("p50"),
        p99=figure("p99"),
        max=figure("max"),
        limit=figure("limit"),
        stretch=figure("stretch"),
        missed_stretch=row.get("missed_stretch") is True,
        verdict=verdict_of(row.get("verdict")),
        reason=text_of(row.get("reason")),
        samples=samples,
        direction=text_of(row.get("direction")) or "at_most",
        source=text_of(row.get("source")),
    )
