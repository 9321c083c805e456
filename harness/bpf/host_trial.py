"""A trial on the host: runs the kernel's own verifier and interpreter over a trial trace."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.diagnosis import TrialObservation
from contracts.errors import ProgramRejected
from contracts.program import Hook, Program
from contracts.trace import Trace
from harness.bpf.compile import compile_c
from harness.bpf.elf import read_programs
from harness.bpf.native import Engine, RunEnd


def net_rx_program(source: str) -> Program:
    """The one `net_rx` program of `source`. Raises ProgramRejected (stage compile)."""
    programs = [program for program in read_programs(compile_c(source).elf) if program.hook is Hook.NET_RX]
    if len(programs) != 1:
        raise ProgramRejected(
            "the source does not have exactly one net_rx program",
            stage="compile",
            reason=f"{len(programs)} programs for net_rx; write one",
        )
    return programs[0]


def host_trial(engine: Engine, program: Program, trace: Trace) -> TrialObservation:
    """Verifies `program` and runs it on every packet of `trace`, starting with empty maps.

    Raises VerifyRejected, or ProgramRejected (stage trial) if a run leaves its memory or its bound: that is a bug in
    the verifier, and the reason says so.
    """
    loaded = engine.load(program)
    verdicts = []
    for i, packet in enumerate(trace.packets):
        result = loaded.interpret(packet.frame, ktime_ns=packet.arrival_ns)
        if result.end is not RunEnd.OK:
            raise ProgramRejected(
                f"packet {i}: a verified program ended with {result.end.name}",
                stage="trial",
                reason=f"packet {i}: {result.end.name} at slot {result.slot}",
            )
        verdicts.append(result.r0 & 0xFFFFFFFF)
    maps: Mapping[str, Mapping[bytes, bytes]] = {m.definition.name: dict(m.items()) for m in loaded.maps}
    return TrialObservation(tuple(verdicts), maps)
