"""`assay bpf`: run programs of one's own through the kernel's engine on this machine; `bpf_board`: on a board."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from contracts.errors import ConfigError, ProgramRejected
from contracts.plain_file import read_plain
from harness.cli import bpf_board
from harness.cli.options import JsonOption, err

if TYPE_CHECKING:
    from contracts.program import Hook
    from harness.keeper.load import MapShown

app = typer.Typer(help="Your own programs: on this machine and on a board.", no_args_is_help=True)
bpf_board.add_to(app)
out = Console(highlight=False, soft_wrap=True)

CODE_VA: Final = 0xFFFF_8000_0100_0000
"""The address shown for the code; a board reports its own address when it loads the program."""

_INPUT_MAX: Final = 1 << 16  # bytes of a packet or of memory
_VERDICTS: Final = {0: "XDP_ABORTED", 1: "XDP_DROP", 2: "XDP_PASS", 3: "XDP_TX"}

FileArgument = Annotated[Path, typer.Argument(help="A C source or an eBPF ELF object.")]
ProgramOption = Annotated[
    str | None,
    typer.Option("--program", metavar="NAME", help="The program to use if the file has several."),
]


@app.command("verify")
def bpf_verify(
    file: FileArgument,
    program_name: ProgramOption = None,
    memory: Annotated[int, typer.Option(min=0, max=2**16, help="`test` hook: bytes of memory at r1.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the bound or the refusal as JSON, to standard output.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="For a refusal, show the registers along the path.")
    ] = False,
) -> None:
    """Verify a program; print its WCET bound, or why it is refused.

    A refusal has the reason, the instruction with its C line, the path that led there, and a fix.
    """
    from harness.bpf.native import Engine
    from harness.bpf.refused import RefusedByVerifier, document_of
    from harness.keeper.load import read_source

    try:
        program = read_source(file, program_name).program
        loaded = Engine().load(program, test_mem_size=memory)
    except ProgramRejected as refused:
        if as_json:
            typer.echo(json.dumps(document_of(refused, states=verbose), indent=2))
        elif verbose and isinstance(refused, RefusedByVerifier):
            err.print(f"assay: {refused.explanation.text(states=True)}", markup=False, soft_wrap=True)
        else:
            raise
        raise typer.Exit(refused.exit_code) from refused
    if as_json:
        accepted = {
            "accepted": True,
            "program": program.name,
            "hook": program.hook.name.lower(),
            "slots": program.slots,
            "wcet": loaded.wcet,
            "stack_bytes": loaded.stack_bytes,
            "processed": loaded.processed,
        }
        typer.echo(json.dumps(accepted, indent=2))
        return
    out.print(f"accepted: {program.name}, {program.slots} slots, WCET {loaded.wcet} instructions")


@app.command("disasm")
def bpf_disasm(
    file: FileArgument,
    program_name: ProgramOption = None,
    a64: Annotated[
        bool,
        typer.Option("--a64", help="Show the A64 code of the kernel's JIT below each instruction."),
    ] = False,
    memory: Annotated[int, typer.Option(min=0, max=2**16, help="`test` hook: bytes of memory at r1.")] = 0,
) -> None:
    """Disassemble a program, with source lines above their instructions."""
    from harness.bpf.disasm import annotate, disassemble
    from harness.bpf.native import Engine
    from harness.keeper.load import read_source

    source = read_source(file, program_name)
    if not a64:
        out.print(disassemble(source.program, source.text), markup=False)
        return
    emitted = Engine().load(source.program, test_mem_size=memory).emit_arm64(CODE_VA)
    text = annotate(emitted.code, CODE_VA, source.program, emitted.offsets, source=source.text)
    out.print(text, markup=False)


@app.command(
    "run",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def bpf_run(
    context: typer.Context,
    file: Annotated[str | None, typer.Argument(metavar="[FILE.c|FILE.o]", help="A program's file.")] = None,
    packet: Annotated[
        str | None,
        typer.Option(
            metavar="HEX|@FILE", help="The packet, in hexadecimal or a file of bytes; a capture runs whole."
        ),
    ] = None,
    mem: Annotated[
        str | None, typer.Option(metavar="HEX|@FILE", help="`test` hook: the memory at r1; r2 is its size.")
    ] = None,
    program_name: ProgramOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a program and run it here with the kernel's engine.

    Prints the verdict or r0, the number of executed instructions, the program's output and its maps. Without a file
    this implements the plugin protocol of conformance runners: [MEMORY] [--program HEX] [--unverified], the program on
    standard input unless given; prints r0.
    """
    if file is None or not file.endswith((".c", ".o")):
        from harness.bpf.plugin import main as plugin

        arguments = _plugin_arguments(context, file, program_name)
        raise typer.Exit(plugin(arguments, sys.stdin, sys.stdout, sys.stderr))
    if context.args:
        raise ConfigError(
            f"`assay bpf run FILE` does not accept {context.args[0]}",
            expected="--packet, --mem, --program, --json",
            seen=" ".join(context.args),
            do="remove it",
        )
    _run_file(Path(file), packet, mem, program_name, as_json=as_json)


