"""The pages in a real browser: an empty console, nothing wider than the screen, a filter that works.

The pictures that these tests take are kept in build/report/.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.root import ROOT
from harness.report import write_report
from harness.report.screenshot import browse, find_chromium

PICTURES = ROOT / "build" / "report"
needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="no chromium here: `apt-get install chromium`"
)

# A window of headless Chromium cannot be as narrow as a phone, but a frame can. The frame contains the unmodified
# report; the page around it runs the queries and records the answers.
AROUND = """<!DOCTYPE html><html><body style="margin:0"><pre id="said" hidden>not loaded</pre>
<iframe src="{page}" style="border:0;width:{width}px;height:{height}px;display:block"></iframe>
<script>document.querySelector("iframe").onload = event => {{
  const page = event.target.contentDocument, root = page.documentElement, said = {{}};
  {ask}
  document.querySelector("#said").textContent = JSON.stringify(said);
}};</script></body></html>"""

MEASURE = """
said.closed = root.scrollWidth;
page.querySelectorAll("details").forEach(part => part.open = true);
said.opened = root.scrollWidth;
said.wide = [...page.querySelectorAll("body *")].filter(part =>
  part.getBoundingClientRect().right > root.clientWidth + 1 && !part.closest("pre, .scroll"))
  .map(part => part.outerHTML.slice(0, 80));
said.background = getComputedStyle(page.body).backgroundColor;
said.unlabelled = [...page.querySelectorAll("input, select")].filter(part => !part.labels.length).length;
"""

FILTER = """
const form = page.getElementById("filter"), rows = () => [...page.querySelectorAll("#tests tbody tr")].filter(row => !row.hidden);
const told = () => form.dispatchEvent(new Event("input"));
said.all = rows().length;
form.words.value = "NUMBER_4 virt"; told(); said.words = rows().map(row => row.cells[1].textContent);
form.words.value = ""; form.kind.value = "no board"; told(); said.kind = rows().length;
form.kind.value = "";
form.querySelectorAll("[name=verdict]").forEach(box => box.checked = box.value === "infra"); told();
said.infra = rows().length; said.shown = page.getElementById("shown").textContent;
form.querySelectorAll("[name=verdict]").forEach(box => box.checked = true); told();
const seconds = page.querySelectorAll("#tests thead button")[3];
seconds.click(); seconds.click();
said.slowest = rows().slice(0, 3).map(row => row.cells[3].textContent);
"""


def asked(place: Path, page: Path, ask: str, *flags: str, width: int = 1280) -> dict[str, Any]:
    """The page's answer in Chromium, at a width. Fails if the browser's console is not empty."""
    around = place / "around.html"
    around.write_text(AROUND.format(page=page.as_uri(), width=width, height=2400, ask=ask))
    seen = browse(place / "profile", ["--virtual-time-budget=5000", *flags, "--dump-dom", around.as_uri()])
    assert "CONSOLE" not in seen.stderr, seen.stderr
    said = re.search(r'<pre id="said"[^>]*>([^<]*)</pre>', seen.stdout)
    assert said is not None
    answers: dict[str, Any] = json.loads(
        said[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    return answers


def picture(place: Path, name: str, width: int) -> Path:
    """Save a picture of the page of the last query."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    shot = PICTURES / f"{name}-{width}.png"
    window = f"--window-size={max(width, 500)},2400"
    browse(place / "profile", [window, f"--screenshot={shot}", (place / "around.html").as_uri()])
    return shot


def levels(png: Path) -> int:
    """The number of different byte values in a PNG's picture data: one or two if it is blank."""
    raw, place, packed = png.read_bytes(), 8, b""
    while place < len(raw):
        (size,) = struct.unpack_from(">I", raw, place)
        if raw[place + 4 : place + 8] == b"IDAT":
            packed += raw[place + 8 : place + 8 + size]
        place += 12 + size
    return len(set(zlib.decompress(packed)))


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_of_a_run_fits_the_screen_and_complains_of_nothing(
    record: dict[str, Any], make_run: Callable[..., Path], tmp_path: Path, width: int
) -> None:
    record["boards"][0] |= {"crash": "x0 " + "0" * 400, "error": "the kernel died", "verdict": "fail"}
    page = write_report(make_run(record, listing="    0:  " + "w0 = 2 " * 60 + "\n"))
    said = asked(tmp_path, page, MEASURE, width=width)
    assert (said["closed"], said["opened"], said["wide"]) == (width, width, [])
    assert levels(picture(tmp_path, "run", width)) > 40


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_of_a_session_fits_the_screen_and_complains_of_nothing(
    session: dict[str, Any], make_session: Callable[..., Path], tmp_path: Path, width: int
) -> None:
    session["tests"][4]["sections"].append(["log", "a very long line " * 60])
    session["tests"][4]["id"] += "x" * 200
    said = asked(tmp_path, write_report(make_session(session)), MEASURE, width=width)
    assert (said["closed"], said["opened"], said["wide"], said["unlabelled"]) == (width, width, [], 0)
    assert levels(picture(tmp_path, "session", width)) > 40


@needs_chromium
def test_the_table_of_tests_is_filtered_and_sorted(
    session: dict[str, Any], make_session: Callable[..., Path], tmp_path: Path
) -> None:
    said = asked(tmp_path, write_report(make_session(session)), FILTER)
    assert said["all"] == 60
    assert said["words"] == [
        f"suites/board/test_loop.py::test_number_{n}[qemu-virt]" for n in (4, 40, 44, 48)
    ]
    assert said["kind"] == 15
    assert (said["infra"], said["shown"]) == (1, "1 of 60 tests")
    assert said["slowest"] == ["0.36", "0.35", "0.34"]


@needs_chromium
def test_a_dark_screen_gets_a_dark_page(
    session: dict[str, Any], make_session: Callable[..., Path], tmp_path: Path
) -> None:
    page = write_report(make_session(session))
    light = asked(tmp_path, page, MEASURE)["background"]
    dark = asked(tmp_path, page, MEASURE, "--blink-settings=preferredColorScheme=0")["background"]
    assert light == "rgb(246, 247, 249)"
    assert dark == "rgb(15, 18, 22)"


def screenshot(folder: Path, picture: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", "report", folder.name, "--results", str(folder.parent)]
    return subprocess.run(
        [*command, "--screenshot", str(picture)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@needs_chromium
def test_the_command_takes_a_picture_of_the_whole_page(
    record: dict[str, Any], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run(record)
    PICTURES.mkdir(parents=True, exist_ok=True)
    shot = PICTURES / "three-boards.png"
    done = screenshot(folder, shot)
    assert done.returncode == 0, done.stdout + done.stderr
    width, height = struct.unpack_from(">II", shot.read_bytes(), 16)
    assert width == 1280
    assert height > 2000
    assert levels(shot) > 40
    wrong = screenshot(folder, tmp_path / "no folder" / "x.png")
    assert wrong.returncode == 4
    assert "for --screenshot" in wrong.stderr


def test_without_a_browser_the_page_is_made_and_what_is_missing_is_said(
    record: dict[str, Any], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run(record)
    done = screenshot(folder, tmp_path / "x.png", PATH=str(tmp_path))
    assert done.returncode == 69
    assert "Chromium is not installed" in done.stderr
    assert "apt-get install chromium" in done.stderr
    assert (folder / "report.html").is_file()
    assert shutil.which("chromium", path=str(tmp_path)) is None
