"""`assay doctor` and `assay lint` find problems and say how to fix them."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from contracts.root import ROOT
from harness.checks.doctor import Check, render, run_doctor
from harness.checks.lint import run_lint


def printed() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=160), text


def test_a_machine_that_runs_this_suite_has_its_compiler_boards_and_model_runtime() -> None:
    checks = {check.name: check for check in run_doctor()}
    for name in ("python", "qemu", "qemu machines", "zig", "llama_cpp", "monocypher", "git", "results"):
        assert checks[name].ok, checks[name]


def test_a_qemu_that_is_not_there_fails_with_expected_seen_and_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSAY_QEMU", "/nowhere/qemu")
    failed = [check for check in run_doctor() if not check.ok]
    qemu = next(check for check in failed if check.name == "qemu")
    assert (qemu.expected, qemu.seen) == ("9 or newer", "none")
    assert "ASSAY_QEMU" in qemu.do
    console, text = printed()
    assert render(failed, console) == 69
    assert qemu.do in text.getvalue()


def test_results_that_cannot_be_written_are_found(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    check = next(check for check in run_doctor(tmp_path / "results" / "x") if check.name == "results")
    assert not check.ok
    assert "--results" in check.do


def test_a_machine_with_nothing_wrong_ends_with_0() -> None:
    console, text = printed()
    assert render([Check("qemu", ok=True, expected="9 or newer", seen="10.0.2")], console) == 0
    assert "ready" in text.getvalue()


@pytest.fixture(scope="module")
def types_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mypy reads the standard library's types once for all tests here."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture
def project(tmp_path: Path, types_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with this one's rules, five empty packages, and a suite."""
    monkeypatch.setenv("MYPY_CACHE_DIR", str(types_cache))
    for name in ("pyproject.toml", ".clang-format", ".gitignore"):
        shutil.copy2(ROOT / name, tmp_path / name)
    for package in ("assay_lab", "contracts", "harness", "targets", "ai"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text('"""Empty."""\n')
    (tmp_path / "suites" / "host").mkdir(parents=True)
    (tmp_path / "suites" / "host" / "test_x.py").write_text('"""Nothing."""\n')
    (tmp_path / "probe.c").write_text("int probe(void)\n{\n    return 1;\n}\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True, timeout=20)
    return tmp_path


def test_clean_source_passes_every_linter(project: Path) -> None:
    console, text = printed()
    assert run_lint(console, project) == 0, text.getvalue()


@pytest.mark.parametrize(
    ("file", "source", "linter"),
    [
        ("probe.c", "int probe( void ){return 1;}\n", "clang-format"),
        ("firmware/kernel/x.c", '#include "live/config.h"\n', "c style"),
        ("harness/x.py", '"""X."""\n\nimport os\n', "ruff check"),
        ("harness/x.py", '"""X."""\n\nNAME = \'a\'\n', "ruff format"),
        ("harness/x.py", '"""X."""\n\nNAME: int = "a"\n', "mypy"),
        ("suites/host/test_x.py", '"""X."""\n\nNAME: int = "a"\n', "mypy"),
        ("docs/x.md", "The kernel is" + " laid before power on.\n", "prose"),
        ("contracts/x.py", '"""X."""\n\nimport harness\n\n__all__ = ["harness"]\n', "import-linter"),
        ("harness/x.py", '"""X."""\n\nimport assay_lab\n\n__all__ = ["assay_lab"]\n', "import-linter"),
        ("targets/x.py", '"""X."""\n\nimport ai\n\n__all__ = ["ai"]\n', "import-linter"),
    ],
)
def test_each_linter_fails_what_it_is_there_for(project: Path, file: str, source: str, linter: str) -> None:
    assert run_lint(Console(file=io.StringIO()), project, only=[linter]) == 0
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    (project / file).write_text(source)
    console, text = printed()
    assert run_lint(console, project, only=[linter]) == 1
    assert text.getvalue().splitlines()[-1] == f"lint failed: {linter}"
