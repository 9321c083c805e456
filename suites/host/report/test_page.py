"""The report's page: any contents of a run's folder give one readable, harmless file of limited size."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contracts.errors import ConfigError, InfraError
from contracts.root import ROOT
from harness.cli.run_job import _write_report
from harness.report import report_folder, write_report

VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = "</script></pre><script>alert(1)</script><img src=x onerror=alert(1)> & \"'"

MakeRun = Callable[..., Path]


class Outline(HTMLParser):
    """Every element with its attributes, the text, and the elements that were not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def outline(page: Path) -> Outline:
    found = Outline(page.read_text(encoding="utf-8"))
    assert found.crossed == []
    assert found.open == []
    ids = [attrs["id"] for _, attrs in found.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    return found


def test_every_board_and_every_judged_stage_is_on_the_page(record: dict[str, Any], make_run: MakeRun) -> None:
    page = outline(write_report(make_run(record)))
    for word in ("qemu-virt", "qemu-rpi3", "qemu-rpi4", "46 ms", "100 ms", "46 % used", "over stretch"):
        assert word in page.text
    for word in ("Host clock", "Virtual clock", "not built yet", "R1 points outside the packet", "udp 97%"):
        assert word in page.text
    assert "the last 50 frames" in page.text
    assert "Missing" not in page.text


def test_the_page_asks_nothing_of_any_other_place(record: dict[str, Any], make_run: MakeRun) -> None:
    folder = make_run(record)
    page = outline(write_report(folder))
    assert "script" not in {tag for tag, _ in page.elements}
    links = [
        attrs.get("href") or attrs.get("src") or ""
        for _, attrs in page.elements
        if {"href", "src"} & set(attrs)
    ]
    assert not [link for link in links if re.match(r"(?!data:)[a-z]+:|//", link)]
    files = [link for link in links if link and not link.startswith(("#", "data:"))]
    assert files
    assert all((folder / link).exists() for link in files)


def test_links_lead_into_the_run_from_wherever_the_page_lies(
    record: dict[str, Any], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(record)
    elsewhere = tmp_path / "a place" / "page.html"
    elsewhere.parent.mkdir()
    page = outline(write_report(tmp_path / "results" / record["run"]["name"], elsewhere))
    hrefs = [attrs.get("href") or "" for tag, attrs in page.elements if tag == "a"]
    kernel = next(href for href in hrefs if href.endswith("transcript.jsonl"))
    assert (elsewhere.parent / kernel).is_file()


def test_hostile_texts_stay_texts(record: dict[str, Any], make_run: MakeRun) -> None:
    record["run"] |= {"name": HOSTILE[:20].replace("/", ""), "writer": HOSTILE, "command": ["assay", HOSTILE]}
    first = record["boards"][0]
    first |= {"error": HOSTILE, "crash": HOSTILE, "scenario": HOSTILE, "verdict": "fail"}
    first["stages"][1] |= {"name": HOSTILE, "reason": HOSTILE}
    for item in first["situations"]:
        item |= {"source": HOSTILE, "family": HOSTILE, "attempts": [{"stage": HOSTILE, "reason": HOSTILE}]}
        item["diagnosis"] |= {"evidence": HOSTILE, "parameters": {HOSTILE: HOSTILE}}
        item["host"] = {"generate": [1e6]}
    page = outline(write_report(make_run(record, listing=HOSTILE)))
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert not [attrs for _, attrs in page.elements if any(name.startswith("on") for name in attrs)]
    assert "<script>alert(1)</script>" in page.text


def test_a_kind_that_names_another_place_is_not_followed(
    record: dict[str, Any], make_run: MakeRun, tmp_path: Path
) -> None:
    secret = tmp_path / "results" / "secret" / "01"
    folder = make_run(record)
    secret.mkdir(parents=True)
    (secret / "a64.txt").write_text("not of this run")
    record["boards"][0]["kind"] = "../secret"
    (folder / "run.json").write_text(json.dumps(record))
    page = outline(write_report(folder))
    assert "not of this run" not in page.text
    assert "folder ../secret" in page.text


def test_what_is_missing_is_said(record: dict[str, Any], make_run: MakeRun) -> None:
    record["boards"][0] |= {"situations": [], "stages": [], "error": "a silent board", "verdict": "infra"}
    folder = make_run(record)
    (folder / "qemu-rpi3" / "01" / "a64.txt").unlink()
    (folder / "qemu-rpi3" / "transcript.jsonl").unlink()
    shutil.rmtree(folder / "qemu-rpi4")
    page = outline(write_report(folder))
    for word in ("a silent board", "situations: none recorded", "stages: none judged"):
        assert word in page.text
    for word in ("01/a64.txt", "folder qemu-rpi4: no listings", "Missing from this board transcript.jsonl"):
        assert word in page.text


def test_a_run_whose_controller_was_killed_is_shown_from_its_boards_records(
    record: dict[str, Any], make_run: MakeRun
) -> None:
    folder = make_run(record)
    (folder / "run.json").unlink()
    lines = (folder / "qemu-rpi3" / "records.jsonl").read_text().splitlines()
    (folder / "qemu-rpi3" / "records.jsonl").write_text("\n".join([*lines[:2], lines[2][:40]]))
    assert report_folder(folder.name, folder.parent) == folder
    page = outline(write_report(folder))
    assert "run.json: the run did not end normally" in page.text
    assert "the end of this board was not recorded" in page.text
    assert "records.jsonl: 1 damaged line skipped" in page.text
    assert "1 of 1 situations adapted" in page.text


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"boards": [1, {"kind": 3, "stages": [{"value": "x"}]}]}', "\0"]
)
def test_a_damaged_record_still_renders(record: dict[str, Any], make_run: MakeRun, damage: str) -> None:
    folder = make_run(record)
    (folder / "run.json").write_text(damage)
    with (folder / "qemu-virt" / "transcript.jsonl").open("ab") as file:
        file.write(b'{"t":1,\xff\xfe\n[1]\n')
    assert "unknown" in outline(write_report(folder)).text


