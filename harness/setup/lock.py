"""Make the two lock files out of pyproject.toml: wheels that pip fetches, and sources that set-up builds.

Run `.venv/bin/pip install pip-tools`, then `.venv/bin/python -m harness.setup.lock`. Pins stay as they are unless
`--upgrade` or `--upgrade-package NAME` is given. The files name every artefact by SHA-256 and no index, so any mirror
will do.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from contracts.root import ROOT

WHEELS: Final = ROOT / "requirements.lock"
SOURCES: Final = ROOT / "requirements-sdist.lock"

SOURCE_ONLY: Final = ("llama-cpp-python", "pymonocypher")
"""Distributions without a wheel that Debian 12 can load: they are compiled on the machine."""

BUILD_TOOLS: Final = ("cmake", "ninja", "scikit-build-core[pyproject]", "setuptools", "wheel")
"""What those builds need; pinned like the rest, because set-up builds without pip's unpinned isolation."""

_COMMAND: Final = "python -m harness.setup.lock"


def split_lock(compiled: str) -> tuple[str, str]:
    """Split pip-compile's output into the wheels' requirements and the source-only ones, in that order."""
    entries = re.findall(r"^[A-Za-z0-9].*?(?=^[A-Za-z0-9#]|\Z)", compiled, flags=re.MULTILINE | re.DOTALL)
    source = [entry for entry in entries if entry.split("==", 1)[0].split("[", 1)[0] in SOURCE_ONLY]
    wheels = [entry for entry in entries if entry not in source]
    return "".join(wheels), "".join(source)


def compile_lock(options: list[str]) -> str:
    """pip-compile's hashed output for pyproject.toml's dependencies and the build tools. Raises on its failure."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with tempfile.TemporaryDirectory() as work:
        wanted = Path(work) / "requirements.in"
        wanted.write_text("\n".join([*project["dependencies"], *BUILD_TOOLS]) + "\n", encoding="utf-8")
        output = Path(work) / "requirements.txt"
        # pip-compile keeps the pins that it finds in its output file.
        output.write_text(
            "".join(file.read_text(encoding="utf-8") for file in (WHEELS, SOURCES)), encoding="utf-8"
        )
        subprocess.run(
            [
                *(sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--no-header"),
                *("--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"),
                *("--no-emit-options", "--allow-unsafe", "--strip-extras", "--no-build-isolation"),
                *("--output-file", str(output), *options, str(wanted)),
            ],
            check=True,
            timeout=1800,
        )
        return output.read_text(encoding="utf-8")


def pin_archives(sources: str) -> str:
    """The source-only entries with the digests of their source archives alone (pip-compile lists wheels too)."""
    with tempfile.TemporaryDirectory() as work_name:
        work = Path(work_name)
        wanted = work / "requirements.txt"
        wanted.write_text(sources, encoding="utf-8")
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"),
                *("--no-binary", ":all:", "--require-hashes", "--dest", str(work), "-r", str(wanted)),
            ],
            check=True,
            timeout=1800,
        )
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in work.glob("*.tar.gz")]
    kept: list[str] = []
    for pin in re.findall(r"^\S+==\S+", sources, flags=re.MULTILINE):
        entry = sources[sources.index(pin) :]
        end = re.search(r"\n(?=\S)", entry)
        listed = set(re.findall(r"sha256:([0-9a-f]{64})", entry[: end.start()] if end else entry))
        (digest,) = listed.intersection(digests)
        kept.append(f"{pin} \\\n    --hash=sha256:{digest}\n")
    return "".join(kept)


def main() -> int:
    """Write both lock files."""
    wheels, compiled_sources = split_lock(compile_lock(sys.argv[1:]))
    sources = pin_archives(compiled_sources)
    WHEELS.write_text(
        f"# Wheels, installed with --only-binary :all:. Made by `{_COMMAND}`.\n{wheels}", encoding="utf-8"
    )
    SOURCES.write_text(
        f"# Source distributions, built here with what {WHEELS.name} installs. Made by `{_COMMAND}`.\n{sources}",
        encoding="utf-8",
    )
    print(f"{WHEELS.name}: {wheels.count('==')} wheels, {SOURCES.name}: {sources.count('==')} sources")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
