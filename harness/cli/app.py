"""The command line `./assay COMMAND`, assembled from the other files in this folder."""

from __future__ import annotations

import signal
from typing import Annotated

import typer
import typer.main

from contracts.errors import AssayError, ConfigError
from harness.cli import (
    accept,
    boards,
    bpf,
    config,
    kernels,
    lease,
    machine,
    power,
    records,
    results,
    run,
    sim,
    telemetry,
    up,
)
from harness.cli.metavars import name_values
from harness.cli.options import err, out
from harness.cli.version import version_text
from harness.machine.interrupt import INTERRUPTED, on_signals

app = typer.Typer(
    name="assay",
    help="A hardware-in-the-loop lab for an AI-extensible ARM64 kernel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(run.replay)
app.command()(accept.accept)
app.command(context_settings=machine.PASSES_ARGUMENTS)(machine.test)
app.add_typer(boards.app, name="boards")
app.command()(up.up)
app.command()(up.down)
app.add_typer(lease.app, name="lease")
app.command()(kernels.build)
app.command()(kernels.console)
app.command()(telemetry.telemetry)
app.add_typer(power.app, name="power")
app.command()(power.flash)
app.add_typer(bpf.app, name="bpf")
app.command()(records.compare)
app.add_typer(records.baseline_app, name="baseline")
app.command()(records.history)
app.command()(records.report)
app.add_typer(results.app, name="results")
app.add_typer(boards.golden_app, name="golden")
app.command()(sim.sim)
app.add_typer(config.app, name="config")
app.command()(machine.lint)
app.command(context_settings=machine.PASSES_ARGUMENTS)(machine.bench)
app.command()(machine.doctor)
app.command()(machine.setup)


def _version(asked: bool) -> None:
    if asked:
        out.print(version_text(), markup=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # its callback prints it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A hardware-in-the-loop lab for an AI-extensible ARM64 kernel."""


def main() -> int:
    """Run the command line; every AssayError becomes one message and its exit code, a signal becomes 130."""
    raised = False

    def interrupt(number: signal.Signals) -> None:
        nonlocal raised
        raised = True
        raise KeyboardInterrupt(number.name)

    command = typer.main.get_command(app)
    name_values(command)
    try:
        with on_signals(interrupt):
            code = command(prog_name="assay", standalone_mode=False)
    except AssayError as error:
        err.print(f"assay: {error}", markup=False, soft_wrap=True)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        err.print("assay: interrupted", markup=False)
        return INTERRUPTED
    except Exception as error:
        show = getattr(error, "show", None)  # a usage error from typer's own copy of click
        if show is None:
            raise
        show()
        return ConfigError.exit_code
    if raised:  # typer turns it into an exit code without a message
        err.print("assay: interrupted", markup=False)
        return INTERRUPTED
    return code if isinstance(code, int) else 0
