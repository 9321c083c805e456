"""Trends on the pages: from the history, in the order of runs; a failure never prevents the page."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report import take_in, write_report
from harness.report.trends import read_trends
from harness.runs.history import FILE, feed

MakeRun = Callable[..., Path]


def run_of(record: dict[str, Any], number: int, verify_ms: float, **more: Any) -> dict[str, Any]:
    """The record of one of several runs, with its own figure."""
    content = copy.deepcopy(record)
    content["run"] |= {"name": f"20260101-0000{number:02d}-00{number:02d}", **more}
    for board in content["boards"]:
        for row in board["stages"]:
            if row["name"] == "verify":
                row["value"] = verify_ms
    return content


def plotted(page: Path, label: str) -> list[str]:
    """The tooltips of the dots of the first plot with that label."""
    text = page.read_text()
    plot = re.search(rf'aria-label="{label}[^"]*">(.*?)</svg>', text, re.DOTALL)
    assert plot is not None
    return re.findall(r"<title>([^<]*)</title>", plot[1])


def test_earlier_runs_are_plotted_beside_the_pages_own(record: dict[str, Any], make_run: MakeRun) -> None:
    for number, value in enumerate((0.07, 0.08, 9.5), start=1):
        folder = make_run(run_of(record, number, value))
        feed(folder.parent)
    later = make_run(run_of(record, 4, 0.01))
    assert take_in(later, later.parent) == []
    dots = plotted(write_report(folder), "verify: 3 runs from 70 to 9,500 us")
    assert dots == [
        f"20260101-0000{n:02d}-00{n:02d}: {v} us, pass" for n, v in ((1, "70"), (2, "80"), (3, "9,500"))
    ]
    page = folder.joinpath("report.html").read_text()
    assert page.count('<svg class="plot"') == 3 * 4  # every measured stage of every board
    assert '<line class="limit"' in page[page.index('id="history"') :]  # 9.5 ms is near the budget of 10 ms


def test_a_trend_goes_by_the_order_of_runs_and_not_by_the_clock(
    record: dict[str, Any], make_run: MakeRun
) -> None:
    for number, when in enumerate(("2026-03-01", "2026-02-01", "2025-01-01"), start=1):
        folder = make_run(run_of(record, number, number / 10, started=f"{when}T12:00:00+00:00"))
        feed(folder.parent)
    dots = plotted(write_report(folder), "verify")
    assert [dot.split(": ")[1] for dot in dots] == ["100 us, pass", "200 us, pass", "300 us, pass"]


def test_other_inputs_and_another_kernel_are_marked(record: dict[str, Any], make_run: MakeRun) -> None:
    make_run(run_of(record, 1, 0.07, seed=8))
    second = run_of(record, 2, 0.08)
    for board in second["boards"]:
        board["build_id"] = "cd" * 20
    make_run(second)
    third = run_of(record, 3, 0.08)
    third["boards"] = [{**board, "build_id": "cd" * 20} for board in third["boards"]]
    folder = make_run(third)
    feed(folder.parent)
    (trend,) = [t for t in read_trends(folder).trends if (t.board, t.stage) == ("qemu-virt", "verify")]
    assert [point.alike for point in trend.points] == [False, True, True]
    assert [point.moved for point in trend.points] == [False, True, False]


def test_what_tests_measured_is_plotted_on_the_page_of_a_session(
    session: dict[str, Any], make_session: MakeRun
) -> None:
    for number in (1, 2):
        content = copy.deepcopy(session)
        content["run"]["name"] = f"20260101-0000{number:02d}-00{number:02d}"
        folder = make_session(content)
    feed(folder.parent)
    page = write_report(folder).read_text()
    shown = page[page.index('id="history"') :]
    assert "test_number_20[qemu-virt]" in shown[: shown.index("</section>")]


@pytest.mark.parametrize(
    ("damage", "says"),
    [(None, "No history.sqlite next to"), (b"no database at all" * 300, "The history cannot be read")],
)
def test_a_history_that_cannot_be_read_costs_the_trends_and_not_the_page(
    record: dict[str, Any], make_run: MakeRun, damage: bytes | None, says: str
) -> None:
    folder = make_run(record)
    if damage is not None:
        (folder.parent / FILE).write_bytes(damage)
        (line,) = take_in(folder, folder.parent)
        assert "not in the history" in line
    assert says in write_report(folder).read_text()


def test_a_first_run_says_that_nothing_came_before(record: dict[str, Any], make_run: MakeRun) -> None:
    folder = make_run(record)
    feed(folder.parent)
    assert "No earlier run in the history" in write_report(folder).read_text()
