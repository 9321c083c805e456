"""The command line: `./assay COMMAND`. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.errors import AssayError, ConfigError
from harness.commands import accept, boards, bpf, lease, results, sim

ROOT = Path(__file__).resolve().parent.parent
WORKERS = "4"  # a worker often waits for a board: more of them than cores keep two cores busy


class Variant(StrEnum):
    """Kernel variants."""

    RELEASE = "release"
    TESTING = "testing"


app = typer.Typer(
    name="assay",
    help="A hardware-in-the-loop lab for an AI-extensible ARM64 kernel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(accept.accept)
app.command()(sim.sim)
app.add_typer(bpf.app, name="bpf")
app.add_typer(boards.app, name="boards")
app.add_typer(boards.golden_app, name="golden")
app.add_typer(lease.app, name="lease")
app.add_typer(results.app, name="results")
baseline_app = typer.Typer(help="The virtual figures that later runs are held to.", no_args_is_help=True)
app.add_typer(baseline_app, name="baseline")
config_app = typer.Typer(help="The files of lab-config/: check them, describe them.", no_args_is_help=True)
app.add_typer(config_app, name="config")

# A log has no width of its own: wide enough for the tables.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
err = Console(stderr=True, highlight=False)

BoardOption = Annotated[
    list[str] | None,
    typer.Option(
        "--board",
        "-b",
        metavar="KIND",
        help="Board kind, glob or tag:NAME; repeatable. [default: tag:default]",
    ),
]
ResultsOption = Annotated[Path, typer.Option(help="Where the runs lie.")]
LabOption = Annotated[
    list[Path] | None,
    typer.Option("--lab", help="Lab file that gives places; repeatable. [default: $ASSAY_LAB]"),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="Lab key file. [default: the committed development key]")
]


@app.command()
def run(
    board: BoardOption = None,
    lab: LabOption = None,
    scenario: Annotated[
        str | None,
        typer.Option(help="Scenario family for every board. [default: one a kind, see `assay boards`]"),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="A Llama GGUF instead of the shipped one; no latency is promised for it."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**32 - 1, help="Seed of the situations; same seed, same virtual figures."),
    ] = 1,
    situations: Annotated[
        int,
        typer.Option(
            min=1,
            help="Seeded situations a board, after one of warm-up; below 20, host budgets stay inconclusive.",
        ),
    ] = 20,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write run.json to this file.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = ROOT / "results",
    budgets: Annotated[
        Path | None, typer.Option(help="Budget file. [default: lab-config/budgets.yaml]")
    ] = None,
    key: KeyOption = None,
    define: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="C macro for the release kernels; repeatable.", hidden=True),
    ] = None,
) -> None:
    """Run the whole loop on every chosen board.

    It builds, boots, observes, writes, verifies, swaps, watches and rolls back, and judges every stage.
    """
    from harness.main_job import main_job

    raise typer.Exit(
        main_job(
            out,
            board or [],
            scenario,
            model,
            seed,
            situations,
            json_file,
            results,
            budgets,
            key,
            ["./assay", *sys.argv[1:]],
            define or [],
            lab or None,
        )
    )


@app.command()
def replay(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, its folder, or `last`.")],
    results: Annotated[Path, typer.Option(help="Where the runs lie.")] = ROOT / "results",
    key: KeyOption = None,
) -> None:
    """Repeat a recorded run and compare it.

    The run's own images go to its own kernels; every virtual figure must come out the same.
    """
    from harness.replay import replay_run

    raise typer.Exit(replay_run(out, name, results, key))


@app.command()
def compare(
    before: Annotated[
        str, typer.Argument(metavar="A", help="A run's name or folder, a JSON file, `last`, or `baseline`.")
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="The same, of what came later.")],
    results: ResultsOption = ROOT / "results",
) -> None:
    """Compare two runs.

    Exit 1 on a virtual regression above 2%; host figures are shown and never judged.
    """
    from harness.compare import compare_runs

    raise typer.Exit(compare_runs(out, before, after, results))


@baseline_app.callback()
def baseline() -> None:
    """The virtual figures that later runs are held to: `assay compare baseline last`."""


@baseline_app.command("write")
def baseline_write(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, its folder, or `last`.")],
    results: ResultsOption = ROOT / "results",
) -> None:
    """Make a run's virtual figures the baseline, lab-config/baseline.json."""
    from harness.baseline import write_baseline

    raise typer.Exit(write_baseline(out, name, results))


@app.command()
def history(
    board: Annotated[str | None, typer.Option("--board", "-b", help="Board kind or glob.")] = None,
    stage: Annotated[str | None, typer.Option(help="Stage or glob; also lists every run.")] = None,
    test: Annotated[str | None, typer.Option(help="What these tests measured: an id or glob.")] = None,
    last: Annotated[int, typer.Option(min=1, help="Runs to look back.")] = 20,
    results: ResultsOption = ROOT / "results",
) -> None:
    """The last runs' figures, trends, verdicts.

    One row a board and stage, then one for each figure of a test.
    """
    from harness.history import show_history

    raise typer.Exit(show_history(out, results, board, stage, last, test))


