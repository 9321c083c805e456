"""The page of a test session: verdicts, attempts, failures with their details, figures, every test."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigError
from harness.report import report_folder, write_report

MakeSession = Callable[[dict[str, Any]], Path]
MakeRows = Callable[[int], list[dict[str, Any]]]


def page_of(folder: Path) -> str:
    return write_report(folder).read_text()


def text_of(page: str) -> str:
    """The visible text, without scripts."""
    plain = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", plain).split())


def test_verdicts_failures_attempts_and_figures_are_on_the_page(
    session: dict[str, Any], make_session: MakeSession
) -> None:
    text = text_of(page_of(make_session(session)))
    for kind, counts in (("qemu-virt", "14 1 15"), ("qemu-rpi4", "15 15"), ("no board", "14 1 15")):
        assert re.search(rf"{kind} {counts}", text), text[:1500]
    for word in ("the kernel hung: no answer to ECHO", "wait_forever+0x10", "The last 20 frames", "epoch 4"):
        assert word in text
    for word in ("QEMU was killed by SIGKILL", "qemu-rpi4-1", "needs the capability `process`", "52 us"):
        assert word in text
    assert text.index("test_number_4[qemu-virt]") < text.index(
        "test_number_5[qemu-rpi3]"
    )  # fail before infra


def test_a_session_whose_controller_was_killed_says_so_and_shows_what_there_is(
    session: dict[str, Any], make_session: MakeSession
) -> None:
    folder = make_session(session)
    assert 'href="tests.jsonl"' in page_of(folder)
    (folder / "run.json").unlink()
    with (folder / "tests.jsonl").open("a") as file:
        file.write('{"id": "half a li')
    assert report_folder(folder.name, folder.parent) == folder
    text = text_of(page_of(folder))
    assert "This session did not end normally" in text
    assert "tests.jsonl: 1 damaged line skipped" in text
    assert "the kernel hung" in text
    assert text.startswith("fail: tests")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"run": {"job": "tests"}, "tests": 3}', "\0"])
def test_a_damaged_record_of_a_session_is_shown_from_its_lines(
    session: dict[str, Any], make_session: MakeSession, damage: str
) -> None:
    folder = make_session(session)
    (folder / "run.json").write_text(damage)
    text = text_of(page_of(folder))
    assert "run.json: " in text
    assert "test_number_59" in text or "test_59" in text


def test_rows_that_are_no_rows_do_no_harm(session: dict[str, Any], make_session: MakeSession) -> None:
    folder = make_session(session)
    rows: list[Any] = [3, {}, {"id": 5, "verdict": "fine", "attempts": {}, "sections": [1, ["a"], [1, 2]]}]
    rows += [{"id": "x", "verdict": "fail", "measurements": [{}], "transcript": "../../etc/passwd"}]
    rows += [{"id": "y", "verdict": "fail", "duration_s": float("nan"), "transcript": "/etc/passwd"}]
    (folder / "run.json").write_text(json.dumps(session | {"tests": rows}))
    page = page_of(folder)
    assert "passwd" not in page
    assert "unknown" in text_of(page)


def test_hostile_texts_of_a_test_stay_texts(session: dict[str, Any], make_session: MakeSession) -> None:
    hostile = "</script></pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
    row = session["tests"][4]
    row |= {"id": hostile, "kind": hostile, "message": hostile, "sections": [[hostile, hostile]]}
    row["attempts"][0] |= {"place": hostile, "message": "not " + hostile}
    page = page_of(make_session(session))
    assert page.count("<script>") == 1
    assert "<img" not in page


def test_the_page_runs_no_script_but_its_own_filter_and_fetches_nothing(
    session: dict[str, Any], make_session: MakeSession
) -> None:
    page = page_of(make_session(session))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1] or "default-src 'none'" in policy[1]
    assert "sha256-" in policy[1]
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert not [link for link in links if re.match(r"(?!data:)[a-z]+:|//", link)]


def test_a_session_of_a_thousand_failures_stays_openable(
    session: dict[str, Any], make_session: MakeSession, make_rows: MakeRows
) -> None:
    bad = make_rows(8)[4]
    session["tests"] = [
        bad | {"id": f"test_{n}", "transcript": None, "sections": [["log", "x" * 20_000]]}
        for n in range(1000)
    ]
    page = write_report(make_session(session))
    assert page.stat().st_size < 4_000_000
    text = text_of(page.read_text())
    assert "800 more tests did not pass" in text
    assert "characters omitted" in text
    assert "no space left on this page" in text


def test_what_is_no_record_is_an_error_that_says_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "results" / "20261122-130000-beef").mkdir(parents=True)
    with pytest.raises(ConfigError, match="contains no record"):
        report_folder("20261122-130000-beef", tmp_path / "results")
    with pytest.raises(ConfigError, match="no results folder"):
        report_folder("last", tmp_path / "nowhere")
