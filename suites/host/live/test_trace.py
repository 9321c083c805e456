"""Traces and pools: what the kernel checks before it replays, and how it divides memory."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.trace import Trace, TracePacket
from contracts.wire.uploads import TraceRecord
from harness.channel.traces import pack_trace

FRAME = bytes(range(61))


def _open(native: Any, raw: bytes) -> list[TracePacket] | str:
    ffi, lib = native.ffi, native.lib
    memory = ffi.new("uint8_t[]", raw or b"\0")
    trace, error = ffi.new("struct trace *"), ffi.new("struct trace_error *")
    if not lib.trace_open(trace, memory, len(raw), error):
        return f"packet {error.packet} at {error.offset}: {ffi.string(error.expected).decode()}, {error.seen}"
    packets = []
    offset, packet = ffi.new("size_t *"), ffi.new("struct trace_packet *")
    while lib.trace_next(trace, offset, packet):
        packets.append(TracePacket(packet.arrival_ns, bytes(ffi.buffer(packet.frame, packet.length))))
    assert len(packets) == trace.packets
    return packets


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 40), st.binary(min_size=14, max_size=200)), min_size=1, max_size=30
    )
)
def test_a_packed_trace_comes_back_whole(native: Any, steps: list[tuple[int, bytes]]) -> None:
    now, packets = 0, []
    for gap, frame in steps:
        now += gap
        packets.append(TracePacket(now, frame))
    assert _open(native, pack_trace(Trace(tuple(packets)))) == packets


def test_an_empty_trace_has_no_packets(native: Any) -> None:
    assert _open(native, b"") == []


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (TraceRecord(0, 13, 0).pack() + bytes(16), "packet 0 at 0: a frame of 14 to 1514 bytes, 13"),
        (TraceRecord(0, 1515, 0).pack() + bytes(1520), "packet 0 at 0: a frame of 14 to 1514 bytes, 1515"),
        (TraceRecord(0, 14, 9).pack() + bytes(16), "packet 0 at 0: reserved 0, 9"),
        (TraceRecord(0, 14, 0).pack() + bytes(14) + b"\x05\0", "packet 0 at 0: padding of zeros, 5"),
        (TraceRecord(0, 14, 0).pack() + bytes(14), "packet 0 at 0: the whole frame, padded to 8 bytes, 30"),
        (TraceRecord(0, 16, 0).pack() + bytes(16) + b"\0" * 8, "packet 1 at 32: a record of 16 bytes, 8"),
        (
            (TraceRecord(9, 16, 0).pack() + bytes(16)) + (TraceRecord(8, 16, 0).pack() + bytes(16)),
            "packet 1 at 32: an arrival time not below the one before, 8",
        ),
    ],
    ids=["too short", "too long", "reserved", "padding", "cut", "left over", "time runs back"],
)
def test_a_bad_trace_is_refused_with_place_and_reason(native: Any, raw: bytes, text: str) -> None:
    assert _open(native, raw) == text


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_walked_to_their_end(native: Any, raw: bytes) -> None:
    _open(native, raw)


@pytest.mark.parametrize("seed", range(5))
def test_a_pool_hands_out_disjoint_extents_and_gets_all_of_it_back(native: Any, seed: int) -> None:
    ffi, lib = native.ffi, native.lib
    chance = random.Random(seed)
    pool = ffi.new("struct pool *")
    lib.pool_init(pool, 0x1000, 0x10000, 64)
    held: dict[int, int] = {}
    for _ in range(2000):
        if held and chance.random() < 0.45:
            va = chance.choice(list(held))
            lib.pool_give(pool, va)
            del held[va]
            continue
        size = chance.randrange(1, 3000)
        va = lib.pool_take(pool, size)
        if va == 0:
            assert lib.pool_largest(pool) < size
            continue
        kept = chance.randrange(1, size + 1)
        lib.pool_shrink(pool, va, kept)
        held[va] = (kept + 63) // 64 * 64
        assert va % 64 == 0
        spans = sorted((start, start + length) for start, length in held.items())
        assert spans[0][0] >= 0x1000
        assert spans[-1][1] <= 0x11000
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))
        assert pool.used == sum(held.values())
    for va in held:
        lib.pool_give(pool, va)
    assert pool.used == 0
    assert lib.pool_largest(pool) == 0x10000
