"""Damaged input on the line: it is counted, the kernel recovers, and the board answers afterwards."""

from __future__ import annotations

import dataclasses
import random
import time

import pytest

from contracts.errors import ChannelError, KernelError, RequestRefused
from contracts.wire.frames import CREDITS, MAX_PAYLOAD, Empty, FrameHeader, FrameKind
from contracts.wire.live import PRISTINE, ROLLBACK
from contracts.wire.session import ECHO, HELLO, Echo, HelloRequest, StatusResponse
from contracts.wire.uploads import (
    BLOB_BEGIN,
    BLOB_END,
    BLOB_WRITE,
    BlobBeginRequest,
    BlobEndRequest,
    BlobKind,
    BlobWriteRequest,
)
from harness.boards.board import Board
from harness.channel.frames import COBS_MAX, Frame, cobs_encode, crc32c, encode

ECHO_ROOM = MAX_PAYLOAD - 4


def status(board: Board) -> StatusResponse:
    return board.client.status()


def answers(board: Board) -> bool:
    """Whether the board still works."""
    return board.client.echo(b"still here") == b"still here"


def request(message: int, payload: bytes = b"", *, sequence: int | None = None) -> Frame:
    """A hand-made unauthenticated request frame."""
    number = random.getrandbits(31) if sequence is None else sequence
    return Frame(FrameHeader(FrameKind.REQUEST, 0, message, number, 0), payload)


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_do_no_harm(board: Board, seed: int) -> None:
    rng = random.Random(seed)
    before = status(board)
    for _ in range(20):
        board.client.send_raw(rng.randbytes(rng.randrange(1, 700)))
    board.client.send_raw(b"\0")
    assert answers(board)
    after = status(board)
    assert after.crc_errors + after.malformed > before.crc_errors + before.malformed


