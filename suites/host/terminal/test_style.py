"""Output of a run: external text is printed literally, also with brackets."""

from __future__ import annotations

from rich.console import Console

from contracts.progress import Progress
from contracts.record import About, BoardRow
from harness.terminal.outcome import print_outcome
from harness.terminal.progress import LiveProgress

ODD = "QEMU said [/usr/share] and [bold] and [/]"


def test_brackets_in_messages_are_shown_as_they_are() -> None:
    for terminal in (False, True):
        console = Console(record=True, width=200, force_terminal=terminal)
        with LiveProgress(console, ["qemu-virt"]) as progress:
            progress.report(Progress("qemu-virt", 5, 5, ODD))
        assert ODD in console.export_text()


def test_the_outcome_of_a_board_that_ended_early_says_why() -> None:
    board: BoardRow = {
        "kind": "qemu-virt", "instance": "qemu-virt-0", "build_id": "", "scenario": "flood", "source": "",
        "verdict": "fail", "error": ODD, "crash": "", "traceback": "Traceback [/x]", "stages": [], "situations": [],
    }  # fmt: skip
    console = Console(record=True, width=200)
    run: About = {"name": "one", "started": "", "seed": 1, "verdict": "fail", "wall_s": 1.0, "command": []}
    print_outcome(console, {"schema": 1, "run": run, "boards": [board]})
    text = console.export_text()
    assert ODD in text
    assert "Traceback [/x]" in text
