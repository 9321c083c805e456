"""C sources for the kernel from pinned source distributions: fetched by hash, never committed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from contracts.errors import SetupError
from contracts.root import ROOT

LOCK_FILE: Final = ROOT / "requirements-sdist.lock"
CACHE: Final = ROOT / "build" / "third_party"

KERNEL_SOURCES: Final = ("pymonocypher",)
"""The distributions whose C files the kernel build reads; set-up fetches them in advance."""

_FETCH_TIMEOUT_S: Final = 300.0
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s\\;]+)(?P<rest>.*)$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One source distribution of the lock file: `name`, `version` and the allowed SHA-256 digests."""

    name: str
    version: str
    sha256: tuple[str, ...]

    @property
    def requirement(self) -> str:
        """The pin in the format of pip's hash mode."""
        return f"{self.name}=={self.version} " + " ".join(f"--hash=sha256:{digest}" for digest in self.sha256)


def read_pins(lock_file: Path = LOCK_FILE) -> dict[str, Pin]:
    """The pins of a hashed requirements file, by distribution name. Raises SetupError for a line without a hash."""
    joined = lock_file.read_text(encoding="utf-8").replace("\\\n", " ")
    pins: dict[str, Pin] = {}
    for line in joined.splitlines():
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        match = _PIN.match(text)
        digests = tuple(_HASH.findall(text))
        if match is None or not digests:
            raise SetupError(
                f"{lock_file.name} has a line without a hashed pin",
                expected="NAME==VERSION --hash=sha256:...",
                seen=text,
                do="regenerate the lock files: .venv/bin/python -m harness.setup.lock",
            )
        pins[match["name"]] = Pin(match["name"], match["version"], digests)
    return pins


def fetch_source(name: str, *, cache: Path = CACHE, lock_file: Path = LOCK_FILE) -> Path:
    """The unpacked source distribution of `name`, as pinned in `requirements-sdist.lock`.

    Returns the folder with the distribution's files (`monocypher.c`, `setup.py`, ...). pip fetches it once and checks
    the hash; later calls cost one `stat`. Nothing is compiled. Raises SetupError if the name is not pinned, or if pip
    cannot fetch it.
    """
    pins = read_pins(lock_file)
    pin = pins.get(name)
    if pin is None:
        raise SetupError(
            f"no source distribution {name!r} is pinned",
            expected=f"one of {', '.join(sorted(pins))}",
            seen=name,
            do="add it to pyproject.toml and run .venv/bin/python -m harness.setup.lock",
        )
    folder = cache / f"{pin.name}-{pin.version}-{pin.sha256[0][:12]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(cache / f"{pin.name}.lock", timeout=_FETCH_TIMEOUT_S):
            if not folder.is_dir():
                _fetch(pin, folder, cache)
    except Timeout as error:
        raise SetupError(
            f"another process has been fetching {pin.name} for {_FETCH_TIMEOUT_S:.0f} s",
            expected=f"the folder {folder}",
            seen=f"{cache / (pin.name + '.lock')} held",
            do="end that process and try again",
        ) from error
    return folder


def _fetch(pin: Pin, folder: Path, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{pin.name}-") as work_name:
        work = Path(work_name)
        archive = _download(pin, work)
        unpacked = work / "unpacked"
        with tarfile.open(archive) as tar:
            # Python 3.11.4 added the filter; in earlier versions trust in the archive rests on the pinned hash.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
            tar.extractall(unpacked)  # noqa: S202
        (top,) = unpacked.iterdir()
        shutil.move(top, work / "source")
        (work / "source").rename(folder)


def _download(pin: Pin, work: Path) -> Path:
    """Fetch the archive into `work` with pip, hash-checked. The metadata step uses this venv's setuptools."""
    requirements = work / "requirements.txt"
    requirements.write_text(pin.requirement + "\n", encoding="utf-8")
    # Build isolation would install the distribution's build requirements from source (Cython: five minutes).
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--no-build-isolation", "--no-binary", pin.name, "--require-hashes"),
        *("--dest", str(work), "--requirement", str(requirements)),
    ]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(
            f"pip did not fetch {pin.name}=={pin.version} in {_FETCH_TIMEOUT_S:.0f} s",
            expected="a package index that answers",
            do="check the network and `pip config list`, then try again",
        ) from error
    archives = sorted(work.glob("*.tar.gz"))
    if result.returncode != 0 or len(archives) != 1:
        complaints = [line for line in result.stderr.splitlines() if line.lstrip().startswith("ERROR")]
        raise SetupError(
            f"pip could not fetch the sources of {pin.name}=={pin.version}",
            expected=f"one archive with sha256 {pin.sha256[0]}",
            seen="; ".join(complaints) or result.stderr.strip()[-500:] or f"{len(archives)} archives",
            do="check the network and `pip config list`, then try again; once fetched, it stays in build/",
        )
    return archives[0]


def main() -> int:
    """Fetch the sources named on the command line (default: the kernel's) and print their folders."""
    try:
        for name in sys.argv[1:] or KERNEL_SOURCES:
            sys.stdout.write(f"{fetch_source(name)}\n")
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
