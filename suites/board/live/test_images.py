"""Invalid images on a real kernel: refused with a reason, and the board answers afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import RequestRefused
from contracts.program import Hook
from contracts.wire.frames import Empty
from contracts.wire.image import SIGNATURE_SIZE, ImageFlag, ImageHeader
from contracts.wire.live import LOAD
from harness.boards.board import Board
from harness.bpf.compile import compile_file
from harness.bpf.elf import read_program
from harness.bpf.refused import RefusedByVerifier
from harness.bpf.samples import answer, wild_load
from harness.bpf.seal import seal
from harness.config.keys import LabKey
from harness.loop.pipeline import load

GOOD = answer(2)


@pytest.fixture(autouse=True)
def _still_answers(board: Board) -> Iterator[None]:
    yield
    assert board.client.echo(b"still here") == b"still here"
    assert board.client.status().code_pool_used == 0


def _refusal(board: Board, image: bytes) -> tuple[str, str]:
    with pytest.raises(RequestRefused) as refused:
        board.client.load(image)
    return refused.value.status, refused.value.detail


def test_an_unsigned_image_is_refused(board: Board, lab_key: LabKey) -> None:
    image = seal(GOOD, lab_key)[:-SIGNATURE_SIZE] + bytes(SIGNATURE_SIZE)
    status, detail = _refusal(board, image)
    assert status == "BAD_SIGNATURE"
    assert "signature: expected: this kernel's key" in detail


def test_an_image_of_another_key_is_refused(board: Board) -> None:
    import monocypher

    from harness.config.keys import make_key

    stranger = make_key(monocypher.generate_signing_key_pair()[0])
    assert _refusal(board, seal(GOOD, stranger))[0] == "BAD_SIGNATURE"


@pytest.mark.parametrize("part", ["header", "code", "signature"])
def test_an_altered_image_is_refused(board: Board, lab_key: LabKey, part: str) -> None:
    image = bytearray(seal(GOOD, lab_key))
    at = {"header": 40, "code": ImageHeader.wire_size() + 4, "signature": len(image) - 1}[part]
    image[at] ^= 1
    assert _refusal(board, bytes(image))[0] == "BAD_SIGNATURE"


def test_an_image_of_another_version_is_refused(board: Board, lab_key: LabKey) -> None:
    image = bytearray(seal(GOOD, lab_key))
    image[4] = 2
    assert _refusal(board, bytes(image)) == ("BAD_VERSION", "image: abi: expected: version 1, seen: 0x2")


@pytest.mark.parametrize("size", [1, 100, 211, -1, -64])
def test_a_truncated_image_is_refused(board: Board, lab_key: LabKey, size: int) -> None:
    status, detail = _refusal(board, seal(GOOD, lab_key)[:size])
    assert status == "BAD_IMAGE"
    assert "image size" in detail


def test_an_image_with_bytes_left_over_is_refused(board: Board, lab_key: LabKey) -> None:
    assert _refusal(board, seal(GOOD, lab_key) + bytes(8))[0] == "BAD_IMAGE"


def test_bytes_that_are_no_image_are_refused(board: Board) -> None:
    status, detail = _refusal(board, b"\x7fELF" + bytes(1000))
    assert (status, detail) == ("BAD_IMAGE", "image: magic: expected: 0x54584241, seen: 0x464c457f")


@pytest.mark.parametrize("flag", [0, ImageFlag.SKIP_VERIFY, ImageFlag.PLANT_FAULT, ImageFlag.PLANT_OVERRUN])
def test_a_release_kernel_refuses_every_testing_image(board: Board, lab_key: LabKey, flag: int) -> None:
    status, detail = _refusal(board, seal(wild_load(), lab_key, flags=ImageFlag.TESTING | flag))
    assert status == "REFUSED_KIND"
    assert "this is a release kernel" in detail


def test_load_without_an_upload_says_so(board: Board) -> None:
    with pytest.raises(RequestRefused, match="a finished IMAGE upload") as refused:
        board.client.request(LOAD, Empty())
    assert refused.value.status == "BAD_STATE"


def test_a_program_that_does_not_verify_is_refused_with_slot_and_reason(
    board: Board, lab_key: LabKey
) -> None:
    status, detail = _refusal(board, seal(wild_load(hook=Hook.NET_RX), lab_key))
    assert status == "VERIFY_REFUSED"
    assert detail.startswith("slot 2: ")


def test_a_refusal_that_comes_back_from_a_board_names_the_line_the_path_and_a_fix(
    board: Board, lab_key: LabKey, tmp_path: Path
) -> None:
    path = tmp_path / "mine.c"
    path.write_text(
        "#include <assay.h>\nHASH(seen, u32, u64, 16);\n"
        'SEC("net_rx") int f(struct xdp_md *c)\n{\n    u32 k = c->rx_queue_index;\n'
        "    u64 *n = bpf_map_lookup_elem(&seen, &k);\n    if (k > 3)\n        return XDP_DROP;\n"
        "    *n += 1;\n    return XDP_PASS;\n}\n"
    )
    program = read_program(compile_file(path).elf)
    with pytest.raises(RefusedByVerifier) as refused:
        load(board, program, seal(program, lab_key))
    explanation = refused.value.explanation
    assert (explanation.refusal, explanation.at.line, explanation.at.source) == (
        "BAD_ACCESS",
        9,
        "    *n += 1;",
    )
    assert [(step.at.source, step.taken) for step in explanation.path] == [("    if (k > 3)", False)]
    assert explanation.fix == "compare it with 0 first"
    assert explanation.states, "the host's verifier says the same, so its walk is the board's"
    assert f"{path}:9: *n += 1;" in str(refused.value)


def test_after_any_refusal_a_good_image_loads(board: Board, lab_key: LabKey) -> None:
    _refusal(board, seal(GOOD, lab_key)[:-1])
    board.client.unload(board.client.load(seal(GOOD, lab_key)).handle)
