"""The wheel: one top-level package, every module importable from it, independent of a checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import SetupError
from contracts.root import ROOT
from harness.setup import wheel

# Imports everything in a wheel, in a process with only the wheel and the libraries in its path, and no .pth file.
IMPORTER = """
import importlib, importlib.metadata, json, pkgutil, sys
sys.path += sys.argv[1:]
import assay_lab
import assay_lab._parts as parts
at_start = [name for name in sys.modules if name.startswith("assay_lab._parts.")]
modules = [found.name for found in pkgutil.walk_packages(parts.__path__, parts.__name__ + ".")
           if ".ai.train" not in found.name and not found.name.endswith("__main__")]
for name in modules:
    importlib.import_module(name)
own = importlib.metadata.distribution("assay-lab")
for point in own.entry_points:
    point.load()
print(json.dumps({
    "at_start": at_start,
    "modules": modules,
    "points": [point.value for point in own.entry_points],
    "ours": [name for name in ("ai", "contracts", "harness", "targets") if name in sys.modules],
    "board": assay_lab.Board.__module__,
    "root": str(importlib.import_module("assay_lab._parts.contracts.root").ROOT),
}))
"""


def python(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=100, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of `pip wheel .` for this checkout, unpacked into a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = (
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--disable-pip-version-check",
        "--no-cache-dir",
    )
    python("-m", "pip", "wheel", "--quiet", *offline, "--wheel-dir", str(folder), str(ROOT), cwd=folder)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_has_one_top_level_package(unpacked: Path) -> None:
    names = sorted(path.name for path in unpacked.iterdir())
    assert names[0] == "assay_lab"
    assert [name.endswith(".dist-info") for name in names[1:]] == [True]


def test_every_module_and_entry_point_loads_from_it(unpacked: Path, tmp_path: Path) -> None:
    seen: dict[str, Any] = json.loads(
        python("-I", "-S", "-c", IMPORTER, str(unpacked), sysconfig.get_path("purelib"), cwd=tmp_path)
    )
    assert seen["ours"] == [], "nobody else's names are taken"
    assert seen["board"] == "assay_lab._parts.harness.boards.board"
    assert Path(seen["root"]) == unpacked / "assay_lab" / "_parts"
    assert len(seen["modules"]) > 150
    assert seen["at_start"] == [], "a start of pytest or of the CLI does not pay for the facade"
    assert {value.partition(".")[0] for value in seen["points"]} == {"assay_lab"}


def test_it_has_the_files_that_the_lab_reads(unpacked: Path) -> None:
    parts = unpacked / "assay_lab" / "_parts"
    for name in ("lab-config/budgets.yaml", "firmware/meson.build", "docs/schemas/run.schema.json",
                 "harness/bpf/include/assay.h", "ai/models/assay-3m-q8_0.gguf", "robot/lab.resource"):  # fmt: skip
        assert (parts / name).is_file(), name
    assert "'assay_lab._parts.contracts.wire.c_header'" in (parts / "firmware/meson.build").read_text()
    (record,) = unpacked.glob("*.dist-info/RECORD")
    assert "__pycache__" not in record.read_text()


def test_an_editable_install_still_puts_the_root_on_the_path(tmp_path: Path) -> None:
    root = tmp_path / "checkout"  # a copy: setuptools leaves an .egg-info in its source folder
    shutil.copytree(ROOT / "assay_lab", root / "assay_lab")
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy2(ROOT / name, root)
    script = "import sys; from harness.setup import wheel; wheel.build_editable(sys.argv[1], {'editable_mode': 'compat'})"
    python("-c", script, str(tmp_path), cwd=root)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".pth"))
        assert archive.read(path).decode().split() == [str(root)]


def test_a_source_distribution_is_refused_with_words(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"do: pip wheel"):
        wheel.build_sdist(str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of empty packages, with the files that a wheel is built from."""
    root = tmp_path / "tree"
    for name in ("assay_lab", *wheel.PACKAGES):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").write_text('"""Empty."""\n')
    for name in ("docs/schemas", "firmware", "lab-config", "robot"):
        (root / name).mkdir(parents=True)
    for name in ("LICENSE", "README.md", "pyproject.toml", "requirements-sdist.lock"):
        (root / name).write_text("")
    (root / "targets" / "serial.py").write_text('"""Empty."""\n')
    return root


def test_names_of_modules_move_and_nothing_else_does(tree: Path) -> None:
    source = '''"""See targets.serial, and not targets.parallel or my.targets.serial or ./targets.serial."""
from targets import serial
from targets.serial import (
    Port,
)
COMMAND = ["-m", "targets.serial"]
targets = [serial]
targets.append(1)
'''
    (tree / "harness" / "x.py").write_text(source)
    wheel.stage(tree.parent / "out", tree)
    moved = (tree.parent / "out" / "assay_lab" / "_parts" / "harness" / "x.py").read_text()
    assert moved == (
        '"""See assay_lab._parts.targets.serial, and not targets.parallel or my.targets.serial or ./targets.serial."""\n'
        "from assay_lab._parts.targets import serial\n"
        "from assay_lab._parts.targets.serial import (\n    Port,\n)\n"
        'COMMAND = ["-m", "assay_lab._parts.targets.serial"]\n'
        "targets = [serial]\n"
        "targets.append(1)\n"
    )


@pytest.mark.parametrize("source", ["import targets.serial\n", "import targets\n", "import targets.serial as t\n",
                                    "def f(targets):\n    return targets.serial\n"])  # fmt: skip
def test_code_that_would_mean_something_else_is_refused(tree: Path, source: str) -> None:
    (tree / "harness" / "x.py").write_text(source)
    with pytest.raises(SetupError, match=r"harness/x\.py:\d+ cannot be moved"):
        wheel.stage(tree.parent / "out", tree)
