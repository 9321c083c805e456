"""What somebody or something outside does to a board: named, and neither the kernel nor the board is blamed for it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.board import BoardSpec, DriverSpec, Place
from contracts.errors import BoardLost, Cause, InfraError
from harness.boards.board import open_board
from harness.boards.health import check_place
from harness.boards.preflight import check, unusable
from harness.boards.rack import simulator
from harness.boards.registry import select_one
from harness.config.keys import LabKey
from harness.kernel.build import KernelImage
from harness.lease import acquire, quarantine

OFF_S = 0.3
HUB = """#!/bin/sh
# Prints as uhubctl does; a simulated board's supply is behind it. HOW it disobeys is the first argument.
how=$1; shift
switch() {{ {switch} "$1"; }}
action=
while [ $# -gt 0 ]; do [ "$1" = -a ] && action=$2; shift; done
echo "Current status for hub 2-3 [1234:5678 USB2.0 Hub, USB 2.10, 4 ports, ppps]"
case "$action" in
off) echo "  Port 4: 0103 power enable connect"; echo "Sent power off request"
    [ $how = stays ] || switch off >/dev/null
    [ $how = returns ] && {{ (sleep 0.1; switch on) >/dev/null 2>&1 & }}
    echo "New status for hub 2-3 [1234:5678 USB2.0 Hub, USB 2.10, 4 ports, ppps]"
    [ $how = confesses ] && echo "  Port 4: 0103 power enable connect" || echo "  Port 4: 0000 off" ;;
on) switch on >/dev/null; echo "New status for hub 2-3 [x]"; echo "  Port 4: 0100 power" ;;
*) case "$(switch state)" in *on) echo "  Port 4: 0103 power enable connect" ;; *) echo "  Port 4: 0000 off" ;; esac ;;
esac
"""


def one(spec: BoardSpec, power: DriverSpec | None = None) -> BoardSpec:
    """The kind with its first place alone, maybe with another switch."""
    place = spec.places[0]
    return replace(spec, places=(replace(place, power=power or place.power),))


def behind_a_hub(spec: BoardSpec, folder: Path, how: str) -> BoardSpec:
    """The place's supply behind a port of a hub."""
    place = spec.places[0]
    assert place.power is not None
    switch = shlex.join(place.power.options["state"][:-1])
    script, program = folder / "hub.sh", folder / "uhubctl"
    script.write_text(HUB.format(switch=switch))
    program.write_text(f'#!/bin/sh\nexec sh {script} {how} "$@"\n')
    program.chmod(0o755)
    options = {"hub": "2-3", "port": 4, "program": str(program), "off_s": OFF_S}
    return one(spec, DriverSpec("uhubctl", options))


def switched(place: Place, verb: str) -> str:
    """Switch a simulated board's supply by its own program, past whatever stands before it."""
    assert place.power is not None
    done = subprocess.run(place.power.options[verb], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


@pytest.mark.parametrize("how", ["stays", "returns", "confesses"])
def test_a_hub_port_that_does_not_stay_off_is_named_at_once_and_no_board_is_judged(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, tmp_path: Path, how: str
) -> None:
    switched(spec.places[0], "on")
    try:
        hubbed = behind_a_hub(spec, tmp_path, how)
        began_s = time.monotonic()
        with (
            pytest.raises(InfraError, match=r"port 4 of hub 2-3|hub 2-3 did not switch port 4 off") as caught,
            open_board(hubbed, lab_key, image),
        ):
            pass
        assert time.monotonic() - began_s < 20.0, "not a boot's time-out and triage"
        assert caught.value.cause is Cause.LAB
        found = check_place(hubbed, hubbed.places[0])
        assert (found.state, found.quarantine) == ("missing", "")
        assert "hub 2-3" in found.what
        assert quarantine.of(hubbed.places[0]) is None
    finally:
        switched(spec.places[0], "off")


def test_an_honest_hub_is_no_hindrance(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, tmp_path: Path
) -> None:
    with open_board(behind_a_hub(spec, tmp_path, "obeys"), lab_key, image) as board:
        assert board.client.echo(b"hi") == b"hi"


@contextmanager
def reader(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that reads a console, as a forgotten terminal does; it has it open once it has said so."""
    script = (
        "import os, sys; fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NOCTTY); print('open', flush=True)\n"
    )
    script += "while True: os.read(fd, 4096)"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"open\n"
        yield process
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


def test_a_console_that_somebody_else_reads_is_told_before_the_run(spec: BoardSpec) -> None:
    alone = one(spec)
    assert not unusable(check([alone]))
    with reader(Path(alone.places[0].console)) as other:
        told = unusable(check([alone]))[spec.kind]
        assert f"pid {other.pid} (python" in told
        assert "is open in another program" in told
    assert not unusable(check([alone]))


def test_a_console_that_somebody_else_reads_in_mid_run_is_not_the_kernels_fault(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage
) -> None:
    hasty = replace(one(spec), request_timeout_s=0.4)
    with open_board(hasty, lab_key, image) as board, reader(Path(board.lease.place.console)) as other:
        with pytest.raises(InfraError, match="open in another program") as caught:
            for _ in range(500):
                board.client.echo(bytes(200))
        assert f"pid {other.pid} (python" in str(caught.value)
        assert caught.value.cause is Cause.OUTSIDE
        assert quarantine.of(board.lease.place) is None


def _qemu_behind(place: Place) -> int:
    """The process of a simulated board: the one that boots from its folder. 0 while there is none."""
    assert place.boot is not None
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"qemu-system-aarch64") and any(
            word.startswith(os.fsencode(place.boot.options["folder"])) for word in words
        ):
            return int(folder.name)
    return 0


def test_a_qemu_killed_while_it_boots_is_noticed_by_the_switch_and_not_by_the_boots_time_out(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, tmp_path: Path
) -> None:
    slow = tmp_path / "kernel8.img"  # a kernel that never speaks: an empty loop
    slow.write_bytes(bytes.fromhex("00000014") * 1024)
    silent = replace(image, img=slow)
    alone = one(spec)

    def kill() -> None:
        end_s = time.monotonic() + 30
        while time.monotonic() < end_s and not (pid := _qemu_behind(alone.places[0])):
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    began_s = time.monotonic()
    with pytest.raises(BoardLost, match="lost its power") as caught, open_board(alone, lab_key, silent):
        pass
    killer.join()
    assert time.monotonic() - began_s < alone.boot_timeout_s / 3
    assert "QEMU ended: SIGKILL" in caught.value.seen
    assert caught.value.cause is Cause.OUTSIDE


def test_a_qemu_that_cannot_start_behind_a_simulated_board_is_told_in_its_own_words(
    lab_key: LabKey, image: KernelImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "qemu-system-aarch64"
    broken.write_text('#!/bin/sh\necho "$0: libfdt.so.1: cannot open shared object file" >&2\nexit 127\n')
    broken.chmod(0o755)
    monkeypatch.setenv("ASSAY_QEMU", str(broken))
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    kind = select_one("rpi4-sim", lab=[])
    with simulator([kind], instances=1) as running:
        spec = select_one("rpi4-sim", lab=running.lab_file)
        began_s = time.monotonic()
        with (
            pytest.raises(InfraError, match=r"lost its power|power on") as caught,
            open_board(spec, lab_key, image),
        ):
            pass
        assert time.monotonic() - began_s < spec.boot_timeout_s / 3
        assert "libfdt.so.1: cannot open shared object file" in str(caught.value)
        with acquire(spec, timeout_s=0):
            pass  # not in quarantine
