"""The kernel base on every board: boot, memory protection, clocks, faults, power. No channel is involved."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.board import BoardSpec
from harness.kernel.build import build_kernel

Start = Callable[..., Any]

FAULTS: Final = {
    "N": "Data Abort, same EL: translation fault, level 0, write, null pointer",
    "U": "Undefined instruction",
    "F": "FP or SIMD instruction",
    "W": "Data Abort, same EL: permission fault, level 3, write, in the image region",
    "X": "Instruction Abort, same EL: permission fault, level 2, in the map pool region",
    "S": "Data Abort, same EL: translation fault, level 3, write, stack overflow: guard page under "
    "core 0's kernel stack",
    "E": "in an exception handler: Data Abort, same EL: translation fault, level 3, write, stack overflow: guard "
    "page under core 0's exception stack",
    "A": "panic: asked for",
}

pytestmark = pytest.mark.needs("process")  # each test starts its own QEMU, with the probe kernel


@pytest.mark.parametrize("icount", [True, False])
def test_boots_high_with_every_core_accounted_for(start: Start, board_spec: BoardSpec, icount: bool) -> None:
    board = start(icount=icount)
    is_pi = board_spec.firmware != "qemu-virt"
    assert board.greeting["el"] == ("2" if is_pi else "1")
    assert board.greeting["cores"] == ("f" if is_pi else "1")
    status = board.ask("s")
    assert status["board"] == board_spec.firmware
    assert (status["counted"], status["timed"]) == (("1", "0") if icount else ("0", "1")), (
        "INST_RETIRED under icount, where an instruction is a ns, CNTVCT without"
    )
    assert int(status["hz"]) > 0
    assert status["overruns"] == status["drops"] == "0"


def test_the_running_kernel_states_the_build_id_of_its_file(start: Start, board_spec: BoardSpec) -> None:
    image = build_kernel(board_spec.firmware, probe=Path(__file__).with_name("probe.c"))
    assert start().ask("b")["id"] == image.build_id.hex()


def test_text_is_read_only_data_is_not_executable_and_guards_are_unmapped(start: Start) -> None:
    assert start().ask("p") == {
        "name": "protection",
        "text": "10",
        "rodata": "10",
        "data": "11",
        "guard": "0",
        "stack": "1",
        "low": "0",
    }


def test_pools_are_zero_after_boot_and_writable_to_their_last_byte(start: Start) -> None:
    assert start().ask("z")["clear"] == "1"


def test_code_is_published_over_a_page_boundary_and_its_alias_is_gone(start: Start) -> None:
    answer = start().ask("j")
    assert (answer["written"], answer["result"]) == ("1", "42")
    assert (answer["alias"], answer["readable"], answer["writable"]) == ("0", "1", "0")
    assert answer["outside"] == "0", "a write that leaves the JIT region is refused"


def test_where_an_instruction_is_not_a_nanosecond_both_are_taken(start: Start) -> None:
    board = start(extra=("-icount", "shift=2,sleep=off"))
    status, answer = board.ask("s"), board.ask("m")
    assert (status["counted"], status["timed"]) == ("1", "1")
    assert (answer["empty"], answer["loop"]) == ("0", "2001"), "as where instructions alone are counted"
    assert int(answer["empty_ns"]) <= 32, "the calibrated overhead is subtracted, to two ticks of 16 ns"
    assert int(answer["loop_ns"]) == pytest.approx(4 * 2001, abs=100), "4 ns each"


def test_without_an_instruction_counter_time_alone_is_taken(start: Start) -> None:
    board = start(icount=False)
    answers = [board.ask("m") for _ in range(5)]
    assert {(answer["empty"], answer["loop"]) for answer in answers} == {("0", "0")}
    assert min(int(answer["empty_ns"]) for answer in answers) < min(int(a["loop_ns"]) for a in answers)


def test_instruction_counts_are_exact_and_the_same_every_time(start: Start) -> None:
    board = start()
    answers = [board.ask("m") for _ in range(5)]
    assert {answer["empty"] for answer in answers} == {"0"}
    assert {answer["loop"] for answer in answers} == {"2001"}, (
        "1000 turns of two instructions, and the constant"
    )


def test_boot_takes_the_same_virtual_time_twice(start: Start) -> None:
    assert start().greeting == start().greeting


def test_the_alarm_fires_once_at_its_time(start: Start) -> None:
    answer = start().ask("a")
    assert answer["fired"] == "1"
    assert 1_000_000 <= int(answer["after"]) < 1_010_000


def test_an_alarm_can_move_the_interrupted_code_elsewhere(start: Start) -> None:
    assert start().ask("R")["abandoned"] == "1"


def test_a_contained_fault_goes_on_where_the_frame_says(start: Start) -> None:
    assert start().ask("c")["contained"] == "42"


def test_an_idle_board_executes_nothing(start: Start) -> None:
    board = start()
    counts = []
    for pause_s in (0.1, 0.1, 0.1, 1.0):  # long enough for the board to be asleep again after its answer
        time.sleep(pause_s)
        counts.append(int(board.ask("i")["instructions"]))
    assert counts[3] - counts[2] == counts[2] - counts[1], "ten times the pause, the same instructions"


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_reported_in_words_and_again_on_demand(start: Start, what: str) -> None:
    board = start()
    board.send(what.encode())
    report = board.text_until_quiet()
    assert f"FAULT core 0: {FAULTS[what]}" in report
    assert "x30" in report
    backtrace = report.split("backtrace", 1)[1].split()
    assert backtrace
    assert all(address.startswith("ffff8000") for address in backtrace)
    if what == "S":
        assert len(backtrace) == 16
    board.send(b"\0")
    assert board.text_until_quiet() == report


def test_power_off_ends_the_machine(start: Start) -> None:
    board = start()
    board.send(b"o")
    assert board.exit_code() == 0


def test_reset_boots_again(start: Start) -> None:
    board = start()
    board.send(b"r")
    assert board.line()["name"] == "probe"
    assert board.ask("c")["contained"] == "42"


@pytest.mark.board_kinds("*virt*")
@pytest.mark.parametrize(
    ("options", "entry_el"),
    [("virtualization=on", "2"), ("secure=on", "3"), ("secure=on,virtualization=on", "3")],
)
def test_every_entry_level_ends_in_the_same_kernel(start: Start, options: str, entry_el: str) -> None:
    board = start(extra=("-machine", options))
    assert board.greeting["el"] == entry_el
    assert board.ask("a")["fired"] == "1", "interrupts arrive"
    assert board.ask("m")["loop"] == "2001"
