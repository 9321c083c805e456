"""Programs on a real kernel: loaded, run, read back, unloaded; exceeded limits give a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from assay_lab import (
    BlobKind,
    Board,
    Hook,
    ImageFlag,
    LabKey,
    MapDef,
    MapType,
    Program,
    RequestRefused,
    RunMode,
    Trace,
    seal,
)
from contracts.ebpf.engine import MAX_SLOTS
from harness.bpf.asm import DW, R0, R1, R2, B, Reg, W, add64, assemble, exit_, ldx, ldxsx, mov64, stx
from harness.bpf.samples import answer, counter, endless, endless_in_helpers, wild_load

# Adds one to its memory's first word and returns the old value plus the memory's size.
BUMP = Program(
    "bump",
    Hook.TEST,
    assemble(
        [ldx(DW, R0, R1), mov64(3, Reg(R0)), add64(3, 1), stx(DW, R1, 0, 3), add64(R0, Reg(R2)), exit_()]
    ),
)


def _refused(action: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(RequestRefused) as refused:
        action()
    return refused.value.status, refused.value.detail


@pytest.mark.parametrize("mode", list(RunMode))
def test_a_program_is_loaded_run_and_unloaded(board: Board, lab_key: LabKey, mode: RunMode) -> None:
    loaded = board.client.load(seal(BUMP, lab_key, test_mem_size=16))
    assert loaded.slots == BUMP.slots
    assert loaded.wcet == BUMP.slots
    result = board.client.run(loaded.handle, (40).to_bytes(16, "little"), mode=mode, repeat=3)
    assert result.r0 == 56
    assert result.memory == (41).to_bytes(16, "little"), "each run starts with a fresh copy"
    board.client.unload(loaded.handle)
    assert board.client.status().loaded_programs == 0
    assert _refused(lambda: board.client.run(loaded.handle, bytes(16)))[0] == "BAD_ARGUMENT"


def test_every_stage_of_a_load_is_measured(board: Board, lab_key: LabKey) -> None:
    loaded = board.client.load(seal(BUMP, lab_key, test_mem_size=16))
    assert 100_000 < loaded.unseal_instructions < 10_000_000
    assert 0 < loaded.verify_instructions < 10_000_000, "verify budget: 10 ms"
    assert 0 < loaded.jit_instructions < 5_000_000, "jit budget: 5 ms"
    assert loaded.bound_ns >= loaded.wcet


def test_each_call_costs_the_same_instructions(board: Board, lab_key: LabKey) -> None:
    loaded = board.client.load(seal(BUMP, lab_key, test_mem_size=16))
    once = board.client.run(loaded.handle, bytes(16))
    many = board.client.run(loaded.handle, bytes(16), repeat=1000)
    assert many.instructions_min == many.instructions_max == once.instructions_max
    assert many.instructions_total == 1000 * once.instructions_max
    assert once.instructions_max < 1000, "execute budget: 1 us"


def test_the_code_that_is_read_back_is_what_the_host_emits(board: Board, lab_key: LabKey) -> None:
    from harness.bpf.native import Engine

    loaded = board.client.load(seal(BUMP, lab_key, test_mem_size=16))
    code = board.client.read_code(loaded.handle)
    assert len(code) == loaded.code_bytes
    assert code == Engine().load(BUMP, test_mem_size=16).emit_arm64(loaded.code_va).code


def test_wrong_requests_are_refused_with_what_was_expected(board: Board, lab_key: LabKey) -> None:
    handle = board.client.load(seal(BUMP, lab_key, test_mem_size=16)).handle
    net = board.client.load(seal(answer(2), lab_key)).handle
    client = board.client
    assert _refused(lambda: client.run(handle, bytes(8))) == (
        "BAD_ARGUMENT",
        "RUN: expected: 16 bytes of memory, seen: 8",
    )
    assert _refused(lambda: client.run(handle, bytes(16), repeat=0))[0] == "BAD_ARGUMENT"
    assert _refused(lambda: client.run(handle, bytes(16), repeat=10**6))[0] == "BAD_ARGUMENT"
    assert _refused(lambda: client.run(net))[0] == "BAD_ARGUMENT"
    assert _refused(lambda: client.unload(99)) == (
        "BAD_ARGUMENT",
        "UNLOAD: expected: a loaded program, seen: handle 99",
    )
    assert _refused(lambda: client.read_code(99))[0] == "BAD_ARGUMENT"
    assert _refused(lambda: client.deploy(99, 0))[0] == "BAD_ARGUMENT"
    assert _refused(lambda: client.deploy(handle, 0))[0] == "BAD_STATE", "test programs have no live hook"
    assert _refused(lambda: client.trial(handle))[0] == "BAD_ARGUMENT"
    assert _refused(lambda: client.trial(net))[0] == "BAD_STATE", "no TRIAL upload"
    assert _refused(client.replay)[0] == "BAD_STATE", "no WORKLOAD upload"
    assert _refused(lambda: client.read_map(net, 0))[0] == "BAD_ARGUMENT"
    assert _refused(lambda: client.results(0))[0] == "BAD_STATE"
    assert _refused(client.rollback)[0] == "BAD_STATE"


def test_a_full_program_table_is_refused_and_recovers(board: Board, lab_key: LabKey) -> None:
    image = seal(answer(2), lab_key)
    handles = [board.client.load(image).handle for _ in range(32)]
    assert len(set(handles)) == 32
    assert _refused(lambda: board.client.load(image)) == (
        "NO_MEMORY",
        "expected: at most 32 programs loaded; unload some",
    )
    board.client.unload(handles[7])
    board.client.load(image)
    board.client.pristine()
    status = board.client.status()
    assert (status.loaded_programs, status.code_pool_used, status.map_pool_used) == (0, 0, 0)


def test_a_map_that_does_not_fit_the_pool_is_refused_by_name_and_nothing_leaks(
    board: Board, lab_key: LabKey
) -> None:
    from dataclasses import replace

    large = replace(counter(), maps=(MapDef("large", MapType.ARRAY, 4, 65536, 100),))
    status, detail = _refused(lambda: board.client.load(seal(large, lab_key)))
    assert status == "NO_MEMORY"
    assert detail.startswith("map large: the map pool")
    assert board.client.status().map_pool_used == 0


def test_a_map_of_an_impossible_shape_is_refused_by_name(board: Board, lab_key: LabKey) -> None:
    from dataclasses import replace

    odd = replace(counter(), maps=(MapDef("odd", MapType.ARRAY, 8, 8, 1),))
    status, detail = _refused(lambda: board.client.load(seal(odd, lab_key)))
    assert (status, detail) == (
        "BAD_IMAGE",
        "map odd: array map key_size: expected 4 bytes (a 32-bit index)",
    )


def test_a_program_of_the_largest_size_loads(board: Board, lab_key: LabKey) -> None:
    code = [mov64(R0, 0), *[add64(R0, i) for i in range(MAX_SLOTS - 2)], exit_()]
    loaded = board.client.load(seal(Program("large", Hook.TEST, assemble(code)), lab_key))
    assert loaded.slots == MAX_SLOTS
    assert board.client.run(loaded.handle).r0 == sum(range(MAX_SLOTS - 2))


@pytest.mark.parametrize(
    "program", [wild_load(hook=Hook.TEST), endless(Hook.TEST), endless_in_helpers(Hook.TEST)]
)
def test_a_run_that_faults_or_never_ends_is_contained(
    testing_board: Board, lab_key: LabKey, program: Program
) -> None:
    client = testing_board.client
    flags = ImageFlag.TESTING | ImageFlag.SKIP_VERIFY
    handle = client.load(seal(program, lab_key, flags=flags)).handle
    for _ in range(3):
        status, detail = _refused(lambda: client.run(handle))
        assert status == "CONTAINED"
        assert ("FAR 0x10" if program.name == "wild" else "exceeded its bound") in detail
    seen = client.status()
    assert seen.faults_contained + seen.overruns_contained == 3
    assert seen.rollbacks == 0, "nothing was deployed, so nothing is rolled back"
    good = client.load(seal(BUMP, lab_key, test_mem_size=16)).handle
    assert client.run(good, bytes(16)).r0 == 16


def test_a_violation_in_the_interpreter_is_reported_with_its_slot(
    testing_board: Board, lab_key: LabKey
) -> None:
    flags = ImageFlag.TESTING | ImageFlag.SKIP_VERIFY
    handle = testing_board.client.load(seal(wild_load(hook=Hook.TEST), lab_key, flags=flags)).handle
    status, detail = _refused(lambda: testing_board.client.run(handle, mode=RunMode.INTERPRET))
    assert status == "CONTAINED"
    assert "out of bounds at slot 2, address 0x10" in detail


@pytest.mark.parametrize("mode", list(RunMode))
def test_a_context_field_read_as_signed_is_sign_extended(
    board: Board, lab_key: LabKey, trace: Trace, mode: RunMode
) -> None:
    board.client.upload_trace(trace, BlobKind.TRIAL)
    # The timer's period is the gap between packets, 1000 ns: 0x3e8, of which the low byte is negative.
    for hook, size, off, expected in (
        (Hook.TIMER, B, 8, [0, *[0xFFFF_FFE8] * 99]),
        (Hook.NET_RX, W, 12, [1] * 100),
    ):
        program = Program("signed", hook, assemble([ldxsx(size, R0, R1, off), exit_()]))
        handle = board.client.load(seal(program, lab_key)).handle
        _, results = board.client.trial(handle, mode=mode)
        assert [result.verdict for result in results][1:] == expected[1:]
