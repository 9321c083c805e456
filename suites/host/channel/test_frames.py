"""Frames: every sent frame arrives, anything else is counted and dropped, and C and Python behave the same."""

from __future__ import annotations

from typing import Protocol

import pytest
from crc32c import crc32c as reference_crc32c
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire.frames import MAC_SIZE, MAX_PAYLOAD, FrameHeader
from harness.channel.frames import (
    COBS_MAX,
    Frame,
    FrameDecoder,
    FrameError,
    FrameStats,
    cobs_decode,
    cobs_encode,
    crc32c,
    encode,
)


class KernelFrames(Protocol):
    """The kernel's own frame layer (conftest.py)."""

    def encode(self, frame: Frame, split: int = 0) -> bytes: ...

    def decode(self, data: bytes, step: int) -> tuple[list[bytes], FrameStats]: ...


# Runs of equal bytes at the lengths where COBS changes its encoding, mixed with random bytes.
RUNS = st.lists(
    st.tuples(st.sampled_from([0, 1, 0xFF]), st.sampled_from([1, 2, 253, 254, 255, 256])), max_size=4
).map(lambda runs: b"".join(bytes([byte]) * count for byte, count in runs)[:MAX_PAYLOAD])
PAYLOADS = st.one_of(st.binary(max_size=MAX_PAYLOAD), RUNS)


@st.composite
def frames(draw: st.DrawFn, *, mac: bool | None = None) -> Frame:
    signed = draw(st.booleans()) if mac is None else mac
    header = FrameHeader(
        draw(st.integers(1, 3)),
        int(signed),
        draw(st.integers(0, 0xFFFF)),
        draw(st.integers(0, 0xFFFFFFFF)),
        draw(st.integers(0, 0xFFFFFFFF)),
    )
    return Frame(
        header, draw(PAYLOADS), draw(st.binary(min_size=MAC_SIZE, max_size=MAC_SIZE)) if signed else b""
    )


def pieces(data: bytes, step: int) -> list[bytes]:
    return [data[at : at + step] for at in range(0, len(data), step)]


def decode(data: bytes, step: int) -> tuple[list[Frame], FrameStats]:
    decoder = FrameDecoder()
    return [frame for piece in pieces(data, step) for frame in decoder.push(piece)], decoder.stats


@given(PAYLOADS)
def test_cobs_removes_every_zero_and_comes_back(data: bytes) -> None:
    stuffed = cobs_encode(data)
    assert 0 not in stuffed
    assert cobs_decode(stuffed) == data


def test_crc32c_is_that_of_rfc_3720() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 appendix B.4
    assert crc32c(b"123456789") == reference_crc32c(b"123456789") == 0xE3069283


@given(st.lists(frames(), max_size=4), st.integers(1, 400))
def test_frames_arrive_however_they_are_cut(sent: list[Frame], step: int) -> None:
    received, stats = decode(b"".join(map(encode, sent)), step)
    assert received == sent
    assert stats == FrameStats(received=len(sent))


@given(st.binary(max_size=3000), frames(), st.integers(1, 500))
def test_a_good_frame_arrives_after_any_garbage(garbage: bytes, frame: Frame, step: int) -> None:
    received, _ = decode(garbage + b"\0" + encode(frame), step)
    assert received[-1] == frame


@given(frames(), st.integers(0, 2000), frames())
def test_a_truncated_frame_costs_only_itself(cut: Frame, length: int, whole: Frame) -> None:
    wire = encode(cut)
    length %= len(wire) - 1
    received, stats = decode(wire[:length] + b"\0" + encode(whole), 64)
    assert received == [whole]
    assert stats.malformed + stats.crc_errors == (1 if length else 0)


@given(frames(), st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_never_gets_through(frame: Frame, position: int, flip: int) -> None:
    wire = bytearray(encode(frame))
    wire[position % (len(wire) - 1)] ^= flip
    received, stats = decode(bytes(wire), 128)
    assert frame not in received
    assert stats.received == len(received)


def test_an_oversized_frame_is_counted_once_and_ended_by_its_delimiter() -> None:
    good = Frame(FrameHeader(1, 0, 3, 7, 0), b"after")
    received, stats = decode(b"\x01" * (COBS_MAX + 5000) + b"\0" + encode(good), 100)
    assert received == [good]
    assert stats == FrameStats(received=1, oversized=1)


@pytest.mark.parametrize("payload_size", [MAX_PAYLOAD + 1, 5000])
def test_a_frame_too_long_is_not_made(payload_size: int) -> None:
    with pytest.raises(FrameError, match=f"at most {MAX_PAYLOAD} bytes, seen {payload_size}"):
        encode(Frame(FrameHeader(1, 0, 3, 1, 0), bytes(payload_size)))


def test_a_frame_that_promises_a_mac_must_have_one() -> None:
    with pytest.raises(FrameError, match="expected 16 bytes"):
        encode(Frame(FrameHeader(1, 1, 3, 1, 0), b"x"))


@given(frame=frames(mac=False), split=st.integers(0, MAX_PAYLOAD))
def test_the_kernel_encodes_the_same_bytes(kernel_frames: KernelFrames, frame: Frame, split: int) -> None:
    assert kernel_frames.encode(frame, split % (len(frame.payload) + 1)) == encode(frame)


def test_the_kernel_makes_no_frame_that_is_too_long(kernel_frames: KernelFrames) -> None:
    assert kernel_frames.encode(Frame(FrameHeader(1, 0, 3, 1, 0), bytes(MAX_PAYLOAD + 1))) == b""


DAMAGE = st.one_of(
    st.binary(max_size=400),
    frames().map(encode),
    frames().map(lambda frame: encode(frame)[:-3]),
    st.just(b"\0"),
    st.integers(COBS_MAX - 2, COBS_MAX + 3).map(lambda size: b"\x01" * size),
    frames().map(lambda frame: cobs_encode(b"\x01\x02" + frame.payload) + b"\0"),
    # Valid CRC, otherwise invalid: too short for a header, unknown flags, a MAC of the wrong size.
    st.binary(max_size=40).map(lambda body: cobs_encode(body + crc32c(body).to_bytes(4, "little")) + b"\0"),
)


@given(parts=st.lists(DAMAGE, max_size=8), step=st.integers(1, 700))
def test_the_kernel_judges_any_bytes_as_the_host_does(
    kernel_frames: KernelFrames, parts: list[bytes], step: int
) -> None:
    data = b"".join(parts)
    ours, our_stats = decode(data, step)
    theirs, their_stats = kernel_frames.decode(data, step)
    assert theirs == [frame.signed + frame.mac for frame in ours]
    assert their_stats == our_stats