def test_figures_that_are_no_numbers_leave_no_mark(record: dict[str, Any], make_run: MakeRun) -> None:
    folder = make_run(record)
    for row in record["boards"][0]["stages"]:
        row |= {"value": float("nan"), "limit": float("inf"), "unit": "furlong"}
    record["boards"][0]["situations"][0]["host"] = {"adapt": ["x", None, True], "generate": [float("nan")]}
    (folder / "run.json").write_text(json.dumps(record))
    page = write_report(folder)
    outline(page)
    assert not re.search(r'"(nan|inf)', page.read_text())


def test_a_thousand_situations_with_long_listings_stay_openable(
    record: dict[str, Any], make_run: MakeRun, make_situation: Callable[..., dict[str, Any]]
) -> None:
    refused = [{"stage": "verify", "reason": "too long"}]
    for number, entry in enumerate(record["boards"]):
        entry["situations"] = [make_situation(index) for index in range(334)]
        entry["situations"][300 + number] |= {"deployed": False, "attempts": refused}
    folder = make_run(record, listing="    0:  w0 = 2\n" * 4000)
    begun = time.monotonic()
    page = write_report(folder)
    assert time.monotonic() - begun < 20
    assert page.stat().st_size < 4_000_000
    text = outline(page).text
    assert "more situations, one line each" in text
    assert "more lines are in the file" in text
    assert text.count("refused by verify") == 3


def test_the_command_writes_where_it_is_told(
    record: dict[str, Any], make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run(record)
    out = tmp_path / "page.html"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "harness.cli",
            "report",
            folder.name,
            "--results",
            str(folder.parent),
            "--out",
            str(out),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(out) in done.stdout
    assert outline(out).elements
    with pytest.raises(ConfigError, match="did you mean"):
        report_folder(folder.name[:-1], folder.parent)


def test_a_report_that_cannot_be_written_is_said_and_raises_nothing_in_a_run(
    record: dict[str, Any], make_run: MakeRun
) -> None:
    folder = make_run(record)
    (folder / "report.html.partial").mkdir()
    with pytest.raises(InfraError, match=r"report\.html"):
        write_report(folder)
    console = Console(record=True, width=200)
    _write_report(console, folder)
    assert "no report was written; the verdict is unchanged" in console.export_text()
