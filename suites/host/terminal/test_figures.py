"""Figures as people read them: one form for all that is shown, one unit a stage, whole at 80 columns."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from contracts.measurement import NS_PER_UNIT
from harness.terminal.outcome import print_outcome, print_sentence
from harness.terminal.sentence import BoardTold, FigureTold, run_sentence, session_sentence
from harness.terminal.style import figure_text, of_limit, quantity

KINDS = ("qemu-rpi3", "qemu-rpi4", "qemu-virt")


def row(name: str, value: float | None, unit: str, limit: float | None, **more: Any) -> dict[str, Any]:
    """A judged row as a record has it."""
    clock = "host" if unit in ("ms", "%") else "virtual"
    plain = {
        "name": name, "value": value, "unit": unit, "clock": clock, "stat": "max", "samples": 20, "limit": limit,
        "stretch": None, "missed_stretch": False, "verdict": "pass", "reason": "",
    }  # fmt: skip
    return plain | more


def board(kind: str, *stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "kind": kind, "scenario": "flood", "verdict": "pass", "error": "", "crash": "", "traceback": "",
        "stages": list(stages), "situations": [],
    } | more  # fmt: skip


def document(*boards: dict[str, Any], verdict: str = "pass", interrupted: bool = False) -> Any:
    run = {"name": "20261128-044652-7074", "seed": 1, "verdict": verdict, "interrupted": interrupted}
    return {"run": run, "boards": list(boards)}


def usual(kind: str, generate_ms: float = 20.0) -> dict[str, Any]:
    return board(
        kind,
        row("observe", 1.93, "ms", None, stat="median"),
        row("generate", generate_ms, "ms", 100, stretch=50, stat="p99"),
        row("verify", 0.155, "ms", 10, stretch=0.1, missed_stretch=True),
        row("rollback", 0.00024, "ms", 100),
        row("wasm_call", None, "", None, verdict="skip"),
    )


@pytest.mark.parametrize(
    ("value", "unit", "stage", "text"),
    [
        (0.000242, "ms", "deploy", "0.24 us"),
        (1e5, "us", "rollback", "100,000 us"),
        (10, "ms", "verify", "10,000 us"),
        (84.3, "ms", "generate", "84 ms"),
        (0.361, "us", "execute", "361 ns"),
        (5.0, "%", "unadapted", "5%"),
        (1.2e6, "ns", "", "1,200,000 ns"),
        (0.0, "us", "jit", "0 us"),
        (None, "us", "jit", "-"),
    ],
)
def test_a_figure_is_written_for_people_in_its_stages_unit(
    value: float | None, unit: str, stage: str, text: str
) -> None:
    assert quantity(value, unit, stage) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_no_figure_has_an_exponent_and_each_keeps_two_digits(value: float) -> None:
    text = figure_text(value)
    assert re.fullmatch(r"-?[0-9]{1,3}(,[0-9]{3})*(\.[0-9]+)?", text), text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.051, abs=1e-300)


@given(st.sampled_from(sorted(NS_PER_UNIT)), st.floats(min_value=1e-3, max_value=1e9))
def test_a_stage_is_shown_in_one_unit_whatever_its_record_has(unit: str, value: float) -> None:
    assert quantity(value, unit, "verify").endswith(" us")


def test_a_figure_just_above_its_limit_is_seen_to_be_above_it() -> None:
    assert of_limit(100.04, 100, "ms", "generate") == "100.04 of 100 ms"


def test_a_run_is_told_in_one_sentence() -> None:
    boards = (usual("qemu-rpi3", 84.3), usual("qemu-rpi4"), usual("qemu-virt"))
    console = Console(record=True, width=80)
    print_sentence(console, document(*boards))
    expected = "pass: 3 boards: all budgets met; tightest: generate 84 of 100 ms on qemu-rpi3"
    assert console.export_text().strip() == expected


def told(kind: str = "qemu-virt", verdict: str = "pass", **more: Any) -> BoardTold:
    return BoardTold(kind, verdict, **more)


def figure(value: float | None, verdict: str, reason: str = "", stage: str = "verify") -> FigureTold:
    return FigureTold(stage, value, 10, "ms", verdict, reason)


@pytest.mark.parametrize(
    ("boards", "interrupted", "text"),
    [
        (
            [told(verdict="fail", figures=(figure(12, "fail"), figure(30, "fail", stage="jit")))],
            False,
            "1 board: qemu-virt missed the budget of jit 30,000 of 10,000 us, and 1 more budget missed",
        ),
        (
            [
                told(verdict="infra", why="QEMU was killed\nfind who did it"),
                told("pi", figures=(figure(5, "pass"),)),
            ],
            False,
            "2 boards: qemu-virt ended early (infra): QEMU was killed",
        ),
        (
            [told(verdict="inconclusive", figures=(figure(None, "inconclusive", "3 samples, 20 needed"),))],
            False,
            "1 board: no budget missed, 1 budget not judged: verify on qemu-virt (3 samples, 20 needed)",
        ),
        ([told(verdict="inconclusive")], False, "1 board: qemu-virt inconclusive"),
        ([told()], True, "interrupted; 1 board: no budget was judged"),
    ],
)
def test_what_went_wrong_comes_first_in_the_sentence(
    boards: list[BoardTold], interrupted: bool, text: str
) -> None:
    assert run_sentence(boards, interrupted=interrupted) == text


def test_a_figure_that_has_to_be_large_is_tight_when_it_is_small() -> None:
    boards = [
        told(figures=(figure(5, "pass"), FigureTold("throughput", 21, 20, "MB/s", "pass", "", at_least=True)))
    ]
    expected = "1 board: all budgets met; tightest: throughput 21 of at least 20 MB/s on qemu-virt"
    assert run_sentence(boards) == expected


def test_a_session_is_told_in_one_sentence_with_the_test_that_failed() -> None:
    tests = (("a", "pass", ""), ("b", "fail", "expected 1, seen 2\nmore"), ("c", "skip", "why"))
    assert (
        session_sentence([told(tests=tests)])
        == "3 tests on 1 board: 1 pass, 1 fail, 1 skip; b: expected 1, seen 2"
    )
    assert session_sentence([told(tests=tests[:1])]) == "1 test on 1 board: all passed"


def test_the_table_holds_judged_and_missed_rows_alone_and_all_of_them_when_asked() -> None:
    odd = row("observe", 5.0, "ms", None, verdict="inconclusive", reason="stopped for 3 s")
    text = {}
    for every in (False, True):
        console = Console(record=True, width=80)
        print_outcome(console, document(usual("qemu-virt"), board("pi", odd)), every=every)
        text[every] = console.export_text()
    assert "wasm_call" not in text[False]
    assert "1.9" not in text[False], "observe has no budget"
    assert "100 missed" in text[False]
    assert "stopped for 3 s" in text[False]
    assert "wasm_call" in text[True]
    assert "reported" in text[True]


@pytest.mark.parametrize("every", [False, True])
def test_a_run_is_whole_at_80_columns(every: bool) -> None:
    console = Console(record=True, width=80)
    long = row("rollback", 123456, "us", 100000, stretch=1, missed_stretch=True, verdict="inconclusive")
    print_outcome(console, document(*(usual(kind) for kind in KINDS), board("rpi4-sim", long)), every=every)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert "123,456" in "\n".join(lines)
    assert "1 missed" in "\n".join(lines)
    assert "inconclusive" in "\n".join(lines)