def _plugin_arguments(context: typer.Context, memory: str | None, program: str | None) -> list[str]:
    given = [] if memory is None else [memory]
    return [*given, *context.args, *([] if program is None else ["--program", program])]


def _run_file(file: Path, packet: str | None, mem: str | None, program: str | None, *, as_json: bool) -> None:
    from contracts.program import Hook
    from harness.bpf.native import Engine
    from harness.keeper.load import maps_of_loaded, read_source

    source = read_source(file, program)
    hook = source.program.hook
    given = _given(hook, packet, mem)
    inputs = _inputs(given)
    loaded = Engine().load(source.program, test_mem_size=len(inputs[0][1]) if hook is Hook.TEST else 0)
    rows: list[dict[str, Any]] = []
    for at_ns, data in inputs:
        result = loaded.interpret(data, ktime_ns=at_ns)
        rows.append(
            {
                "r0": result.r0,
                "verdict": _VERDICTS.get(result.r0 & 0xFFFF_FFFF, "unknown") if hook is Hook.NET_RX else None,
                "end": result.end.name.lower(),
                "instructions": result.executed,
                "printed": list(result.trace),
                "memory": result.memory.hex(),
            }
        )
    maps = maps_of_loaded(source, loaded)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "program": source.program.name,
                    "wcet": loaded.wcet,
                    "runs": rows,
                    "maps": [one.document() for one in maps],
                },
                indent=2,
            )
        )
        return
    _print_runs(rows, loaded.wcet, maps)


def _print_runs(rows: list[dict[str, Any]], wcet: int, maps: list[MapShown]) -> None:
    from harness.bpf.btf_values import text_of

    for row in rows:
        verdict = f"{row['verdict']} (r0 = {row['r0']})" if row["verdict"] else f"r0 = {row['r0']:#x}"
        out.print(f"{verdict}, {row['instructions']} of at most {wcet} instructions", markup=False)
        for line in row["printed"]:
            out.print(f"  printed: {line}", markup=False)
        if row["memory"] and not row["verdict"]:
            out.print(f"  memory: {row['memory']}", markup=False)
    for one in maps:
        out.print(f"{one.name} ({one.type})", markup=False)
        for key, value in one.told_entries():
            out.print(f"  {text_of(key)}: {text_of(value)}", markup=False)


def _given(hook: Hook, packet: str | None, mem: str | None) -> str:
    """The input that a program of `hook` takes. Raises ConfigError if it is missing, or if another one is given."""
    from contracts.program import Hook

    option, given, other = ("--packet", packet, mem) if hook is Hook.NET_RX else ("--mem", mem, packet)
    if other is not None or (given is None and hook is Hook.NET_RX):
        raise ConfigError(
            f"a {hook.name.lower()} program needs {option}",
            expected=f"{option} HEX, or {option} @FILE",
            seen="nothing" if other is None else "the other one",
            do=f"give {option}",
        )
    return given or ""


def _inputs(text: str) -> list[tuple[int, bytes]]:
    """The inputs of a program, each with its time in ns. Raises ConfigError."""
    if not text.startswith("@"):
        try:
            return [(0, bytes.fromhex("".join(text.split())))]
        except ValueError as error:
            raise ConfigError(
                "the input is not hexadecimal",
                expected="pairs of 0-9, a-f, with or without spaces, or @FILE",
                seen=str(error),
                do="correct it",
            ) from error
    from harness.channel.captures import SUFFIXES, read_capture

    path = Path(text[1:])
    if path.suffix in SUFFIXES:
        return [(packet.arrival_ns, packet.frame) for packet in read_capture(path).packets]
    try:
        return [(0, read_plain(path, _INPUT_MAX))]
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}", expected="a file of bytes, or a capture", seen=error.strerror or str(error)
        ) from error
