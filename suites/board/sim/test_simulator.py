"""The simulator itself: it leaves nothing behind; its log; sessions that start it themselves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from contracts.errors import ConfigError, InfraError
from contracts.root import ROOT
from contracts.wire.uploads import BlobKind
from harness.boards.board import open_board
from harness.boards.rack import needs_rack, rack, request, simulator
from harness.boards.registry import select
from harness.config.keys import LabKey
from harness.kernel.build import KernelImage
from suites.board.user_session import Lab

HOLDER = """
import os, sys, time
from pathlib import Path
from harness.boards.rack import rack, request
from harness.boards.registry import select
with rack(select(["rpi4-sim"], lab=[])) as racked:
    lab = racked.labs[-1]
    for place in racked.specs[0].places:
        folder = Path(place.boot.options["folder"])
        (folder / "kernel8.img").write_bytes(Path(sys.argv[1]).read_bytes())
        (folder / "config.txt").write_text("arm_64bit=1\\nkernel_address=0x80000\\nenable_uart=1\\n")
        request(lab, f"{place.name} on")
    print(lab, flush=True)
    time.sleep(100)
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(what: str, until: object, timeout_s: float = 10.0) -> None:
    assert callable(until)
    end_s = time.monotonic() + timeout_s
    while not until():
        assert time.monotonic() < end_s, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_whatever_ends_a_session_its_simulator_and_every_qemu_end_with_it(
    image: KernelImage, number: signal.Signals
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(image.img)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert holder.stdout is not None
    try:
        lab_file = Path(holder.stdout.readline().decode().strip())
        logs = [path.read_text() for path in lab_file.parent.glob("*/log")]
        pids = [int(pid) for text in logs for pid in re.findall(r"pid (\d+)", text)]
        assert len(pids) == 2
        assert not any(gone(pid) for pid in pids)
        holder.send_signal(number)
        holder.wait(10)
        wait_for("every QEMU to end", lambda: all(gone(pid) for pid in pids))
        wait_for("its folder to go", lambda: not lab_file.parent.exists())
    finally:
        holder.kill()
        holder.communicate()


def test_assay_sim_serves_a_lab_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "sim",
        "--instances",
        "3",
        "--folder",
        str(tmp_path / "lab"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        lab_file = tmp_path / "lab" / "lab.yaml"
        wait_for("the lab file", lab_file.is_file, 30)
        (spec,) = select(["rpi4-sim"], lab=lab_file)
        assert [place.name for place in spec.places] == ["rpi4-sim-0", "rpi4-sim-1", "rpi4-sim-2"]
        assert request(lab_file, "rpi4-sim-2 state") == "off"
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 130
        assert process.stdout is not None
        said = process.stdout.read()
        assert f"--lab {lab_file}" in said
        assert "interrupted" in said
        assert not Path(spec.places[0].console).is_symlink()
    finally:
        process.kill()
        process.communicate()


def test_a_killed_simulators_folder_serves_again_and_a_served_one_is_refused(tmp_path: Path) -> None:
    specs = select(["rpi4-sim"], lab=[])
    home = tmp_path / "lab"
    with simulator(specs, instances=1, folder=home) as running:
        with pytest.raises(InfraError, match="does not start"), simulator(specs, instances=1, folder=home):
            pass
        assert request(running.lab_file, "rpi4-sim-0 state") == "off"
        running.process.kill()
        running.process.wait(10)
    with simulator(specs, instances=1, folder=home) as running:
        assert request(running.lab_file, "rpi4-sim-0 state") == "off"
    with (
        pytest.raises(ConfigError, match="too long for a UNIX socket"),
        simulator(specs, folder=tmp_path / ("x" * 110)),
    ):
        pass


def test_a_kind_that_cannot_be_simulated_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "sim", "--board", "qemu-virt"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "qemu-virt cannot be simulated" in done.stderr


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "sim", "--folder", str(file / "rack")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "cannot be created" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dark_board_says_why_in_its_log(lab_file: Path, spec: BoardSpec) -> None:
    place = spec.places[1]
    request(lab_file, f"{place.name} on")
    assert request(lab_file, f"{place.name} state") == "on"
    request(lab_file, f"{place.name} off")
    text = (lab_file.parent / place.name / "log").read_text()
    assert "does not boot: no config.txt" in text
    for wrong in (f"{place.name} dance", "nobody on", ""):
        with pytest.raises(InfraError, match="refused"):
            request(lab_file, wrong)


def test_a_simulator_is_started_for_kinds_without_places_alone(
    lab_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASSAY_LAB", raising=False)
    bare = select(["qemu-virt", "rpi4-sim", "rpi4"], lab=[])
    assert [needs_rack(spec) for spec in bare] == [False, True, False]
    with rack(bare) as racked:
        assert [len(spec.places) for spec in racked.specs] == [4, 2, 1]
        assert os.environ["ASSAY_LAB"] == str(racked.labs[0])
        assert select(["rpi4-sim"])[0].places == racked.specs[1].places, "processes started meanwhile find it"
        with rack(racked.specs, lab=racked.labs) as again:
            assert again.labs == racked.labs
    assert "ASSAY_LAB" not in os.environ
    with rack(select(["rpi4-sim"], lab=lab_file), lab=lab_file) as given:
        assert given.labs == (lab_file,)
    with rack(select(["qemu-virt"], lab=[])) as nothing:
        assert nothing.labs == ()


def test_every_byte_passes_the_line_unchanged(spec: BoardSpec, lab_key: LabKey, image: KernelImage) -> None:
    with open_board(spec, lab_key, image) as board:
        data = bytes(range(256)) * 3
        for _ in range(20):
            assert board.client.echo(data) == data
        board.client.upload(BlobKind.WORKLOAD, data * 80)
        status = board.client.status()
        assert (status.crc_errors, status.malformed, status.oversized, status.overruns) == (0, 0, 0, 0)


def test_a_board_of_hardware_is_judged_in_its_own_time_by_the_shipped_suite_and_says_who_stood_in(
    lab: Lab,
) -> None:
    budgets = (ROOT / "lab-config" / "budgets.yaml").read_text()
    generous = re.sub(r"(clock: hardware.*limit: \d+), stretch: [\d.]+", r"\g<1>00000", budgets)
    assert generous.count("00000}") >= 6
    (lab.folder / "generous.yaml").write_text(generous)
    suite = (ROOT / "suites" / "board" / "live" / "test_budgets.py").read_text()
    trace = (
        "\n\n@pytest.fixture\ndef trace():\n    from contracts.trace import TracePacket\n"
        "    return Trace(tuple(TracePacket(1000 * n, bytes(64)) for n in range(1, 41)))\n"
    )
    options = ("--board", "rpi4-sim", "-k", "tally")
    with simulator(select(["rpi4-sim"], lab=[]), instances=1, icount=False) as running:
        chosen = (*options, "--lab", str(running.lab_file), "--budgets", str(lab.folder / "generous.yaml"))
        done = lab.run(suite + trace, *chosen)
    assert done.code == 0, done.text
    (row,) = done.rows.values()
    assert {
        (figure["name"], figure["clock"], figure["source"], figure["stat"]) for figure in row["measurements"]
    } == {(stage, "hardware", "QEMU", "p99") for stage in ("verify", "jit", "deploy", "execute", "rollback")}
    assert all(figure["limit"] and figure["samples"] == 19 for figure in row["measurements"])
