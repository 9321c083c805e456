"""Sealing and unsealing: the kernel's own code accepts the host's images, and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ProgramRejected
from contracts.program import Hook, MapDef, MapFlags, MapType, Program
from contracts.wire.frames import Status
from contracts.wire.image import IMAGE_MAX, SIGNATURE_SIZE, ImageFlag, ImageHeader, ImageMap
from harness.bpf.asm import assemble, exit_, mov64
from harness.bpf.seal import program_id, seal, unseal
from harness.config.keys import LabKey, make_key

HEADER = ImageHeader.wire_size()
INSNS = assemble([mov64(0, 2), exit_()])
MAPS = (
    MapDef("counts", MapType.HASH, 4, 8, 64),
    MapDef(".rodata", MapType.ARRAY, 4, 12, 1, MapFlags.RDONLY_PROG, b"hello, world"),
)
PROGRAM = Program("sample", Hook.NET_RX, INSNS, MAPS)


def _unseal(native: Any, image: bytes, key: LabKey) -> tuple[Status, str]:
    """The result of the kernel's image_unseal: OK and no text, or a status and its text."""
    ffi, lib = native.ffi, native.lib
    memory = ffi.new("uint64_t[]", (len(image) + 7) // 8 + 1)
    ffi.memmove(memory, image, len(image))
    parts, refusal = ffi.new("struct image *"), ffi.new("struct image_refusal *")
    if lib.image_unseal(ffi.cast("uint8_t *", memory), len(image), key.public, parts, refusal):
        return Status.OK, ""
    what, expected = ffi.string(refusal.what).decode(), ffi.string(refusal.expected).decode()
    return Status(refusal.status), f"{what}: expected {expected}, seen {refusal.seen:#x}"


def _resealed(image: bytes, key: LabKey, at: int, raw: bytes) -> bytes:
    """The image with bytes replaced and signed again: only its contents are wrong."""
    import monocypher

    body = bytearray(image[:-SIGNATURE_SIZE])
    body[at : at + len(raw)] = raw
    signature: bytes = monocypher.signature_sign(key.secret, bytes(body))
    return bytes(body) + signature


def _offset(record: type, name: str) -> int:
    from contracts.wire.schema import layout

    at = 0
    for field in layout(record):
        if field.name == name:
            return at
        at += field.size
    raise KeyError(name)


def test_a_sealed_program_comes_back_whole(key: LabKey) -> None:
    image = seal(PROGRAM, key, model_hash=b"m" * 32, prompt_hash=b"p" * 32, seed=7, priority=3)
    opened = unseal(image, key.public)
    assert opened.program == PROGRAM
    assert (opened.header.seed, opened.header.priority) == (7, 3)
    assert opened.header.model_hash == b"m" * 32
    assert opened.header.program_id == program_id(PROGRAM)


def test_the_kernel_accepts_what_the_host_seals(native: Any, key: LabKey) -> None:
    assert _unseal(native, seal(PROGRAM, key), key) == (Status.OK, "")


def test_sealing_twice_gives_the_same_bytes(key: LabKey) -> None:
    assert seal(PROGRAM, key, seed=5) == seal(PROGRAM, key, seed=5)


def test_the_program_id_depends_on_code_maps_and_data_but_not_on_the_name() -> None:
    assert program_id(PROGRAM) == program_id(replace(PROGRAM, name="other", hook=Hook.TEST))
    different = [
        replace(PROGRAM, insns=assemble([mov64(0, 1), exit_()])),
        replace(PROGRAM, maps=MAPS[:1]),
        replace(PROGRAM, maps=(MAPS[0], replace(MAPS[1], init=b"hello, there"))),
    ]
    assert len({program_id(p) for p in [PROGRAM, *different]}) == 4


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_altered_byte_is_refused(native: Any, key: LabKey, data: st.DataObject) -> None:
    image = seal(PROGRAM, key)
    at = data.draw(st.integers(0, len(image) - 1))
    mask = data.draw(st.integers(1, 255))
    altered = image[:at] + bytes([image[at] ^ mask]) + image[at + 1 :]
    status, text = _unseal(native, altered, key)
    assert status in (Status.BAD_IMAGE, Status.BAD_VERSION, Status.BAD_SIGNATURE), text
    with pytest.raises(ProgramRejected):
        unseal(altered, key.public)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_truncation_is_refused(native: Any, key: LabKey, data: st.DataObject) -> None:
    image = seal(PROGRAM, key)
    short = image[: data.draw(st.integers(0, len(image) - 1))]
    assert _unseal(native, short, key)[0] in (Status.BAD_IMAGE, Status.BAD_SIGNATURE)
    with pytest.raises(ProgramRejected):
        unseal(short, key.public)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_random_bytes_are_refused(native: Any, key: LabKey, image: bytes) -> None:
    assert _unseal(native, image, key)[0] is Status.BAD_IMAGE


def test_another_key_is_refused(native: Any, key: LabKey) -> None:
    import monocypher

    stranger = make_key(monocypher.generate_signing_key_pair()[0])
    assert _unseal(native, seal(PROGRAM, stranger), key)[0] is Status.BAD_SIGNATURE
    with pytest.raises(ProgramRejected, match="signature"):
        unseal(seal(PROGRAM, stranger), key.public)


def test_an_unsigned_image_is_refused(native: Any, key: LabKey) -> None:
    unsigned = seal(PROGRAM, key)[:-SIGNATURE_SIZE] + bytes(SIGNATURE_SIZE)
    assert _unseal(native, unsigned, key)[0] is Status.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("field", "raw", "status", "text"),
    [
        ("magic", b"ELF\0", Status.BAD_IMAGE, "magic: expected 0x54584241, seen 0x464c45"),
        ("abi", b"\x02\x00", Status.BAD_VERSION, "abi: expected version 1, seen 0x2"),
        ("kind", b"\x02", Status.REFUSED_KIND, "kind: expected 1 (eBPF), seen 0x2"),
        ("hook", b"\x09", Status.BAD_IMAGE, "hook: expected test 0, net_rx 1 or timer 2, seen 0x9"),
        (
            "flags",
            b"\x01\0\0\0",
            Status.REFUSED_KIND,
            "flags: expected 0: this is a release kernel, seen 0x1",
        ),
        ("reserved", b"\x01\0\0\0", Status.BAD_IMAGE, "reserved: expected 0, seen 0x1"),
        ("map_count", b"\x09\x00", Status.BAD_IMAGE, "map_count: expected at most 8, seen 0x9"),
        ("code_size", b"\x0c\0\0\0", Status.BAD_IMAGE, "code_size: expected a multiple of 8"),
        ("test_mem_size", b"\x08\0\0\0", Status.BAD_IMAGE, "test_mem_size: expected 0 but for the test hook"),
        ("name", b"a\0b", Status.BAD_IMAGE, "name: expected at most 15 printable characters"),
        ("program_id", bytes(32), Status.BAD_IMAGE, "program_id: expected the SHA-256"),
    ],
)
def test_a_properly_signed_image_with_a_bad_header_is_refused_by_name(
    native: Any, key: LabKey, field: str, raw: bytes, status: Status, text: str
) -> None:
    bad = _resealed(seal(PROGRAM, key), key, _offset(ImageHeader, field), raw)
    seen_status, seen_text = _unseal(native, bad, key)
    assert (seen_status, seen_text[: len(text)]) == (status, text)


