"""Random programs on the real kernel: JIT and interpreter agree in result, memory and maps; so do host and kernel."""

from __future__ import annotations

import pytest

from contracts.errors import ProgramRejected, RequestRefused
from contracts.program import Hook, Program
from contracts.trace import Trace, TracePacket
from contracts.wire.live import RunMode
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board
from harness.bpf.fuzz import random_program
from harness.bpf.native import Engine
from harness.bpf.seal import seal
from harness.config.keys import LabKey

BATCHES = 10
ACCEPTED_PER_BATCH = 100
SEEDS_PER_BATCH = 1000
PACKET_PROGRAMS = 60

Maps = list[dict[bytes, bytes]]


def _maps(board: Board, handle: int, program: Program, *, trial: bool = False) -> Maps:
    return [board.client.read_map(handle, i, trial=trial) for i in range(len(program.maps))]


def _accepted_on_host(engine: Engine, program: Program, memory: bytes) -> bool:
    try:
        engine.load(program, test_mem_size=len(memory) if program.hook is Hook.TEST else 0)
    except ProgramRejected:
        return False
    return True


@pytest.mark.board_kinds("qemu-virt")
@pytest.mark.parametrize("batch", range(BATCHES))
def test_jit_and_interpreter_agree_on_a_thousand_programs(board: Board, lab_key: LabKey, batch: int) -> None:
    _agree(board, lab_key, batch)


@pytest.mark.board_kinds("qemu-rpi*")
def test_jit_and_interpreter_agree_on_a_hundred_programs(board: Board, lab_key: LabKey) -> None:
    _agree(board, lab_key, BATCHES)


def _agree(board: Board, lab_key: LabKey, batch: int) -> None:
    """100 accepted programs; the kernel accepts exactly what the host's build accepts."""
    engine, client, done = Engine(), board.client, 0
    for seed in range(batch * SEEDS_PER_BATCH, (batch + 1) * SEEDS_PER_BATCH):
        program, memory = random_program(seed, Hook.TEST)
        image = seal(program, lab_key, test_mem_size=len(memory), seed=seed)
        if not _accepted_on_host(engine, program, memory):
            if seed % 10 == 0:
                with pytest.raises(RequestRefused) as refused:
                    client.load(image)
                assert refused.value.status == "VERIFY_REFUSED", f"seed {seed}"
            continue
        handle = client.load(image).handle
        seen = []
        for mode in RunMode:
            run = client.run(handle, memory, mode=mode)
            seen.append((run.r0, run.memory, _maps(board, handle, program)))
        client.unload(handle)
        assert seen[0] == seen[1], f"seed {seed}: JIT and interpreter differ"
        done += 1
        if done == ACCEPTED_PER_BATCH:
            break
    assert done == ACCEPTED_PER_BATCH
    assert client.status().code_pool_used == client.status().map_pool_used == 0


def test_jit_and_interpreter_agree_on_packets(board: Board, lab_key: LabKey) -> None:
    engine, client, done = Engine(), board.client, 0
    for seed in range(10 * PACKET_PROGRAMS):
        program, packet = random_program(seed, Hook.NET_RX)
        if not _accepted_on_host(engine, program, packet) or not 14 <= len(packet) <= 1514:
            continue
        frames = (packet, packet[::-1], packet[:14])
        client.upload_trace(
            Trace(tuple(TracePacket(i, frame) for i, frame in enumerate(frames))), BlobKind.TRIAL
        )
        handle = client.load(seal(program, lab_key, seed=seed)).handle
        seen = []
        for mode in RunMode:
            answer, records = client.trial(handle, mode=mode)
            verdicts = [record.verdict for record in records]
            seen.append((answer.contained, verdicts, _maps(board, handle, program, trial=True)))
        client.unload(handle)
        assert seen[0] == seen[1], f"seed {seed}: JIT and interpreter differ"
        assert seen[0][0] == 0, f"seed {seed}: a verified program was contained"
        done += 1
        if done == PACKET_PROGRAMS:
            break
    assert done == PACKET_PROGRAMS
