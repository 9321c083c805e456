"""A judged row of a record -> a row of the page."""

from __future__ import annotations

from collections.abc import Mapping

from harness.report.fields import number_of, text_of, verdict_of
from harness.report.view import Sample, StageView


def stage_of(row: Mapping[str, object], samples: tuple[Sample, ...]) -> StageView:
    """The view of a row (`stage` in docs/schemas/run.schema.json) with its samples."""
    return StageView(
        name=text_of(row.get("name")),
        value=number_of(row.get("value")),
        unit=text_of(row.get("unit")),
        clock=text_of(row.get("clock")),
        stat=text_of(row.get("stat")),
        count=int(number_of(row.get("samples")) or 0),
        p50=number_of(row.get("p50")),
        p99=number_of(row.get("p99")),
        max=number_of(row.get("max")),
        limit=number_of(row.get("limit")),
        stretch=number_of(row.get("stretch")),
        missed_stretch=row.get("missed_stretch") is True,
        verdict=verdict_of(row.get("verdict")),
        reason=text_of(row.get("reason")),
        samples=samples,
        direction=text_of(row.get("direction")) or "at_most",
        source=text_of(row.get("source")),
    )