@pytest.mark.parametrize(
    ("field", "raw", "text"),
    [
        ("reserved", b"\x01\0\0\0", "a map's reserved: expected 0"),
        ("init_offset", b"\xf8\xff\xff\xff", "a map's initial value: expected inside the read-only data"),
        ("name", b"x" * 16, "a map's name: expected at most 15"),
    ],
)
def test_a_properly_signed_image_with_a_bad_map_is_refused_by_name(
    native: Any, key: LabKey, field: str, raw: bytes, text: str
) -> None:
    bad = _resealed(seal(PROGRAM, key), key, HEADER + _offset(ImageMap, field), raw)
    status, seen_text = _unseal(native, bad, key)
    assert (status, seen_text[: len(text)]) == (Status.BAD_IMAGE, text)


def test_a_testing_kernel_takes_testing_images_and_no_unknown_flag(testing_native: Any, key: LabKey) -> None:
    skip = ImageFlag.TESTING | ImageFlag.SKIP_VERIFY
    assert _unseal(testing_native, seal(PROGRAM, key, flags=skip), key)[0] is Status.OK
    for flags in (ImageFlag.SKIP_VERIFY, 0x10 | ImageFlag.TESTING, ImageFlag.TESTING | 4 | 8):
        assert _unseal(testing_native, seal(PROGRAM, key, flags=flags), key)[0] is Status.REFUSED_KIND


@pytest.mark.parametrize(
    ("program", "arguments", "text"),
    [
        (replace(PROGRAM, insns=b""), {}, "1 to 4096 slots"),
        (replace(PROGRAM, insns=INSNS + b"x"), {}, "1 to 4096 slots"),
        (replace(PROGRAM, maps=MAPS[:1] * 2), {}, "maps of different names"),
        (replace(PROGRAM, maps=(replace(MAPS[0], name="x" * 16),)), {}, "map fields"),
        (replace(PROGRAM, maps=(replace(MAPS[1], init=bytes(IMAGE_MAX)),)), {}, "an image of at most"),
        (PROGRAM, {"test_mem_size": 8}, "`test` hook only"),
        (PROGRAM, {"plant_after": 5}, "PLANT_"),
        (replace(PROGRAM, hook=Hook.TEST), {"test_mem_size": 4000}, "test memory of 0 to"),
    ],
)
def test_what_no_kernel_would_take_is_not_sealed(
    key: LabKey, program: Program, arguments: dict[str, int], text: str
) -> None:
    with pytest.raises(ProgramRejected) as refused:
        seal(program, key, **arguments)  # type: ignore[arg-type]
    assert refused.value.stage == "seal"
    assert text in refused.value.reason


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_the_kernels_sha256_is_sha256(native: Any, message: bytes) -> None:
    digest = native.ffi.new("uint8_t[32]")
    native.lib.sha256(message, len(message), digest)
    assert bytes(digest) == hashlib.sha256(message).digest()
