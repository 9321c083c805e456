"""The page in a real browser: nothing on its console, nothing wider than the screen, something on the screenshot."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: `apt-get install chromium`")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
]

# A window of headless Chromium may not be made as narrow as a phone; a frame may. The frame's page is the report
# as it is; what stands around it opens every part and measures.
AROUND = """<!DOCTYPE html><html><body style="margin:0"><pre id="said">not loaded</pre>
<iframe src="{page}" style="border:0;width:{width}px;height:{height}px;display:block"></iframe>
<script>document.querySelector("iframe").onload = event => {{
  const inner = event.target.contentDocument, root = inner.documentElement;
  const closed = root.scrollWidth;
  inner.querySelectorAll("details").forEach(part => part.open = {opened});
  const wide = [...inner.querySelectorAll("body *")].filter(part =>
    part.getBoundingClientRect().right > {width} + 1 && !part.closest("pre, .scroll")).map(part => part.outerHTML.slice(0, 80));
  document.querySelector("#said").textContent = "closed=" + closed + " now=" + root.scrollWidth + " wide=" + wide.length
    + " boards=" + inner.querySelectorAll(".board").length + " " + wide.slice(0, 3);
  document.querySelector("#said").hidden = {hidden};
}};</script></body></html>"""


def chromium(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )


def levels(png: Path) -> int:
    """How many different byte values a PNG's picture data has: one or two when it is blank."""
    raw, place, packed = png.read_bytes(), 8, b""
    while place < len(raw):
        (size,) = struct.unpack_from(">I", raw, place)
        if raw[place + 4 : place + 8] == b"IDAT":
            packed += raw[place + 8 : place + 8 + size]
        place += 12 + size
    return len(set(zlib.decompress(packed)))


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("opened", ["false", "true"])
def test_the_page_fits_the_screen_and_complains_of_nothing(
    record: dict[str, Any], make_run: Callable[..., Path], tmp_path: Path, width: int, opened: str
) -> None:
    record["boards"][0] |= {"crash": "x0 " + "0" * 400, "error": "the kernel died", "verdict": "fail"}
    page = write_report(make_run(record, listing="    0:  " + "w0 = 2 " * 60 + "\n"))
    around, shot = tmp_path / "around.html", tmp_path / f"report-{width}-{opened}.png"
    around.write_text(
        AROUND.format(page=page.as_uri(), width=width, height=2400, opened=opened, hidden="true")
    )
    seen = chromium(tmp_path / "profile", "--dump-dom", around.as_uri())
    said = re.search(r'<pre id="said"[^>]*>([^<]*)</pre>', seen.stdout)
    assert said is not None
    assert f"closed={width} now={width} wide=0 boards=3" in said[1]
    assert "CONSOLE" not in seen.stderr, seen.stderr
    chromium(
        tmp_path / "profile", f"--window-size={max(width, 500)},2400", f"--screenshot={shot}", around.as_uri()
    )
    assert levels(shot) > 40


def test_the_report_itself_opens_quickly_and_quietly(
    record: dict[str, Any],
    make_run: Callable[..., Path],
    make_situation: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    for entry in record["boards"]:
        entry["situations"] = [make_situation(index) for index in range(334)]
    page = write_report(make_run(record))
    chromium(tmp_path / "profile", "--dump-dom", "about:blank")
    begun = time.monotonic()
    seen = chromium(tmp_path / "profile", "--dump-dom", page.as_uri())
    taken_s = time.monotonic() - begun
    assert "</html>" in seen.stdout
    assert "CONSOLE" not in seen.stderr, seen.stderr
    assert taken_s < 30  # the browser's start on a machine busy with other tests included
