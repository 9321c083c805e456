"""Power switches: programs that work, fail, hang or are missing; a USB hub; an outlet on the network."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from contracts.errors import InfraError
from targets.power.command import CommandOptions, CommandPower
from targets.power.pdu import PduOptions, PduPower
from targets.power.uhubctl import UhubctlOptions, UhubctlPower, port_states


class Outlet(HTTPServer):
    """A power switch with an HTTP interface: `/NUMBER/on`, `/NUMBER/off`, `/NUMBER/state`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.powered: dict[str, bool] = {}
        self.requests: list[tuple[str, str, str, str]] = []
        self.password = ""
        self.answers = threading.Event()
        self.answers.set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Outlet

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Quiet."""

    def _answer(self) -> None:
        self.server.answers.wait(20)
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size).decode()
        given = self.headers.get("Authorization", "")
        self.server.requests.append((self.command, self.path, body, given))
        if self.server.password and given != self.server.password:
            self.send_error(401, "who are you")
            return
        _, number, verb = self.path.split("/")
        if verb in ("on", "off"):
            self.server.powered[number] = verb == "on"
        text = f'{{"output": {str(self.server.powered.get(number, False)).lower()}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names


@pytest.fixture
def outlet() -> Iterator[Outlet]:
    server = Outlet()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.answers.set()
        server.shutdown()
        thread.join()
        server.server_close()


# Output of uhubctl 2.x with real hubs, from its users' reports.
OFF = """\
Current status for hub 1-1 [2109:3431 USB2.0 Hub, USB 2.10, 4 ports, ppps]
  Port 4: 0103 power enable connect [0403:6001 FTDI FT232R USB UART A10K5QX2]
Sent power off request
New status for hub 1-1 [2109:3431 USB2.0 Hub, USB 2.10, 4 ports, ppps]
  Port 4: 0000 off
"""
ON = """\
Current status for hub 1-1 [2109:3431 USB2.0 Hub, USB 2.10, 4 ports, ppps]
  Port 4: 0000 off
Sent power on request
New status for hub 1-1 [2109:3431 USB2.0 Hub, USB 2.10, 4 ports, ppps]
  Port 4: 0100 power
"""
USB3_OFF = """\
Current status for hub 2-1.3 [2109:0822 VIA Labs, Inc. USB3.1 Hub, USB 3.20, 4 ports, ppps]
  Port 4: 02a0 power 5gbps Rx.Detect
Sent power off request
New status for hub 2-1.3 [2109:0822 VIA Labs, Inc. USB3.1 Hub, USB 3.20, 4 ports, ppps]
  Port 4: 00a0 off
Current status for hub 1-1.4 [2109:2822 VIA Labs, Inc. USB2.0 Hub, USB 2.10, 4 ports, ppps]
  Port 4: 0507 power highspeed suspend enable connect [2109:2822 VIA Labs, Inc. USB2.0 Hub, off by design]
Sent power off request
New status for hub 1-1.4 [2109:2822 VIA Labs, Inc. USB2.0 Hub, USB 2.10, 4 ports, ppps]
  Port 4: 0000 off
"""
OLD_ON = """\
Current status for hub 20-1, vendor 2109:2811, 4 ports
   Port 4: 0000 off
Sent power on request
New status for hub 20-1, vendor 2109:2811, 4 ports
   Port 4: 0100 power
