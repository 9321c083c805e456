"""`assay bpf load`, `list`, `maps`, `trace`, `rollback`, `unload`: your own programs on a board."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from harness.cli.options import JsonOption, KeyOption, LabOption, OneBoardOption, console, tell
from harness.cli.traffic import SeedOption, WorkloadOption, replay, workload_of

if TYPE_CHECKING:
    from contracts.trace import Trace
    from harness.channel.requester import ReceivedEvent
    from harness.keeper.load import MapShown, Put
    from harness.keeper.use import HandBoard

out = console(120)
ENTRIES_SHOWN: Final = 64
_POLL_S: Final = 0.2

ProgramOption = Annotated[
    str | None, typer.Option("--program", metavar="NAME", help="A program's name, or its handle.")
]


def load(
    file: Annotated[Path, typer.Argument(help="A C source or an eBPF ELF object.")],
    board: OneBoardOption,
    program: Annotated[
        str | None,
        typer.Option("--program", metavar="NAME", help="The program to load if the file has several."),
    ] = None,
    workload: WorkloadOption = None,
    seed: SeedOption = 1,
    watch: Annotated[
        int, typer.Option(min=1, help="Clean calls after which the kernel commits the deployment.")
    ] = 32,
    memory: Annotated[int, typer.Option(min=0, max=2**16, help="`test` hook: bytes of memory at r1.")] = 0,
    deploy: Annotated[bool, typer.Option(help="Attach it to its hook; a `test` program has none.")] = True,
    as_json: JsonOption = False,
    key: KeyOption = None,
    lab: LabOption = None,
) -> None:
    """Load your own program onto a board and attach it to its hook.

    It is compiled and sealed here; the kernel verifies and JIT-compiles it. --workload then replays traffic through it.
    """
    from harness.keeper.load import put, read_source
    from harness.keeper.use import hand_board

    source = read_source(file, program)
    traffic = workload_of(workload, seed) if workload is not None else []
    with hand_board(board, lab=lab, key=key, told=tell) as hand, hand.alone():
        done = put(hand, source, memory=memory, watch=watch, deploy=deploy)
        replayed = _replayed(hand, traffic) if traffic else None
        if as_json:
            typer.echo(json.dumps(_load_document(done, replayed), indent=2))
            return
        _print_load(done)
        if replayed is not None:
            _print_replay(workload or "", replayed)
        if hand.kept is None:
            out.print("The board was taken for this command alone; the program is gone with it.")


def _replayed(hand: HandBoard, traffic: Sequence[Trace]) -> dict[str, Any]:
    from harness.keeper.load import verdict_counts

    client = hand.board.client
    before = client.telemetry()
    answers = replay(client, traffic)
    return {
        "packets": sum(answer.packets for answer in answers),
        "calls": sum(answer.program_invocations for answer in answers),
        "contained": sum(answer.contained for answer in answers),
        "rollbacks": sum(answer.rollbacks for answer in answers),
        "committed": any(answer.committed for answer in answers),
        "instructions_max": max(answer.instructions_max for answer in answers),
        "verdicts": verdict_counts(before, client.telemetry()),
    }


def _load_document(done: Put, replayed: dict[str, Any] | None) -> dict[str, Any]:
    program = done.program.document()
    del program["obj"]
    response = done.response
    costs = {
        f"{stage}_instructions": getattr(response, f"{stage}_instructions")
        for stage in ("unseal", "verify", "jit")
    }
    generation = done.swap.generation if done.swap is not None else None
    return program | costs | {"code_bytes": response.code_bytes, "generation": generation, "replay": replayed}


def _print_load(done: Put) -> None:
    program, response = done.program, done.response
    out.print(
        f"loaded {program.name} ({program.hook}) as handle {program.handle}: {program.slots} slots, "
        f"{response.code_bytes} bytes of A64, at most {program.wcet} instructions per call",
        markup=False,
    )
    out.print(
        f"  verified in {response.verify_instructions:,} instructions, JITed in {response.jit_instructions:,}",
        markup=False,
    )
    if done.swap is not None:
        out.print(
            f"deployed as generation {done.swap.generation}; rollback points: {done.swap.rollback_depth}",
            markup=False,
        )


def _print_replay(workload: str, replayed: dict[str, Any]) -> None:
    verdicts = ", ".join(f"{count} {name}" for name, count in replayed["verdicts"].items() if count)
    fate = (
        "committed" if replayed["committed"] else "rolled back" if replayed["rollbacks"] else "not committed"
    )
    out.print(
        f"replayed {workload}: {replayed['packets']} packets, {replayed['calls']} calls, {verdicts or 'no verdicts'}; "
        f"at most {replayed['instructions_max']} instructions per call; {fate}",
        markup=False,
    )
    if replayed["contained"]:
        out.print(f"  {replayed['contained']} calls had to be contained: see `assay bpf list`", markup=False)


def list_programs(board: OneBoardOption, as_json: JsonOption = False, lab: LabOption = None) -> None:
    """List the programs that were loaded by hand, with their states."""
    from rich.table import Table

    from harness.keeper.use import hand_board

    with hand_board(board, lab=lab, told=tell, only_up=True) as hand:
        programs = hand.programs()
    if as_json:
        for program in programs:
            del program["obj"]
        typer.echo(json.dumps(programs, indent=2))
        return
    table = Table()
    for column in ("handle", "program", "hook", "state", "slots", "bound", "file"):
        table.add_column(
            column, overflow="fold", justify="right" if column in ("handle", "slots", "bound") else "left"
        )
    for program in programs:
        table.add_row(
            str(program["handle"]), program["name"], program["hook"], program["state"],
            str(program["slots"]), str(program["wcet"]), program["file"],
        )  # fmt: skip
    out.print(table if programs else "no program was loaded by hand")


def maps(
    board: OneBoardOption,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One map.")] = None,
    program: ProgramOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Entries to print per map.")] = ENTRIES_SHOWN,
    as_json: JsonOption = False,
    lab: LabOption = None,
) -> None:
    """Print the maps of the programs on a board, with entries according to their C types.

    The text (but not --json) omits entries of an array that contain only zeros.
    """
    from harness.keeper.load import read_maps
    from harness.keeper.use import hand_board

    with hand_board(board, lab=lab, told=tell, only_up=True) as hand, hand.alone():
        shown = read_maps(hand, name, program)
    if as_json:
        typer.echo(json.dumps([one.document() for one in shown], indent=2))
        return
    if not shown:
        out.print("no program with maps was loaded by hand")
    for one in shown:
        _print_map(one, limit)


def _print_map(one: MapShown, limit: int) -> None:
    from harness.bpf.btf_values import text_of

    entries = one.told_entries()
    used = f"{len(entries)} of {one.max_entries} entries" + (" not zero" if one.type == "array" else "")
    out.print(f"{one.name} ({one.type}) of {one.program}: {used}", markup=False)
    for key, value in entries[:limit]:
        out.print(f"  {text_of(key)}: {text_of(value)}", markup=False, soft_wrap=True)
    if len(entries) > limit:
        out.print(f"  and {len(entries) - limit} more (--limit)", markup=False)


def trace(
    board: OneBoardOption,
    workload: WorkloadOption = None,
    seed: SeedOption = 1,
    time_s: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", min=0, help="Stop after this time. [default: Ctrl-C]"),
    ] = None,
    lab: LabOption = None,
) -> None:
    """Show output of programs and kernel as it arrives: bpf_trace_printk, log, commits, rollbacks, faults.

    With --workload, traffic is replayed once, and the command ends after it unless --for says otherwise.
    """
    from harness.keeper.use import hand_board

    traffic = workload_of(workload, seed) if workload is not None else []
    waiting: queue.SimpleQueue[ReceivedEvent] = queue.SimpleQueue()
    with hand_board(board, lab=lab, told=tell) as hand:
        client = hand.board.client
        client.on_event(waiting.put)
        if traffic:
            with hand.alone():
                replay(client, traffic)
            time_s = _POLL_S if time_s is None else time_s
        end_s = None if time_s is None else time.monotonic() + time_s
        while end_s is None or time.monotonic() < end_s or not waiting.empty():
            try:
                out.print(_event_text(waiting.get(timeout=_POLL_S)), markup=False, soft_wrap=True)
            except queue.Empty:
                client.check_alive()


def _event_text(received: ReceivedEvent) -> str:
    from contracts.wire.events import CommitEvent, FaultEvent, LogEvent, RollbackCause, RollbackEvent

    record = received.record
    if isinstance(record, LogEvent):
        return f"{'program' if record.level == 4 else 'kernel'}: {record.text.decode('utf-8', 'replace').rstrip()}"
    if isinstance(record, CommitEvent):
        return f"committed: generation {record.generation} after {record.invocations} calls"
    if isinstance(record, RollbackEvent):
        cause = (
            RollbackCause(record.cause).name.lower() if record.cause in list(RollbackCause) else record.cause
        )
        return f"rolled back ({cause}): generation {record.generation} runs"
    if isinstance(record, FaultEvent):
        return f"the kernel died: {record.text.decode('utf-8', 'replace').strip()}"
    return str(record)


def rollback(board: OneBoardOption, lab: LabOption = None) -> None:
    """Roll back the last deployment: the previous program runs again."""
    from harness.keeper.use import hand_board

    with hand_board(board, lab=lab, told=tell, only_up=True) as hand:
        swap = hand.board.client.rollback()
    out.print(
        f"rolled back in {swap.swap_instructions} instructions; rollback points left: {swap.rollback_depth}",
        markup=False,
    )


def unload(
    board: OneBoardOption,
    program: Annotated[str | None, typer.Argument(metavar="[PROGRAM]", help="Its name or handle.")] = None,
    lab: LabOption = None,
) -> None:
    """Remove a program from a board. Refused if it is deployed or if a rollback could restore it."""
    from harness.keeper.load import chosen
    from harness.keeper.use import hand_board

    with hand_board(board, lab=lab, told=tell, only_up=True) as hand, hand.alone():
        for one in chosen(hand, program):
            hand.board.client.unload(one["handle"])
            out.print(f"unloaded {one['name']} (handle {one['handle']})", markup=False)


def add_to(app: typer.Typer) -> None:
    """Add these commands to `assay bpf`."""
    for name, command in (
        ("load", load),
        ("list", list_programs),
        ("maps", maps),
        ("trace", trace),
        ("rollback", rollback),
        ("unload", unload),
    ):
        app.command(name)(command)