@config_app.command("check")
def config_check(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="[default: all of lab-config/]")
    ] = None,
) -> None:
    """Look at board files, the budget file and keys; every mistake is told with its line. Exit 4 on any."""
    from harness.config_check import check

    raise typer.Exit(check(out, files or []))


@config_app.command("schema")
def config_schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`board` or `budgets`.")],
) -> None:
    """Print the JSON Schema of a kind of file, for an editor."""
    from harness.config_check import schema

    out.print(schema(name), markup=False, soft_wrap=True)


@app.command()
def report(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, its folder, or `last`.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="The page's file. [default: report.html in the run's folder]")
    ] = None,
    screenshot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Also a picture of the page, taken by Chromium."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the runs lie.")] = ROOT / "results",
) -> None:
    """The folder of a run or a session of tests as one HTML page.

    Figures against budgets and over earlier runs, every extension's way, every test, crashes, transcripts.
    """
    from harness.report import report_folder, take_in, write_report

    for option, file in (("--out", out_file), ("--screenshot", screenshot)):
        if file is not None and not file.parent.is_dir():
            raise ConfigError(
                f"no folder {file.parent} for {option}",
                expected="a file in a folder that is there",
                seen=str(file),
                do="make the folder, or name another",
            )
    folder = report_folder(name, results)
    for line in take_in(folder, results):
        err.print(line, soft_wrap=True, markup=False)
    page = write_report(folder, out_file)
    out.print(f"report: {page}", soft_wrap=True, markup=False)
    if screenshot is not None:
        from harness.report.screenshot import take_screenshot

        out.print(f"screenshot: {take_screenshot(page, screenshot)}", soft_wrap=True, markup=False)


def _pytest(arguments: list[str]) -> int:
    """Run pytest in this interpreter's environment and return its exit code."""
    import subprocess

    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Lint, then every test, by four workers. Extra arguments go to pytest instead (and skip the lint)."""
    from harness.lint import run_lint

    if not context.args:
        code = run_lint()
        if code:
            raise typer.Exit(code)
    raise typer.Exit(_pytest(context.args or ["-n", WORKERS, "suites/host", "suites/board"]))


@app.command()
def lint() -> None:
    """ruff, mypy, clang-format and the dependency direction."""
    from harness.lint import run_lint

    raise typer.Exit(run_lint())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(context: typer.Context) -> None:
    """Run benches by name, or all.

    report, channel, live, jit, model, loop, lab: every performance figure with its clock, beside its goal. Minutes
    for all of them.
    """
    import subprocess

    raise typer.Exit(
        subprocess.run(
            [sys.executable, "-m", "suites.bench", *context.args], cwd=ROOT, check=False
        ).returncode
    )


@app.command()
def build(
    board: BoardOption = None,
    lab: LabOption = None,
    variant: Annotated[
        Variant, typer.Option(help="testing kernels plant faults on request.")
    ] = Variant.RELEASE,
    key: KeyOption = None,
) -> None:
    """Cross-build each chosen board's kernel.

    The same source and key give the same bytes.
    """
    from harness.kernels import kernel_for
    from harness.registry import select

    for spec in select(board or [], lab=lab or None):
        image = kernel_for(spec, variant.value, key=key)
        out.print(
            f"{spec.kind}: {image.img} {image.size} bytes, build id {image.build_id.hex()}", soft_wrap=True
        )


@app.command()
def console(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="One board kind.")],
    lab: LabOption = None,
    variant: Annotated[
        Variant, typer.Option(help="testing kernels plant faults on request.")
    ] = Variant.RELEASE,
    key: KeyOption = None,
) -> None:
    """Boot a board and watch its channel.

    Frames, events and log are shown as they come, and a few commands can be typed. Ctrl-C ends it.
    """
    from harness.console import run_console
    from harness.kernels import kernel_for
    from harness.keys import load_key
    from harness.rack import rack
    from harness.registry import select_one

    image = kernel_for(select_one(board, lab=lab or None), variant.value, key=key)
    with rack([select_one(board, lab=lab or None)], lab=lab or None) as found:
        raise typer.Exit(run_console(found.specs[0], image, load_key(key)))


@app.command()
def setup() -> None:
    """Set this machine up and do nothing else: system packages and .venv."""
    out.print("assay: this machine is set up")  # the launcher has seen to it before it comes here


@app.command()
def doctor() -> None:
    """Check the machine: what Assay needs, what was found, what to do."""
    from harness.doctor import print_doctor

    raise typer.Exit(print_doctor(out))


def main() -> int:
    """Run the command line; every error of ours becomes one message and its exit code."""
    try:
        code = app(prog_name="assay", standalone_mode=False)
    except AssayError as error:
        err.print(f"assay: {error}", markup=False, soft_wrap=True)
        return error.exit_code
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        err.print("assay: interrupted")
        return 130
    except Exception as error:
        show = getattr(error, "show", None)  # a usage error of typer's own copy of click
        if show is None:
            raise
        show()
        return ConfigError.exit_code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
