"""`assay test`, `lint`, `bench`, `setup`, `doctor`: this machine and this checkout."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

import typer

from contracts.root import ROOT
from harness.cli.options import out
from harness.terminal.output import keep_going

WORKERS: Final = "4"  # a worker often waits for a board: more of them than cores keep two cores busy
PASSES_ARGUMENTS: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


def _become(module: str, arguments: list[str]) -> NoReturn:
    """Go on as `python -m MODULE` in the project's root.

    The same process: signals, standard output and the exit code are the module's own business.
    """
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


def test(context: typer.Context) -> None:
    """Lint, then every test, by four workers. Extra arguments go to pytest instead (and skip the lint)."""
    from harness.checks.lint import run_lint

    keep_going()
    if not context.args:
        code = run_lint()
        if code:
            raise typer.Exit(code)
    _become("pytest", context.args or ["-n", WORKERS, "suites/host", "suites/board"])


def lint() -> None:
    """ruff, mypy, clang-format and the dependency direction."""
    from harness.checks.lint import run_lint

    keep_going()
    raise typer.Exit(run_lint())


def bench(context: typer.Context) -> None:
    """Run benches by name, or all.

    report, channel, live, jit, model, loop, lab: every performance figure with its clock, beside its goal. Minutes
    for all of them.
    """
    _become("suites.bench", context.args)


def setup() -> None:
    """Set this machine up and do nothing else: system packages and .venv."""
    out.print("assay: this machine is set up")  # the launcher has seen to it before it comes here


def doctor() -> None:
    """Check the machine: what Assay needs, what was found, what to do."""
    from harness.checks.doctor import print_doctor

    raise typer.Exit(print_doctor(out))
