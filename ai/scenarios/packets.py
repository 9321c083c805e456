"""Ethernet II / IPv4 frames: built for traces, and parsed by the rules of `parse_flow` in `assay.h`."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
SYN: Final = 0x02
ACK: Final = 0x10
ETHERNET_BYTES: Final = 14
HEADER_BYTES: Final = {TCP: 54, UDP: 42, ICMP: 42}
"""Bytes up to the end of the transport header."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The fields of one packet: addresses and ports in host order, `length` in bytes on the wire."""

    saddr: int
    daddr: int
    sport: int
    dport: int
    proto: int
    flags: int
    length: int


def frame(flow: Flow) -> bytes:
    """The frame of `flow`, padded with zeros to its length (at least the size of its headers)."""
    length = max(flow.length, HEADER_BYTES[flow.proto])
    total = length - ETHERNET_BYTES
    ethernet = b"\x02\x00\x00\x00\x00\x01" + b"\x02\x00" + struct.pack(">I", flow.saddr) + b"\x08\x00"
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, total, 0, 0x4000, 64, flow.proto, 0, flow.saddr, flow.daddr)
    ip = ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:]
    if flow.proto == TCP:
        transport = struct.pack(">HHIIBBHHH", flow.sport, flow.dport, 1, 0, 0x50, flow.flags, 8192, 0, 0)
    elif flow.proto == UDP:
        transport = struct.pack(">HHHH", flow.sport, flow.dport, total - 20, 0)
    else:
        transport = struct.pack(">BBHHH", 8, 0, 0, 1, 1)
    return (ethernet + ip + transport).ljust(length, b"\0")


def arp() -> bytes:
    """A frame that is not IPv4 (an ARP request, 42 bytes)."""
    head = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x08\x06"
    return (
        head + b"\x00\x01\x08\x00\x06\x04\x00\x01" + b"\x02\x00\x00\x00\x00\x01\x0a\x00\x00\x01" + bytes(10)
    )


def truncated(flow: Flow) -> bytes:
    """A frame truncated within its transport header."""
    return frame(flow)[:38]


def parse(data: bytes) -> Flow | None:
    """The result of `parse_flow`: None for a frame that is not complete, unfragmented IPv4 with a 20-byte header."""
    if len(data) < 34 or data[12:14] != b"\x08\x00" or data[14] != 0x45:
        return None
    total, fragment, proto = struct.unpack_from(">H2xHxB", data, 16)
    if fragment & 0x3FFF:
        return None
    saddr, daddr = struct.unpack_from(">II", data, 26)
    sport = dport = flags = 0
    if proto in (TCP, UDP):
        if len(data) < HEADER_BYTES[proto]:
            return None
        sport, dport = struct.unpack_from(">HH", data, 34)
        flags = data[47] if proto == TCP else 0
    return Flow(saddr, daddr, sport, dport, proto, flags, ETHERNET_BYTES + total)


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(">10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
