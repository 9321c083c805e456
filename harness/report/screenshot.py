"""A picture of a report, taken with headless Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from contracts.errors import InfraError, SetupError

WIDTH: Final = 1280
HEIGHT_MAX: Final = 30_000
"""The tallest picture that Chromium draws, in px; only a page with thousands of failures is longer."""

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_TIMEOUT_S: Final = 60.0
_NARROWEST_WINDOW: Final = 500
_FLAGS: Final = (
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
)

# A page around the report measures the height of the report at a width, after layout.
_AROUND: Final = """<!DOCTYPE html><html><body><pre id="said"></pre>
<iframe src="{page}" style="border:0;width:{width}px;height:200px"></iframe>
<script>document.querySelector("iframe").onload = event => {{
const page = event.target.contentDocument;
page.querySelectorAll("section, article").forEach(part => part.style.contentVisibility = "visible");
document.querySelector("#said").textContent = "height=" + page.documentElement.scrollHeight;
}};</script></body></html>"""

_NARROW: Final = """<!DOCTYPE html><html><body style="margin:0;background:#8a929b">
<iframe src="{page}" style="border:0;display:block;margin:auto;width:{width}px;height:{height}px"></iframe></body></html>"""


def find_chromium() -> str | None:
    """The browser's program, or None."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def browse(profile: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the browser once. Raises SetupError without a browser, InfraError if it fails or times out."""
    chromium = find_chromium()
    if chromium is None:
        raise SetupError(
            "Chromium is not installed",
            expected=f"one of {', '.join(_NAMES)} in PATH",
            seen="none",
            do="install it (`apt-get install chromium`), or open report.html in any browser",
        )
    try:
        return subprocess.run(
            [chromium, *_FLAGS, f"--user-data-dir={profile}", *arguments],
            capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InfraError(
            "Chromium timed out",
            expected=f"the page rendered within {_TIMEOUT_S:.0f} s",
            seen="none",
            do="check whether the machine is overloaded",
        ) from error
    except (OSError, subprocess.CalledProcessError) as error:
        raise InfraError(
            "Chromium failed",
            expected="exit code 0",
            seen=f"{error}\n{(getattr(error, 'stderr', '') or '')[-1000:]}",
            do="run it by hand, or open report.html in any browser",
        ) from error


def take_screenshot(page: Path, picture: Path, width: int = WIDTH, height_max: int = HEIGHT_MAX) -> Path:
    """Write a PNG of the complete page, up to `height_max` px, at `width` px; returns its path.

    Chromium has no window below 500 px: a narrower page is centred in one.
    """
    target = picture.absolute()
    if target.is_dir() or not target.parent.is_dir():
        raise InfraError(
            f"cannot write {picture}",
            expected="a file in an existing folder",
            seen="a folder" if target.is_dir() else "no such folder",
            do="name another with --screenshot",
        )
    with tempfile.TemporaryDirectory(prefix="assay-report-") as place:
        around = Path(place) / "around.html"
        around.write_text(_AROUND.format(page=page.resolve().as_uri(), width=width), "utf-8")
        profile = Path(place) / "profile"
        said = browse(profile, ["--virtual-time-budget=5000", "--dump-dom", around.as_uri()]).stdout
        height = re.search(r"height=([0-9]+)", said)
        high = min(int(height[1]) if height else height_max, height_max)
        shot, shown = Path(place) / "shot.png", page.resolve().as_uri()
        if width < _NARROWEST_WINDOW:
            around.write_text(_NARROW.format(page=shown, width=width, height=high), "utf-8")
            shown = around.as_uri()
        size = f"{max(width, _NARROWEST_WINDOW)},{high}"
        browse(profile, [f"--window-size={size}", f"--screenshot={shot}", shown])
        if not shot.is_file():
            raise InfraError(
                "Chromium wrote no picture",
                expected="a PNG of the page",
                seen="no file",
                do="run it by hand, or open report.html in any browser",
            )
        try:
            shutil.copyfile(shot, target)
        except OSError as error:
            raise InfraError(
                f"cannot write {picture}", expected="a writable file", seen=str(error)
            ) from error
    return picture
