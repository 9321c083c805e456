"""`assay config`: check the files of lab-config/, print their schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import out

app = typer.Typer(help="Check the files of lab-config/, print their schemas.", no_args_is_help=True)


@app.command("check")
def config_check(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="[default: all of lab-config/]")
    ] = None,
) -> None:
    """Check board files, the budget file and keys; report every mistake with its line. Exits with 4 on a mistake."""
    from harness.checks.config_files import check

    raise typer.Exit(check(out, files or []))


@app.command("schema")
def config_schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`board` or `budgets`.")],
) -> None:
    """Print the JSON Schema of a type of file, for an editor."""
    from harness.checks.config_files import schema

    out.print(schema(name), markup=False, soft_wrap=True)
