"""`assay config`: the files of lab-config/, checked and described."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import out

app = typer.Typer(help="The files of lab-config/: check them, describe them.", no_args_is_help=True)


@app.command("check")
def config_check(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="[default: all of lab-config/]")
    ] = None,
) -> None:
    """Look at board files, the budget file and keys; every mistake is told with its line. Exit 4 on any."""
    from harness.checks.config_files import check

    raise typer.Exit(check(out, files or []))


@app.command("schema")
def config_schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`board` or `budgets`.")],
) -> None:
    """Print the JSON Schema of a kind of file, for an editor."""
    from harness.checks.config_files import schema

    out.print(schema(name), markup=False, soft_wrap=True)