"""
NO_HUB = "No compatible smart hubs detected at location 1-1!\\nRun with -h to get usage info."


def power(**options: object) -> CommandPower:
    return CommandPower(CommandOptions.model_validate({"off_s": 0.0, **options}))


def hub(program: Path) -> UhubctlPower:
    options = {"hub": "1-1", "port": 4, "program": str(program), "off_s": 0.0}
    return UhubctlPower(UhubctlOptions.model_validate(options))


def test_a_program_switches_and_tells_the_state(program: Callable[..., Path], tmp_path: Path) -> None:
    script = str(program(f"case $1 in state) cat {tmp_path}/now;; *) echo $1 > {tmp_path}/now;; esac"))
    switch = power(on=[script, "on"], off=[script, "off"], state=[script, "state"])
    switch.check()
    switch.on()
    assert switch.state() is True
    switch.off()
    assert switch.state() is False
    assert power(on=[script], off=[script]).state() is None


def test_off_lasts_as_long_as_the_lab_says(program: Callable[..., Path]) -> None:
    script = str(program("true"))
    began_s = time.monotonic()
    power(on=[script], off=[script], off_s=0.3).off()
    assert time.monotonic() - began_s >= 0.3


def test_a_program_that_fails_is_told_with_its_code_and_words(program: Callable[..., Path]) -> None:
    script = str(program("echo relay 3 is stuck >&2; exit 7"))
    with pytest.raises(InfraError) as caught:
        power(on=[script, "on"], off=[script, "off"]).on()
    assert f"`{script} on`" in caught.value.expected
    assert caught.value.seen == "exit code 7; it printed: relay 3 is stuck"
    assert caught.value.do


def test_a_program_that_hangs_is_ended_and_told(program: Callable[..., Path]) -> None:
    script = str(program("echo asking the relay; exec sleep 100"))
    began_s = time.monotonic()
    with pytest.raises(InfraError, match="hangs") as caught:
        power(on=[script, "on"], off=[script, "off"], timeout_s=0.5).off()
    assert time.monotonic() - began_s < 5
    assert "within 0.5 s" in caught.value.expected
    assert "asking the relay" in caught.value.seen


def test_a_program_that_leaves_a_child_behind_has_done_its_work_once_it_ends(
    program: Callable[..., Path], tmp_path: Path
) -> None:
    script = str(program(f"sleep 100 & echo $! > {tmp_path}/child; echo on; exit 0"))
    switch = power(on=[script], off=[script], state=[script], timeout_s=20.0)
    try:
        began_s = time.monotonic()
        assert switch.state() is True
        assert time.monotonic() - began_s < 10
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_a_missing_program_is_found_before_a_session(tmp_path: Path) -> None:
    switch = power(on=[str(tmp_path / "relay"), "on"], off=["true"])
    with pytest.raises(InfraError, match="relay cannot be run"):
        switch.check()
    with pytest.raises(InfraError, match="relay cannot be run"):
        switch.on()


def test_a_state_that_is_none_is_an_error(program: Callable[..., Path]) -> None:
    script = str(program("echo perhaps"))
    with pytest.raises(InfraError, match="printed no state"):
        power(on=[script], off=[script], state=[script]).state()


@pytest.mark.parametrize(
    ("text", "states"),
    [(OFF, [False]), (ON, [True]), (USB3_OFF, [False, False]), (OLD_ON, [True]), ("", []), (NO_HUB, [])],
)
def test_the_last_status_of_each_hub_counts(text: str, states: list[bool]) -> None:
    assert port_states(text, 4) == states
    assert port_states(text, 3) == []


def test_uhubctl_is_asked_for_one_port_and_believed_by_its_words(
    program: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "on").write_text(ON)
    (tmp_path / "off").write_text(OFF)
    script = program(
        f'echo "$@" >> {tmp_path}/calls\n'
        f'case "$*" in *"-a on"*) cat {tmp_path}/on;; *"-a off"*) cat {tmp_path}/off;; *) tail -n 2 {tmp_path}/on;; esac',
        "uhubctl",
    )
    switch = hub(script)
    switch.check()
    switch.off()
    switch.on()
    assert switch.state() is True
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["-l 1-1 -p 4 -a off -r 1", "-l 1-1 -p 4 -a on -r 1", "-l 1-1 -p 4"]


def test_a_hub_that_did_not_switch_is_told(program: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "on").write_text(ON)
    with pytest.raises(InfraError, match="did not switch port 4 off") as caught:
        hub(program(f"cat {tmp_path}/on", "uhubctl")).off()
    assert "ppps" in caught.value.do
    with pytest.raises(InfraError, match="No compatible smart hubs detected"):
        hub(program(f'printf "{NO_HUB}" >&2; exit 1', "uhubctl")).on()
    with pytest.raises(InfraError, match="cannot be run"):
        hub(tmp_path / "none").check()


def pdu(outlet: Outlet, **options: object) -> PduPower:
    whole = {
        "on": f"{outlet.url}/{{outlet}}/on",
        "off": f"{outlet.url}/{{outlet}}/off",
        "state": f"{outlet.url}/{{outlet}}/state",
        "state_on": r'"output":\s*true',
        "outlet": 3,
        "off_s": 0.0,
        **options,
    }
    return PduPower(PduOptions.model_validate(whole))


def test_an_outlet_is_switched_and_asked(outlet: Outlet) -> None:
    switch = pdu(outlet)
    switch.check()
    assert outlet.powered == {}
    switch.on()
    assert (outlet.powered, switch.state()) == ({"3": True}, True)
    switch.off()
    assert (outlet.powered, switch.state()) == ({"3": False}, False)
    assert pdu(outlet, state=None).state() is None


def test_an_outlet_may_want_another_method_a_body_and_a_password(
    outlet: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlet.password = "Basic bGFiOnNlc2FtZQ=="  # lab:sesame
    options = {"method": "POST", "body": "switch={outlet}", "user": "lab", "password_env": "BENCH_PDU"}
    with pytest.raises(InfraError, match="BENCH_PDU"):
        pdu(outlet, **options).check()
    monkeypatch.setenv("BENCH_PDU", "sesame")
    pdu(outlet, **options).on()
    assert outlet.requests[-1][:3] == ("POST", "/3/on", "switch=3")
    monkeypatch.setenv("BENCH_PDU", "guess")
    with pytest.raises(InfraError, match="refused") as caught:
        pdu(outlet, **options).on()
    assert "401" in caught.value.seen


def test_an_outlet_that_does_not_answer_is_told_in_time(outlet: Outlet) -> None:
    outlet.answers.clear()
    began_s = time.monotonic()
    with pytest.raises(InfraError, match="does not answer"):
        pdu(outlet, timeout_s=0.3).on()
    with pytest.raises(InfraError, match="does not answer"):
        pdu(outlet).check()
    assert time.monotonic() - began_s < 5
