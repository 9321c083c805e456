"""The verdict from a Robot test's message, and quiet periods between processes."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import InfraError
from contracts.record import CaseRow
from harness.judge.budgets import Budgets
from harness.machine.quiet_files import QuietFiles
from harness.robot.accept import KindOutcome
from harness.robot.accept_job import sum_up
from harness.robot.rows import is_infra


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("infra: the board is lost", True),
        ("Setup failed:\ninfra: the board is lost", True),
        ("Parent suite setup failed:\ninfra: no board became free", True),
        ("infra: the board is lost\n\nAlso teardown failed:\ninfra: the board is off", True),
        ("verify missed its budget", False),
        ("verify missed its budget\n\nAlso teardown failed:\ninfra: the board is lost", False),
        ("infra: the board is lost\n\nAlso teardown failed:\nthe kernel corrupts an echo", False),
        ("", False),
    ],
)
def test_a_failure_outranks_a_fault_of_the_lab(message: str, expected: bool) -> None:
    assert is_infra(message) is expected


def test_a_marginal_test_is_told_with_the_figure_that_made_it_so(tmp_path: Path) -> None:
    judged = [
        Budgets.load()(stage, "virtual").judge([ns]) for stage, ns in (("verify", 9.5e6), ("jit", 1000))
    ]
    row: CaseRow = {
        "id": "a.robot::Keeps Its Budget", "kind": "qemu-virt", "verdict": "marginal", "duration_s": 0.0, "message": "",
        "attempts": [], "sections": [], "measurements": [one.with_samples([]) for one in judged],
    }  # fmt: skip
    text = io.StringIO()
    sum_up(
        Console(file=text, width=140),
        [KindOutcome("qemu-virt", tmp_path, [row])],
    )
    assert "a.robot::Keeps Its Budget: marginal" in text.getvalue()
    assert "verify 9,500 of 10,000 us (virtual, max of 1): within 10% of the limit" in text.getvalue()
    assert "jit" not in text.getvalue()


def test_who_wants_to_be_alone_waits_for_the_busy_and_keeps_them_out(tmp_path: Path) -> None:
    def other() -> QuietFiles:
        return QuietFiles(tmp_path)

    with (
        other().busy(1),
        other().busy(1),
        pytest.raises(InfraError, match="did not become idle"),
        other().alone(0.05),
    ):
        pytest.fail("alone beside two that are busy")
    with other().alone(1), pytest.raises(InfraError, match="did not become idle"), other().busy(0.05):
        pytest.fail("busy beside one that is alone")


def test_who_waits_to_be_alone_is_not_overtaken_by_who_comes_later(tmp_path: Path) -> None:
    order: list[str] = []
    quiet, waits = QuietFiles(tmp_path), threading.Event()

    def alone() -> None:
        waits.set()
        with quiet.alone(30):
            order.append("alone")

    with quiet.busy(1):
        thread = threading.Thread(target=alone)
        thread.start()
        waits.wait(30)
        late = pytest.raises(InfraError)
        while True:  # until the process that wants to be alone holds `door`
            try:
                with quiet.busy(0.02):
                    pass
            except InfraError:
                break
        with late, quiet.busy(0.05):
            order.append("overtook")
    thread.join(30)
    assert order == ["alone"]
