"""Authorisation of state changes: the session, its MAC, its sequence, its epoch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contracts.errors import RequestRefused
from contracts.wire.frames import Empty
from contracts.wire.live import PRISTINE
from contracts.wire.session import OPEN, BoardFlag, OpenRequest
from contracts.wire.uploads import BLOB_END, BlobEndRequest, BlobKind
from harness.boards.board import Board
from harness.channel.session import SessionKey


def refused(board: Board) -> str:
    with pytest.raises(RequestRefused) as caught:
        board.client.request(PRISTINE, Empty())
    return caught.value.status


@pytest.fixture
def session_board(board: Board) -> Iterator[Board]:
    """A board whose session the test may break: it gets a new one afterwards."""
    yield board
    board.client.open_session(board.key.channel, board.client.hello().epoch)


def test_the_kernel_says_what_it_is(board: Board) -> None:
    hello = board.hello
    assert hello.board == board.spec.firmware
    assert hello.build_id == board.image.build_id
    assert hello.flags & BoardFlag.DEVELOPMENT_KEY
    assert hello.flags & BoardFlag.INSTRUCTION_COUNTER
    assert not hello.flags & BoardFlag.TESTING
    assert hello.counter_hz == 62_500_000


def test_every_hello_has_another_nonce(board: Board) -> None:
    nonces = {board.client.hello().board_nonce for _ in range(5)}
    assert len(nonces) == 5


def test_without_a_session_nothing_changes_state(session_board: Board) -> None:
    session_board.client._session = 0
    session_board.client._session_key = None
    assert refused(session_board) == "NO_SESSION"


def test_a_request_without_a_mac_is_refused(session_board: Board) -> None:
    session_board.client._session_key = None
    assert refused(session_board) == "BAD_MAC"


def test_a_request_with_another_keys_mac_is_refused(session_board: Board) -> None:
    session_board.client._session_key = SessionKey(bytes(32), bytes(16), 0)
    assert refused(session_board) == "BAD_MAC"


def test_a_refused_mac_uses_up_no_sequence(session_board: Board) -> None:
    client = session_board.client
    right = client._session_key
    client._session_key = SessionKey(bytes(32), bytes(16), 0)
    sequence = client._sequence
    assert refused(session_board) == "BAD_MAC"
    client._session_key = right
    client._sequence = sequence
    client.pristine()


def test_a_sequence_is_used_once(session_board: Board) -> None:
    client = session_board.client
    client.pristine()
    client._sequence -= 1
    with pytest.raises(RequestRefused) as caught:
        client.request(BLOB_END, BlobEndRequest(BlobKind.IMAGE))
    assert caught.value.status == "STALE_SEQUENCE"


def test_a_wrong_channel_key_opens_nothing(session_board: Board) -> None:
    with pytest.raises(RequestRefused) as caught:
        session_board.client.open_session(bytes(32))
    assert caught.value.status == "BAD_MAC"
    assert "another channel key" in caught.value.detail


def test_an_open_cannot_be_replayed(session_board: Board) -> None:
    client = session_board.client
    host_nonce = bytes(range(16))
    hello = client._hello(host_nonce, None)
    key = SessionKey.derive(session_board.key.channel, host_nonce, hello.board_nonce, hello.epoch)
    client.request(OPEN, key.open_request())
    with pytest.raises(RequestRefused) as caught:
        client.request(OPEN, key.open_request())
    assert caught.value.status == "BAD_STATE"


def test_an_altered_proof_opens_nothing(session_board: Board) -> None:
    client = session_board.client
    hello = client._hello(bytes(16), None)
    key = SessionKey.derive(session_board.key.channel, bytes(16), hello.board_nonce, hello.epoch)
    proof = bytearray(key.open_request().proof)
    proof[0] ^= 1
    with pytest.raises(RequestRefused) as caught:
        client.request(OPEN, OpenRequest(bytes(16), hello.epoch, bytes(proof)))
    assert caught.value.status == "BAD_MAC"


def test_a_newer_session_ends_the_older_one(session_board: Board) -> None:
    client = session_board.client
    older = client._session, client._session_key
    client.open_session(session_board.key.channel, client.hello().epoch)
    client.pristine()
    client._session, client._session_key = older
    assert refused(session_board) == "NO_SESSION"


def test_a_stale_epoch_is_refused_and_a_newer_one_takes_over(session_board: Board) -> None:
    client = session_board.client
    epoch = client.hello().epoch
    client.open_session(session_board.key.channel, epoch + 3)
    assert client.hello().epoch == epoch + 3
    with pytest.raises(RequestRefused) as caught:
        client.open_session(session_board.key.channel, epoch + 2)
    assert caught.value.status == "STALE_EPOCH"
    assert f"epoch {epoch + 3} or above" in caught.value.detail


def test_status_needs_no_session(session_board: Board) -> None:
    session_board.client._session = 0
    session_board.client._session_key = None
    assert session_board.client.status().frames_received > 0
