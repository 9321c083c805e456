"""`assay telemetry`: the traffic counters of a board's kernel, once or repeatedly."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Annotated, Final

import typer

from harness.cli.options import BoardArgument, JsonOption, KeyOption, LabOption, console, tell
from harness.cli.traffic import SeedOption, WorkloadOption, replay, workload_of

if TYPE_CHECKING:
    from rich.console import Group

    from contracts.telemetry import Telemetry

out = console(100)
_PROTOCOLS: Final = ("ipv4", "tcp", "tcp_syn", "udp", "icmp", "other", "rx_malformed")
_VERDICTS: Final = ("pass", "drop", "tx", "aborted")
_TOP_SHOWN: Final = 5


def telemetry(
    board: BoardArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Show it repeatedly until Ctrl-C.")] = False,
    workload: WorkloadOption = None,
    seed: SeedOption = 1,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two samples.")] = 1.0,
    time_s: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", min=0, help="With --watch: stop after this time."),
    ] = None,
    as_json: JsonOption = False,
    key: KeyOption = None,
    lab: LabOption = None,
) -> None:
    """Show the traffic counters of a board's kernel since it was pristine.

    With --workload, that traffic is replayed before each look: with --watch it flows in a loop while you watch. With
    --json, a line a look.
    """
    from rich.live import Live

    from harness.keeper.use import hand_board

    traffic = workload_of(workload, seed) if workload is not None else []
    with hand_board(board, lab=lab, key=key, told=tell) as hand:
        end_s = time.monotonic() + (time_s or 0.0)
        before: Telemetry | None = None
        at_s = time.monotonic()
        live = Live(console=out, auto_refresh=False) if watch and not as_json and out.is_terminal else None
        if live is not None:
            live.start()
        try:
            while True:
                with hand.alone():
                    replay(hand.board.client, traffic)
                    seen = hand.board.client.telemetry()
                now_s = time.monotonic()
                if as_json:
                    typer.echo(json.dumps(asdict(seen)))
                elif live is not None:
                    live.update(_shown(seen, before, now_s - at_s), refresh=True)
                else:
                    out.print(_shown(seen, before, now_s - at_s))
                before, at_s = seen, now_s
                if not watch or (time_s is not None and now_s + every > end_s):
                    return
                time.sleep(every)
        finally:
            if live is not None:
                live.stop()


def _shown(seen: Telemetry, before: Telemetry | None, span_s: float) -> Group:
    """The counters with their growth since the last sample, then the top sources and ports."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def grown(name: str) -> str:
        if before is None:
            return ""
        return f"+{getattr(seen, name) - getattr(before, name):,}"

    counters = Table(show_header=before is not None, box=None, pad_edge=False)
    for column in ("counter", "since pristine", f"in {span_s:.1f} s"):
        counters.add_column(column, justify="left" if column == "counter" else "right")
    for name in ("rx_packets", "rx_bytes", *_PROTOCOLS, *(f"verdict_{verdict}" for verdict in _VERDICTS)):
        counters.add_row(name.replace("_", " "), f"{getattr(seen, name):,}", grown(name))
    lines = [Text("")]
    if seen.top_sources:
        lines.append(Text("sources with the most packets"))
        lines += [
            Text(
                f"  {IPv4Address(source.saddr)!s:15} {source.packets:>8,} packets, about {source.distinct_ports} ports"
            )
            for source in seen.top_sources[:_TOP_SHOWN]
        ]
    if seen.top_ports:
        lines.append(Text("destination ports with the most packets"))
        lines += [
            Text(f"  {port.dport:<15} {port.packets:>8,} packets") for port in seen.top_ports[:_TOP_SHOWN]
        ]
    return Group(counters, *lines)
