"""`assay bpf`: programs through the kernel's engine, on the host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from contracts.errors import ConfigError
from harness.cli import bpf_board

if TYPE_CHECKING:
    from contracts.program import Program

app = typer.Typer(help="Programs of your own: on this machine, and on a board.", no_args_is_help=True)
bpf_board.add_to(app)
out = Console(highlight=False, soft_wrap=True)


def _source_program(path: Path) -> Program:
    """A program from a .c source or an eBPF ELF object."""
    from harness.bpf.compile import compile_c
    from harness.bpf.elf import read_program

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}", expected="a .c or .o file", seen=str(error)) from error
    if path.suffix == ".o":
        return read_program(data)
    try:
        source = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not C source", expected="UTF-8 text, or an object named .o", seen=str(error)
        ) from error
    return read_program(compile_c(source).elf)


@app.command("verify")
def bpf_verify(
    file: Annotated[Path, typer.Argument(help="A C source or an eBPF ELF object.")],
    memory: Annotated[int, typer.Option(min=0, max=2**16, help="`test` hook: bytes of memory at r1.")] = 0,
) -> None:
    """Verify a program: its bound, or why it is refused."""
    from harness.bpf.native import Engine

    program = _source_program(file)
    loaded = Engine().load(program, test_mem_size=memory)
    out.print(f"accepted: {program.name}, {program.slots} slots, WCET {loaded.wcet} instructions")


@app.command("disasm")
def bpf_disasm(file: Annotated[Path, typer.Argument(help="A C source or an eBPF ELF object.")]) -> None:
    """Disassemble a program."""
    from harness.bpf.disasm import disassemble

    program = _source_program(file)
    source = file.read_text() if file.suffix == ".c" else ""
    out.print(disassemble(program, source), markup=False)


@app.command(
    "run",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def bpf_run(context: typer.Context) -> None:
    """Verify and run raw bytecode.

    The plugin protocol of conformance runners, for the `test` hook.

    [MEMORY] [--program HEX] [--unverified]: bytes in hex, the program on standard input unless given; prints r0.
    """
    from harness.bpf.plugin import main as plugin

    raise typer.Exit(plugin(context.args))
