"""The lock files: complete, hashed, and independent of an index."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import re
import sys
import tomllib
from pathlib import Path

import pytest

from contracts.root import ROOT
from harness.kernel.third_party import read_pins
from harness.setup.lock import SOURCE_ONLY, SOURCES, WHEELS, split_lock


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_of_the_project_is_pinned_with_a_hash() -> None:
    pinned = {normal(name): pin for file in (WHEELS, SOURCES) for name, pin in read_pins(file).items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name = normal(re.split(r"[<>=\[; ]", requirement)[0])
        assert name in pinned, f"{name} is not locked: run python -m harness.setup.lock"
        if "==" in requirement:
            assert pinned[name].version == requirement.split("==")[1]


@pytest.mark.parametrize("file", [WHEELS, SOURCES], ids=lambda file: file.name)
def test_a_lock_names_no_host(file: Path) -> None:
    text = file.read_text()
    assert "://" not in text
    assert "index" not in text
    assert "find-links" not in text


def test_what_has_no_wheel_is_in_the_lock_of_sources_with_one_archive_each() -> None:
    pins = read_pins(SOURCES)
    assert set(pins) == set(SOURCE_ONLY)
    assert all(len(pin.sha256) == 1 for pin in pins.values())


def test_a_compiled_lock_is_split_by_distribution_and_nothing_is_lost() -> None:
    compiled = (
        "abc==1.0 \\\n    --hash=sha256:aa\n"
        "llama-cpp-python==0.3.36 \\\n    --hash=sha256:bb\n"
        "xyz==2.0 \\\n    --hash=sha256:cc \\\n    --hash=sha256:dd\n"
        "\n# The following packages are considered to be unsafe in a requirements file:\n"
        "setuptools==84.0 \\\n    --hash=sha256:ee\n"
    )
    wheels, sources = split_lock(compiled)
    assert re.findall(r"^\S+(?===)", wheels, re.MULTILINE) == ["abc", "xyz", "setuptools"]
    assert sources == "llama-cpp-python==0.3.36 \\\n    --hash=sha256:bb\n"
    assert wheels.count("--hash") == 4


def imported_modules() -> dict[str, str]:
    """Top-level modules that this repository's Python imports, each with an importing file."""
    found: dict[str, str] = {}
    for top in ("assay_lab", "contracts", "harness", "targets", "ai", "suites"):
        for file in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [node.module]
                else:
                    continue
                for name in names:
                    found.setdefault(name.split(".")[0], str(file.relative_to(ROOT)))
    return found


def test_whatever_is_imported_from_elsewhere_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {normal(re.split(r"[<>=\[; ]", requirement)[0]) for requirement in declared}
    known = importlib.metadata.packages_distributions()
    ours = {"assay_lab", "contracts", "harness", "targets", "ai", "suites"}
    undeclared = {
        module: file
        for module, file in imported_modules().items()
        if module not in ours | set(sys.stdlib_module_names)
        and not names & {normal(name) for name in known.get(module, [module])}
    }
    assert not undeclared, "add to pyproject.toml, then run python -m harness.setup.lock"
