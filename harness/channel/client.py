"""`ChannelClient`: every command of the kernel as a typed method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from contracts.errors import KernelError
from contracts.telemetry import Telemetry, TopPort, TopSource
from contracts.trace import Trace
from contracts.wire.frames import Empty, Message
from contracts.wire.live import (
    DEPLOY,
    LOAD,
    MAP_READ,
    POWER_OFF,
    PRISTINE,
    PROVOKE,
    READ_CODE,
    REPLAY,
    RESULTS,
    ROLLBACK,
    RUN,
    TRIAL,
    UNLOAD,
    DeployRequest,
    HandleRequest,
    LoadResponse,
    MapReadRequest,
    Provocation,
    ProvokeRequest,
    ReadRequest,
    ReadResponse,
    ReplayRequest,
    ReplayResponse,
    ResultRecord,
    RunMode,
    RunRequest,
    RunResponse,
    SwapResponse,
    TrialRequest,
    TrialResponse,
)
from contracts.wire.session import ECHO, STATUS, TELEMETRY, Echo, StatusResponse, TelemetryResponse
from contracts.wire.uploads import BlobKind
from harness.channel.requester import Requester
from harness.channel.traces import pack_trace

READ_PAGES_MAX: Final = 4096


def to_telemetry(answer: TelemetryResponse) -> Telemetry:
    """The wire's telemetry as the contract's type: without unused top entries, sorted by packets."""
    sources = [TopSource(t.saddr, t.packets, t.distinct_ports) for t in answer.top_sources if t.packets]
    ports = [TopPort(t.dport, t.packets) for t in answer.top_ports if t.packets]
    return Telemetry(
        rx_packets=answer.rx_packets,
        rx_bytes=answer.rx_bytes,
        rx_malformed=answer.rx_malformed,
        ipv4=answer.ipv4,
        tcp=answer.tcp,
        udp=answer.udp,
        icmp=answer.icmp,
        other=answer.other,
        tcp_syn=answer.tcp_syn,
        verdict_aborted=answer.verdict_aborted,
        verdict_drop=answer.verdict_drop,
        verdict_pass=answer.verdict_pass,
        verdict_tx=answer.verdict_tx,
        size_hist=answer.size_hist,
        gap_hist=answer.gap_hist,
        top_sources=tuple(sorted(sources, key=lambda t: (-t.packets, t.saddr))),
        top_ports=tuple(sorted(ports, key=lambda t: (-t.packets, t.dport))),
    )


class ChannelClient(Requester):
    """The commands of a board's kernel; instructions in answers are the guest's (1 ns each on a virtual clock).

    Every command has a timeout: the board file's, or `timeout_s` seconds. Each raises RequestRefused if the kernel
    refuses, KernelFault if it dies, BoardLost if the board disappears, and Silent (ChannelError) if no answer arrives;
    a `Board` turns silence into KernelError or InfraError after triage.
    """

    def echo(self, data: bytes) -> bytes:
        """Send bytes and return the kernel's echo."""
        return self.request(ECHO, Echo(data)).data

    def status(self) -> StatusResponse:
        """The kernel's health and frame statistics."""
        return self.request(STATUS, Empty())

    def telemetry(self) -> Telemetry:
        """The kernel's counters since the last pristine."""
        return to_telemetry(self.request(TELEMETRY, Empty()))

    def upload_trace(self, trace: Trace, kind: BlobKind = BlobKind.WORKLOAD) -> None:
        """Upload a trace as WORKLOAD (for `replay`) or TRIAL (for `trial`)."""
        self.upload(kind, pack_trace(trace))

    def load(self, image: bytes, timeout_s: float | None = None) -> LoadResponse:
        """Upload a sealed extension image; the kernel unseals, verifies and JITs it."""
        self.upload(BlobKind.IMAGE, image)
        return self.request(LOAD, Empty(), timeout_s)

    def unload(self, handle: int) -> None:
        """Unload a program that is not deployed."""
        self.request(UNLOAD, HandleRequest(handle))

    def read_code(self, handle: int) -> bytes:
        """The A64 code of a loaded program."""
        return self._read_all(READ_CODE, handle)

    def run(
        self,
        handle: int,
        memory: bytes = b"",
        *,
        mode: RunMode = RunMode.JIT,
        repeat: int = 1,
        timeout_s: float | None = None,
    ) -> RunResponse:
        """Run a `test` program `repeat` times, each on a fresh copy of `memory`.

        Raises KernelError for a kernel of an older build, whose answer contains no times.
        """
        answer = self.request(RUN, RunRequest(handle, mode, repeat, memory), timeout_s)
        if len(answer.memory) != len(memory):
            raise KernelError(
                "the kernel's answer to RUN is another than this host's",
                expected=f"{len(memory)} bytes of memory after the figures",
                seen=f"{len(answer.memory)} bytes",
                do="build kernel and host from the same tree",
            )
        return answer

    def trial(
        self, handle: int, *, mode: RunMode = RunMode.JIT, timeout_s: float | None = None
    ) -> tuple[TrialResponse, list[ResultRecord]]:
        """Dry-run a program over the TRIAL upload; one record per invocation, in order."""
        answer = self.request(TRIAL, TrialRequest(handle, mode), timeout_s)
        raw = self._read_all(RESULTS, handle)
        size = ResultRecord.wire_size()
        records = [ResultRecord.unpack(raw[at : at + size]) for at in range(0, len(raw), size)]
        if len(records) != answer.invocations:
            raise KernelError(
                "the number of trial results differs from the number of invocations",
                expected=f"{answer.invocations} records",
                seen=f"{len(records)}",
                do="see RESULTS in the transcript",
            )
        return answer, records

    def results(self, handle: int = 0) -> list[ResultRecord]:
        """The records of the last trial or replay."""
        raw = self._read_all(RESULTS, handle)
        size = ResultRecord.wire_size()
        return [ResultRecord.unpack(raw[at : at + size]) for at in range(0, len(raw), size)]

    def read_map(self, handle: int, map_index: int, *, trial: bool = False) -> dict[bytes, bytes]:
        """All entries of a loaded program's map, key to value; `trial` reads the trial's own maps."""
        entries: dict[bytes, bytes] = {}
        cursor = 0
        for _ in range(READ_PAGES_MAX):
            page = self.request(MAP_READ, MapReadRequest(handle, map_index, cursor, int(trial)))
            step = page.key_size + page.value_size
            if step == 0 or len(page.data) != page.count * step:
                raise KernelError(
                    "the size of a map page does not match its header",
                    expected=f"{page.count} entries of {step} bytes",
                    seen=f"{len(page.data)} bytes",
                    do="see MAP_READ in the transcript",
                )
            for at in range(0, len(page.data), step):
                entries[page.data[at : at + page.key_size]] = page.data[at + page.key_size : at + step]
            if page.next == 0:
                return entries
            cursor = page.next
        raise self._endless("MAP_READ")

    def _read_all(self, message: Message[ReadRequest, ReadResponse], handle: int) -> bytes:
        out = bytearray()
        for _ in range(READ_PAGES_MAX):
            page = self.request(message, ReadRequest(handle, len(out)))
            out += page.data
            if len(out) >= page.total:
                return bytes(out[: page.total])
            if not page.data:
                break
        raise self._endless(message.name)

    def _endless(self, name: str) -> KernelError:
        return KernelError(
            f"reading {name} does not end",
            expected=f"all of it in {READ_PAGES_MAX} pages, none of them empty",
            seen="more pages, or an empty page",
            do="see the transcript",
        )

    def deploy(self, handle: int, watch_invocations: int) -> SwapResponse:
        """Deploy a loaded program on its hook, watched for that many calls."""
        return self.request(DEPLOY, DeployRequest(handle, watch_invocations))

    def rollback(self) -> SwapResponse:
        """Roll back the last deployed configuration."""
        return self.request(ROLLBACK, Empty())

    def replay(self, *, timer_period_ns: int = 0, timeout_s: float | None = None) -> ReplayResponse:
        """Replay the WORKLOAD upload through the live hooks."""
        return self.request(REPLAY, ReplayRequest(timer_period_ns), timeout_s)

    def pristine(self) -> None:
        """Reset to the state after boot: removes programs, maps, uploads and telemetry."""
        self.request(PRISTINE, Empty())

    def power_off(self) -> None:
        """Power off the board; the link closes soon after."""
        self.request(POWER_OFF, Empty())

    def provoke(self, what: Provocation, timeout_s: float | None = None) -> None:
        """Provoke a fault in a testing kernel: raises KernelFault, or ChannelError for a hang."""
        self.request(PROVOKE, ProvokeRequest(what), timeout_s)


@contextmanager
def closing(client: ChannelClient) -> Iterator[ChannelClient]:
    """The client, closed at the end."""
    try:
        yield client
    finally:
        client.close()
