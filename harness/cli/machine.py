"""`assay test`, `lint`, `bench`, `setup`, `doctor`: this machine and this checkout."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

import typer

from contracts.root import ROOT
from harness.cli.options import out
from harness.terminal.output import keep_going

WORKERS: Final = "4"  # workers often wait for a board: more workers than cores keep two cores busy
PASSES_ARGUMENTS: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


def _become(module: str, arguments: list[str]) -> NoReturn:
    """Replace this process by `python -m MODULE` in the project's root.

    It stays the same process: the module handles signals, standard output and the exit code.
    """
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


def test(context: typer.Context) -> None:
    """Run lint, then every test with four workers. With arguments: pass them to pytest and skip lint."""
    from harness.checks.lint import run_lint

    keep_going()
    if not context.args:
        code = run_lint()
        if code:
            raise typer.Exit(code)
    _become("pytest", context.args or ["-n", WORKERS, "suites/host", "suites/board"])


def lint() -> None:
    """Run ruff, mypy, clang-format and the check of the dependency direction."""
    from harness.checks.lint import run_lint

    keep_going()
    raise typer.Exit(run_lint())


def bench(context: typer.Context) -> None:
    """Run the named benches, or all.

    report, channel, live, jit, model, loop, lab: every performance figure with its clock and its goal. All of them
    take minutes.
    """
    _become("suites.bench", context.args)


def setup() -> None:
    """Set up this machine and do nothing else: system packages and .venv."""
    out.print("assay: this machine is set up")  # the launcher did the work before it started this command


def doctor() -> None:
    """Check the machine: what Assay needs, what was found, how to fix it."""
    from harness.checks.doctor import print_doctor

    raise typer.Exit(print_doctor(out))
