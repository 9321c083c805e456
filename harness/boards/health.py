"""Health checks: boot a known-good kernel on each board, exercise it, and update the quarantine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from contracts.board import BoardSpec, Place
from contracts.errors import AssayError, ChannelError, ConfigError, InfraError, KernelError, RequestRefused
from contracts.trace import Trace, TracePacket
from contracts.wire.session import StatusResponse
from contracts.wire.uploads import BlobKind
from harness.boards.triage import GoldenSilent, golden_board, is_sick
from harness.channel.client import ChannelClient
from harness.config.keys import load_key
from harness.kernel.golden import GOLDEN
from harness.lease import Lease, LeaseLost, acquire, quarantine

PURPOSE: Final = "assay boards check"
WAIT_S: Final = 10.0
_EVERY_BYTE: Final = bytes(range(256))
_ECHOES: Final = (b"", b"\0", _EVERY_BYTE, _EVERY_BYTE[::-1] * 3 + bytes(252))
_UPLOAD: Final = bytes(range(255, -1, -1)) * 128  # 32 KiB: many frames in flight at once
_PACKETS: Final = 16


@dataclass(frozen=True, slots=True)
class Health:
    """The result of one place's check.

    `state`: `fit`, `sick` (now quarantined), `missing` (a part is missing, or the golden image could not run for a
    reason other than the board), `busy` (not checked: the place is held). `quarantine`: `lifted`, `put` or `stays`.
    """

    kind: str
    place: str
    state: Literal["fit", "sick", "missing", "busy"]
    what: str
    took_s: float
    quarantine: Literal["", "lifted", "put", "stays"] = ""


def echo_test(client: ChannelClient) -> str:
    """Every byte value in both directions, frames of every size; returns a summary. Raises what `self_test` raises."""
    try:
        for data in _ECHOES:
            _same("ECHO", len(data), data, client.echo(data))
    except (RequestRefused, ChannelError, KernelError) as error:
        raise _unfit(error.what, error.expected or "every request granted", error.seen) from error
    return f"{len(_ECHOES)} echoes"


def self_test(client: ChannelClient, epoch: int) -> str:
    """Exercise a golden kernel; returns a summary. Raises GoldenSilent if the board fails the test.

    Every byte value in both directions, frames of every size, an upload with its CRC, packets through the hooks.
    """
    try:
        client.open_session(load_key().channel, epoch)
        before = client.status()
        echoes = echo_test(client)
        client.upload(BlobKind.TRIAL, _UPLOAD)
        client.upload_trace(Trace(tuple(TracePacket(1000 * n, bytes(60 + n)) for n in range(_PACKETS))))
        _same("REPLAY", _PACKETS, _PACKETS, client.replay().packets)
        _same("TELEMETRY", _PACKETS, _PACKETS, client.telemetry().rx_packets)
        client.pristine()
        after = client.status()
    except (RequestRefused, ChannelError, KernelError) as error:
        raise _unfit(error.what, error.expected or "every request granted", error.seen) from error
    for name in ("crc_errors", "malformed", "oversized", "overruns"):
        _same(f"the board's count of {name}", 0, _count(before, name), _count(after, name))
    _same("the host's count of CRC errors", 0, 0, client.frame_stats.crc_errors)
    return f"{echoes}, {len(_UPLOAD) // 1024} KiB up, {_PACKETS} packets, cores online: {after.online_cores}"


def _count(status: StatusResponse, name: str) -> int:
    value = getattr(status, name)
    assert isinstance(value, int)
    return value


def _same(what: str, size: int, expected: object, seen: object) -> None:
    if expected != seen:
        shown = (f"{size} bytes as sent", "others") if isinstance(seen, bytes) else (str(expected), str(seen))
        raise _unfit(f"{what} is wrong", *shown)


def _unfit(what: str, expected: str, seen: str) -> GoldenSilent:
    return GoldenSilent(
        f"the golden image does not work on this board: {what}",
        expected=expected,
        seen=seen,
        do="check its console's cable and adapter, its baud rate and its power supply",
    )


def trial(spec: BoardSpec, lease: Lease, golden: Path = GOLDEN) -> str:
    """Run the golden image at the lease's place and exercise it; returns a summary. Changes no quarantine.

    Raises what `golden_board` and `self_test` raise.
    """
    with golden_board(spec, lease, golden) as board:
        told = self_test(board.client, lease.epoch) if board.given else echo_test(board.client)
        return f"hello from {board.name} after {board.hello_s:.2f} s; {told}"


def check_place(
    spec: BoardSpec,
    place: Place,
    *,
    wait_s: float = WAIT_S,
    waiting: Callable[[str], None] | None = None,
    golden: Path = GOLDEN,
) -> Health:
    """Lease one place (also a quarantined one), run the golden image on it, and update its quarantine.

    Raises ConfigError without a usable golden image.
    """
    began_s = time.monotonic()

    def found(state: Literal["fit", "sick", "missing", "busy"], what: str) -> Health:
        return Health(
            spec.kind, place.name, state, what, time.monotonic() - began_s, _follow(place, state, what)
        )

    try:
        lease = acquire(
            spec, timeout_s=wait_s, purpose=PURPOSE, waiting=waiting, places=[place], quarantined=True
        )
    except InfraError as error:
        return found("busy", error.seen)
    with lease:
        try:
            told = trial(spec, lease, golden)
        except ConfigError:
            raise
        except LeaseLost as error:
            return found("busy", error.what)
        except AssayError as error:
            state: Literal["sick", "missing"] = "sick" if is_sick(spec, place, error) else "missing"
            return found(state, f"{error.what}: {error.seen}" if error.seen else error.what)
        return found("fit", told)


def _follow(place: Place, state: str, what: str) -> Literal["", "lifted", "put", "stays"]:
    if state == "fit":
        return "lifted" if quarantine.lift(place) else ""
    was = quarantine.of(place) is not None
    if state == "sick" and not was:
        quarantine.put(place, what)
        return "put"
    return "stays" if was else ""


def check_places(
    specs: Sequence[BoardSpec],
    *,
    wait_s: float = WAIT_S,
    waiting: Callable[[str], None] | None = None,
    golden: Path = GOLDEN,
) -> Iterator[Health]:
    """Check every place of `specs` in parallel; yields each result as it completes. Raises what `check_place` raises.

    At most one QEMU board per core runs at a time: more would only slow each other down.
    """
    places = [(spec, place) for spec in specs for place in spec.places]
    cores = os.cpu_count() or 1
    hardware = sum(spec.qemu is None for spec, _ in places)
    with ThreadPoolExecutor(cores) as processes, ThreadPoolExecutor(hardware or 1) as supplies:
        pools = (processes, supplies)
        tasks = [
            pools[spec.qemu is None].submit(
                check_place, spec, place, wait_s=wait_s, waiting=waiting, golden=golden
            )
            for spec, place in places
        ]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            for pool in pools:
                pool.shutdown(wait=True, cancel_futures=True)