def test_a_truncated_frame_is_counted_and_costs_only_itself(board: Board) -> None:
    before = status(board)
    wire = encode(request(ECHO.number, b"cut short" * 20))
    board.client.send_raw(b"\0" + wire[: len(wire) // 2] + b"\0")
    assert answers(board)
    after = status(board)
    assert after.crc_errors + after.malformed == before.crc_errors + before.malformed + 1


def test_a_frame_that_stops_half_way_does_not_eat_the_next_one(board: Board) -> None:
    wire = encode(request(ECHO.number, b"never finished" * 20))
    board.client.send_raw(b"\0" + wire[:100])
    time.sleep(0.05)
    assert answers(board)
    assert board.client.retransmissions == 0 or status(board).malformed > 0


def test_an_oversized_frame_is_counted_and_ended_by_its_delimiter(board: Board) -> None:
    before = status(board)
    board.client.send_raw(b"\0" + b"\x55" * (COBS_MAX + 3000) + b"\0")
    assert answers(board)
    after = status(board)
    assert after.oversized == before.oversized + 1
    assert after.overruns == before.overruns


def test_a_frame_whose_payload_is_too_long_for_the_schema_is_malformed(board: Board) -> None:
    before = status(board)
    body = FrameHeader(FrameKind.REQUEST, 0, ECHO.number, 5, 0).pack() + bytes(MAX_PAYLOAD + 1)
    board.client.send_raw(b"\0" + cobs_encode(body + crc32c(body).to_bytes(4, "little")) + b"\0")
    assert answers(board)
    assert status(board).malformed == before.malformed + 1


@pytest.mark.parametrize("kind", [FrameKind.RESPONSE, FrameKind.EVENT, 0, 77])
def test_frames_that_are_no_requests_get_no_answer(board: Board, kind: int) -> None:
    before = status(board)
    strays = board.client.stray_frames
    board.client.send_raw(b"\0" + encode(Frame(FrameHeader(kind, 0, ECHO.number, 99, 0), b"?")))
    assert answers(board)
    assert status(board).malformed == before.malformed + 1
    assert board.client.stray_frames == strays


def test_a_repeated_frame_is_answered_again_and_not_executed_again(board: Board) -> None:
    """If the kernel executed a repeated write after later ones, it would undo them."""
    client = board.client
    client.request(BLOB_BEGIN, BlobBeginRequest(BlobKind.IMAGE, 4, crc32c(b"new!")))
    first = client._begin(BLOB_WRITE, BlobWriteRequest(BlobKind.IMAGE, 0, b"old!"))
    client._body(first, None)
    client.request(BLOB_WRITE, BlobWriteRequest(BlobKind.IMAGE, 0, b"new!"))
    before = status(board)
    strays = client.stray_frames
    client.send_raw(b"\0" + encode(first.frame))
    client.request(BLOB_END, BlobEndRequest(BlobKind.IMAGE))
    assert status(board).duplicates == before.duplicates + 1
    assert client.stray_frames == strays + 1, "the answer came again"


def test_a_repetition_older_than_the_cache_is_stale(board: Board) -> None:
    client = board.client
    old = client._begin(PRISTINE, Empty())
    client._body(old, None)
    for number in range(CREDITS + 2):
        client.echo(bytes([number]))
    again = client._begin(PRISTINE, Empty())
    client._body(again, None)
    for number in range(CREDITS + 2):
        client.echo(bytes([number]))
    client._pending[old.frame.header.sequence] = old
    old.payload = None
    client._send(old.frame)
    with pytest.raises(RequestRefused) as caught:
        client._body(old, None)
    assert caught.value.status == "STALE_SEQUENCE"
    assert answers(board)


def test_writes_may_overtake_each_other(board: Board) -> None:
    client = board.client
    data = bytes(range(256)) * 24
    client.request(BLOB_BEGIN, BlobBeginRequest(BlobKind.WORKLOAD, len(data), crc32c(data)))
    held: list[Frame] = []
    real_send = client._send
    client._send = held.append  # type: ignore[method-assign,assignment]  # frames are held back, then sent in another order
    try:
        writes = [
            client._begin(BLOB_WRITE, BlobWriteRequest(BlobKind.WORKLOAD, at, data[at : at + 1000]))
            for at in range(0, len(data), 1000)
        ]
    finally:
        client._send = real_send  # type: ignore[method-assign]
    random.Random(3).shuffle(held)
    for frame in held:
        client._send(frame)
    for write in writes:
        client._body(write, None)
    client.request(BLOB_END, BlobEndRequest(BlobKind.WORKLOAD))


def test_a_state_changing_request_may_not_be_overtaken(board: Board) -> None:
    client = board.client
    client._sequence += 1
    early = client._sequence
    client.pristine()
    client._sequence, later = early - 1, client._sequence
    with pytest.raises(RequestRefused) as caught:
        client.pristine()
    client._sequence = later
    assert caught.value.status == "STALE_SEQUENCE"
    assert f"above {later}" in caught.value.detail


def test_reordered_questions_are_all_answered(board: Board) -> None:
    client = board.client
    asked = [client._begin(ECHO, Echo(bytes([number]) * 50)) for number in range(CREDITS)]
    for number in reversed(range(CREDITS)):
        assert client._body(asked[number], None) == bytes([number]) * 50


def test_an_unknown_message_is_refused_by_number(board: Board) -> None:
    frame = request(0x777, b"what")
    pending = board.client._begin(ECHO, Echo(b""))
    board.client._body(pending, None)
    pending.frame, pending.payload = frame, None
    board.client._pending[frame.header.sequence] = pending
    board.client._send(frame)
    with pytest.raises(RequestRefused) as caught:
        board.client._body(pending, None)
    assert caught.value.status == "UNKNOWN_MESSAGE"
    assert "777" in caught.value.detail


def test_a_request_of_the_wrong_length_is_refused(board: Board) -> None:
    client = board.client
    with pytest.raises(RequestRefused) as caught:
        client._open_response(
            "HELLO", raw_answer(board, HELLO.number, HelloRequest(1, 0, bytes(16)).pack() + b"x")
        )
    assert caught.value.status == "BAD_LENGTH"
    assert "expected: 20 bytes, seen: 21" in caught.value.detail


def test_another_protocol_version_is_refused(board: Board) -> None:
    with pytest.raises(RequestRefused) as caught:
        board.client._open_response(
            "HELLO", raw_answer(board, HELLO.number, HelloRequest(9, 0, bytes(16)).pack())
        )
    assert caught.value.status == "BAD_VERSION"


def raw_answer(board: Board, message: int, payload: bytes) -> bytes:
    """Send a hand-made payload with a message's number; returns the response payload."""
    client = board.client
    pending = client._begin(ECHO, Echo(b""))
    client._body(pending, None)
    pending = dataclasses.replace(pending, frame=request(message, payload), payload=None)
    client._pending[pending.frame.header.sequence] = pending
    client._send(pending.frame)
    assert client._answered(pending, 2.0)
    client._pending.pop(pending.frame.header.sequence)
    assert pending.payload is not None
    return pending.payload


@pytest.mark.parametrize("size", [0, 1, 253, 254, 255, 508, ECHO_ROOM])
def test_every_size_of_frame_makes_the_round_trip(board: Board, size: int) -> None:
    for fill in (b"\0", b"\xff"):
        assert board.client.echo(fill * size) == fill * size


def test_an_echo_larger_than_a_response_is_refused(board: Board) -> None:
    with pytest.raises(RequestRefused) as caught:
        board.client.echo(bytes(ECHO_ROOM + 1))
    assert caught.value.status == "BAD_LENGTH"


def test_an_upload_whose_crc_is_wrong_is_refused(board: Board) -> None:
    client = board.client
    client.request(BLOB_BEGIN, BlobBeginRequest(BlobKind.IMAGE, 8, 0x12345678))
    client.request(BLOB_WRITE, BlobWriteRequest(BlobKind.IMAGE, 0, b"12345678"))
    with pytest.raises(RequestRefused, match="BAD_STATE") as caught:
        client.request(BLOB_END, BlobEndRequest(BlobKind.IMAGE))
    assert "12345678" in caught.value.detail
    assert answers(board)


@pytest.mark.parametrize(
    ("begin", "write", "status_name"),
    [
        (BlobBeginRequest(9, 8, 0), None, "BAD_ARGUMENT"),
        (BlobBeginRequest(BlobKind.IMAGE, 0, 0), None, "BAD_ARGUMENT"),
        (BlobBeginRequest(BlobKind.IMAGE, 1 << 30, 0), None, "BAD_ARGUMENT"),
        (
            BlobBeginRequest(BlobKind.IMAGE, 8, 0),
            BlobWriteRequest(BlobKind.IMAGE, 4, b"12345"),
            "BAD_ARGUMENT",
        ),
        (
            BlobBeginRequest(BlobKind.IMAGE, 8, 0),
            BlobWriteRequest(BlobKind.IMAGE, 0xFFFFFFFF, b"1"),
            "BAD_ARGUMENT",
        ),
        (BlobBeginRequest(BlobKind.IMAGE, 8, 0), BlobWriteRequest(BlobKind.TRIAL, 0, b"1"), "BAD_STATE"),
    ],
)
def test_an_upload_stays_inside_its_buffer(
    board: Board, begin: BlobBeginRequest, write: BlobWriteRequest | None, status_name: str
) -> None:
    def attempt() -> None:
        board.client.request(BLOB_BEGIN, begin)
        if write is not None:
            board.client.request(BLOB_WRITE, write)

    with pytest.raises(RequestRefused) as caught:
        attempt()
    assert caught.value.status == status_name
    assert answers(board)


def test_a_lost_response_is_fetched_by_repeating_the_request(board: Board) -> None:
    """The first answer is lost: the client asks again and the kernel does not act twice."""
    client = board.client
    before = status(board).duplicates
    dropped: list[Frame] = []
    real = client._link._on_frame

    def drop_first(frame: Frame) -> None:
        if not dropped:
            dropped.append(frame)
        else:
            real(frame)

    client._link._on_frame = drop_first
    try:
        client.pristine()
    finally:
        client._link._on_frame = real
    assert dropped
    assert status(board).duplicates == before + 1


def test_a_long_command_is_not_repeated_before_its_time_is_up(board: Board) -> None:
    """During a measured command the host is silent and asks again only after the timeout."""
    client = board.client
    sent: list[Frame] = []
    client._link.send = sent.append  # type: ignore[method-assign,assignment]
    with pytest.raises((ChannelError, KernelError), match="does not answer ROLLBACK"):
        client.request(ROLLBACK, Empty(), 0.6)
    assert len(sent) == 2
    assert sent[0] == sent[1]
    board.power_cycle()  # the client considered it silent
    assert answers(board)
