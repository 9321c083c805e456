"""The hardware plugged into this machine to which a board may be connected, as a lab file to edit."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serial.tools import list_ports

from contracts.errors import InfraError
from targets.power.command import run_command

USB: Final = Path("/sys/bus/usb/devices")
BY_ID: Final = Path("/dev/serial/by-id")
UHUBCTL_S: Final = 15.0

_PROBES: Final = (
    ("2e8a:000c", "Raspberry Pi Debug Probe"),
    ("2e8a:0004", "Picoprobe"),
    ("0d28:0204", "DAPLink"),
    ("1366:", "SEGGER J-Link"),
    ("0483:37", "STMicroelectronics ST-LINK"),
    ("15ba:", "Olimex JTAG"),
    ("1d50:6018", "Black Magic Probe"),
    ("0403:6010", "FTDI FT2232, which many JTAG adapters are"),
    ("0403:6011", "FTDI FT4232, which many JTAG adapters are"),
    ("0403:6014", "FTDI FT232H, which many JTAG adapters are"),
)
"""Debug probes by the beginning of their USB id, `vendor:product`; any with CMSIS-DAP in its name is one, too."""

_HUB: Final = re.compile(r"^Current status for hub (?P<hub>\S+) \[(?P<about>.*)\]", re.MULTILINE)
_PORT: Final = re.compile(r"^\s+Port (?P<port>\d+): (?P<words>.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A serial adapter: the path that stays the same when it is plugged in again, and its description."""

    path: str
    about: str
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A debug probe: its unique id and its description."""

    unique_id: str
    about: str


@dataclass(frozen=True, slots=True)
class Hub:
    """A USB hub that uhubctl can switch: its location, and its ports with the connected devices."""

    location: str
    about: str
    ports: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that is plugged in. `unknown`: what could not be searched for, and why."""

    adapters: tuple[Adapter, ...] = ()
    probes: tuple[Probe, ...] = ()
    hubs: tuple[Hub, ...] = ()
    unknown: tuple[str, ...] = ()


def discover(usb: Path = USB, by_id: Path = BY_ID, uhubctl: str = "uhubctl") -> Found:
    """Find serial ports, USB devices and hubs. Opens no port and switches nothing."""
    hubs, unknown = _hubs(uhubctl)
    return Found(tuple(_adapters(by_id)), tuple(_probes(usb)), hubs, unknown)


def _adapters(by_id: Path) -> Iterator[Adapter]:
    links: dict[str, str] = {}
    with suppress(OSError):
        links = {str(path.resolve()): str(path) for path in sorted(by_id.iterdir())}
    for port in sorted(list_ports.comports(), key=lambda port: str(port.device)):
        if port.vid is None and port.device not in links:
            continue  # a UART of the machine itself: usually not connected
        about = f"{port.description or port.product or 'serial adapter'}"
        if port.vid is not None:
            about += f", USB {port.vid:04x}:{port.pid:04x}" + (
                f" at {port.location}" if port.location else ""
            )
        yield Adapter(links.pop(str(port.device), str(port.device)), about, port.serial_number or "")
    for real, link in links.items():  # of a driver that pyserial does not list
        yield Adapter(link, f"serial adapter at {real}")


def _probes(usb: Path) -> Iterator[Probe]:
    for device in sorted(usb.glob("*")):
        vendor, product = _text(device / "idVendor"), _text(device / "idProduct")
        if not vendor:
            continue
        name = " ".join(filter(None, (_text(device / "manufacturer"), _text(device / "product"))))
        usb_id = f"{vendor}:{product}"
        known = next((what for start, what in _PROBES if usb_id.startswith(start)), "")
        if known or "CMSIS-DAP" in name:
            yield Probe(_text(device / "serial"), f"{name or known}, USB {usb_id} at {device.name}")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _hubs(program: str) -> tuple[tuple[Hub, ...], tuple[str, ...]]:
    if shutil.which(program) is None:
        return (), (f"hubs that switch their ports: {program} is not installed",)
    try:
        text = run_command([program], UHUBCTL_S, "hubs")
    except InfraError as error:
        seen = error.seen.splitlines()[-1] if error.seen else error.what
        return (), (f"hubs that switch their ports: {seen}",)
    found = []
    heads = list(_HUB.finditer(text))
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        part = text[head.end() : after.start() if after is not None else len(text)]
        ports = tuple((int(port["port"]), port["words"].strip()) for port in _PORT.finditer(part))
        found.append(Hub(head["hub"], head["about"], ports))
    return tuple(found), ()


def lab_text(found: Found, kind: str) -> str:
    """A lab file with a place of `kind` for each adapter; lines to fill in are marked EDIT."""
    lines = [
        f"# What is plugged into {socket.gethostname()}: a lab file to edit, for --lab (docs/bench.md). Lines with EDIT",
        "# need information that no program can find: which port or switch powers the board, which folder it boots from.",
        "schema: 1",
        f"places:{'' if found.adapters else ' {}   # no serial adapter is plugged in'}",
    ]
    if found.adapters:
        lines.append(f"  {kind}:")
    names: set[str] = set()
    ports = [(hub, port) for hub in found.hubs for port, _ in hub.ports]
    for number, adapter in enumerate(found.adapters):
        lines += [
            f"    # {_comment(adapter.about)}",
            f"    - name: {_name(kind, adapter, number, names)}",
            f"      console: {_quoted(adapter.path)}",
        ]
        if len(found.probes) == len(found.adapters) == 1 and found.probes[0].unique_id:
            lines.append(f"      probe: {_quoted(found.probes[0].unique_id)}")
        if ports:
            hub, port = ports[number % len(ports)]
            lines.append(
                f"      power: {{driver: uhubctl, hub: {_quoted(hub.location)}, port: {port}}}   # EDIT: its port"
            )
        else:
            lines.append(
                "      power: {driver: command, on: [EDIT-power, on], off: [EDIT-power, off]}   # EDIT: docs/boards.md"
            )
        lines.append(
            "      boot: {driver: netboot, folder: /srv/tftp/EDIT}   # EDIT: the folder of the TFTP server"
        )
    lines += _listed(
        "debug probes", [f"{probe.about}: {probe.unique_id or 'no serial number'}" for probe in found.probes]
    )
    lines += _listed("hubs", [f"{hub.location} [{hub.about}]: {_ports(hub.ports)}" for hub in found.hubs])
    lines += _listed("not looked for", list(found.unknown))
    return "\n".join(lines) + "\n"


def _ports(ports: Sequence[tuple[int, str]]) -> str:
    return "; ".join(f"port {port} {words}" for port, words in ports) or "no ports"


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [f"# {title}: {'' if lines else 'none'}".rstrip(), *(f"#   {_comment(line)}" for line in lines)]


def _comment(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _name(kind: str, adapter: Adapter, number: int, taken: set[str]) -> str:
    """A place's name from the adapter's serial number, if that is allowed and not taken."""
    tail = re.sub(r"[^a-z0-9]+", "-", adapter.serial.lower()).strip("-")[:20] or str(number)
    name = f"{kind}-{tail}"
    name = name if name not in taken else f"{name}-{number}"
    taken.add(name)
    return name
