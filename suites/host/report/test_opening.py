"""How a report opens and what it leaves unsaid: the sentence first, hashes last, nothing twice, nothing cut."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report import write_report
from harness.report.screenshot import find_chromium, take_screenshot
from harness.terminal.crash import without_crash

MakeRun = Callable[..., Path]
MakeSession = Callable[[dict[str, Any]], Path]

CRASH = "pc 0xffff000000081234 (wait_forever+0x10)\nlr 0xffff000000085678 (main+0x20)\nesr 0x96000044"
ERROR = (
    "the kernel died\n  expected: an answer\n  seen: pc 0xffff000000081234\nlr 0xffff000000085678\nesr 0x96000044\n"
    "  do: look at the transcript"
)


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def visible(page: str) -> str:
    """The text of a page, one space between words."""
    body = re.sub(r"<(style|script|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_a_run_opens_with_its_sentence_and_boards_and_hashes_come_last(
    record: dict[str, Any], make_run: MakeRun
) -> None:
    text = visible(page_of(make_run(record)))
    sentence = "3 boards: all budgets met; tightest: generate 46 of 100 ms on qemu-virt"
    assert text.index(sentence) < text.index("Budgets at a glance") < text.index("About this run")
    assert text.index("ab" * 20) > text.index("About this run")
    assert text.index("qemu-virt") < text.index("Budgets at a glance")


def test_what_failed_stands_above_everything_else(record: dict[str, Any], make_run: MakeRun) -> None:
    board = record["boards"][1]
    board["verdict"] = record["run"]["verdict"] = "fail"
    row = next(row for row in board["stages"] if row["name"] == "verify")
    row |= {"value": 12.0, "verdict": "fail", "reason": "12,000 of 10,000 us: above the limit"}
    text = visible(page_of(make_run(record)))
    opening = text[: text.index("Budgets at a glance")]
    assert f"{board['kind']} missed the budget of verify 12,000 of 10,000 us" in opening
    assert f"{board['kind']} verify 12,000 of 10,000 us: above the limit" in opening


def test_a_session_opens_with_its_sentence_and_what_failed_and_hashes_come_last(
    session: dict[str, Any], make_session: MakeSession
) -> None:
    session["run"]["commit"] = "cd" * 20
    text = visible(page_of(make_session(session)))
    assert text.index("60 tests on 3 boards: 57 pass, 1 fail") < text.index("Verdicts by board type")
    assert text.index("Worth a look") < text.index("Measurements and budgets")
    assert text.index("cd" * 20) > text.index("All tests")


def test_a_crash_is_told_once_with_names(record: dict[str, Any], make_run: MakeRun) -> None:
    board = record["boards"][0]
    board |= {"verdict": "fail", "error": ERROR, "crash": CRASH}
    text = visible(page_of(make_run(record)))
    assert text.count("0xffff000000081234") == 1
    assert "0xffff000000081234 (wait_forever+0x10)" in text
    assert "the kernel died" in text
    assert "do: look at the transcript" in text


def test_an_error_that_is_no_crash_is_left_whole() -> None:
    assert without_crash("seen: 1\ndo: that", "pc 0x10") == "seen: 1\ndo: that"


def test_the_last_frames_say_what_the_console_says_and_equal_ones_are_folded(
    record: dict[str, Any], make_run: MakeRun
) -> None:
    folder = make_run(record)
    log = {"t": 1.5, "dir": "<", "kind": "EVENT", "message": "LOG", "sequence": 7, "session": 0}
    refused = {
        "t": 2.0, "dir": "<", "kind": "RESPONSE", "message": "ECHO", "sequence": 9, "session": 1, "status": "BUSY",
        "payload": "02000800" + b"one at a time".hex(),
    }  # fmt: skip
    rollback = {
        "t": 3.0, "dir": "<", "kind": "EVENT", "message": "ROLLBACK", "sequence": 43, "session": 0,
        "payload": "00000000020000000000000000000000000000000000000000000000000000002900000000000000"
         "0000000000000000",
    }  # fmt: skip
    rows = [rollback | {"sequence": n} for n in range(12)] + [refused]
    assert log["t"] == 1.5
    transcript = folder / "qemu-virt" / "transcript.jsonl"
    transcript.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = page_of(folder)
    said = re.findall(r'<td class="says">(.*?)</td>', page[page.index("Transcript of qemu-virt") :])
    assert said[0].startswith("<b>12 times</b> ")
    assert "=41" in said[0], "a field by name, not bytes in hex"
    assert said[1] == "one at a time"


def test_measurements_that_are_the_same_are_one_row(
    session: dict[str, Any], make_session: MakeSession
) -> None:
    measured = [test for test in session["tests"] if test["measurements"]]
    row = measured[0]["measurements"][0]
    same = [test for test in session["tests"] if test["kind"] == measured[0]["kind"]][:5]
    for test in same:
        test["measurements"] = [dict(row)]
    page = page_of(make_session(session))
    assert re.search(r"and [4-9] more with the same figure", page)


def test_no_line_of_a_large_listing_is_cut(record: dict[str, Any], make_run: MakeRun) -> None:
    lines = [f"ffff80000100{n:04x}:  a9bc7bfd  stp     x29, x30, [sp, #-0x{n:x}]!" for n in range(400)]
    page = page_of(make_run(record, listing="\n".join(lines) + "\n"))
    assert lines[-1] in page
    assert "more lines are in the file" not in page


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium here")
def test_a_picture_holds_the_whole_of_a_long_page(tmp_path: Path) -> None:
    page = tmp_path / "long.html"
    page.write_text("<body style='margin:0'>" + "<div style='height:100px'>x</div>" * 150 + "</body>")
    shot = take_screenshot(page, tmp_path / "long.png")
    assert struct.unpack_from(">II", shot.read_bytes(), 16) == (1280, 15000)
