"""`--workload`: traffic for a board from a capture file or a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contracts.trace import Trace
    from contracts.wire.live import ReplayResponse
    from harness.channel.client import ChannelClient

WorkloadOption = Annotated[
    str | None,
    typer.Option(
        "--workload",
        metavar="FILE.pcap|SCENARIO",
        help="Traffic to replay on the board: a pcap or pcapng file, or flood, portscan, hotport, latency.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of a scenario's traffic.")]


def workload_of(name: str, seed: int) -> list[Trace]:
    """The traffic named by `--workload`, in pieces that fit a board. Raises ConfigError."""
    from ai.scenarios import families, situation
    from contracts.errors import ConfigError, did_you_mean
    from harness.channel.captures import SUFFIXES, pieces, read_capture

    if name in families():
        return [situation(name, seed).workload]
    path = Path(name)
    if path.is_file() or path.suffix in SUFFIXES:
        return pieces(read_capture(path))
    raise ConfigError(
        f"no workload {name!r}{did_you_mean(name, families())}",
        expected=f"a pcap or pcapng file, or a scenario: {', '.join(families())}",
        seen=name,
        do="check the file's name",
    )


def replay(client: ChannelClient, traffic: Sequence[Trace]) -> list[ReplayResponse]:
    """Upload and replay each piece; the results."""
    out = []
    for trace in traffic:
        client.upload_trace(trace)
        out.append(client.replay())
    return out
