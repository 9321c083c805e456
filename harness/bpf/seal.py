"""Seals a program as a signed extension image, and opens such an image.

The canonical form of a program is `maps | code | read-only data`: one `ImageMap` record per map in the program's
order, its instructions, then the initial values of its maps, each padded with zeros to 8 bytes, in the same order.
The program id is the SHA-256 of that form, so it does not depend on name, hook, seed, hashes or key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import monocypher

from contracts.ebpf.engine import MAX_MAPS, MAX_SLOTS
from contracts.ebpf.hooks import hook_row
from contracts.errors import ProgramRejected
from contracts.program import Hook, MapDef, MapType, Program
from contracts.wire.image import (
    ABI_VERSION,
    IMAGE_MAGIC,
    IMAGE_MAX,
    SIGNATURE_SIZE,
    ImageFlag,
    ImageHeader,
    ImageKind,
    ImageMap,
)
from contracts.wire.schema import RecordError
from harness.config.keys import LabKey

HASH_SIZE: Final = 32
NO_HASH: Final = bytes(HASH_SIZE)
TEST_MEM_MAX: Final = 960
DEFAULT_PRIORITY: Final = 100

_HEADER_SIZE: Final = ImageHeader.wire_size()
_MAP_SIZE: Final = ImageMap.wire_size()
_PLANTS: Final = ImageFlag.PLANT_FAULT | ImageFlag.PLANT_OVERRUN


@dataclass(frozen=True, slots=True)
class SealedImage:
    """The parts of an image: its program, its header, and its 64-byte signature."""

    program: Program
    header: ImageHeader
    signature: bytes


def program_id(program: Program) -> bytes:
    """SHA-256 of the canonical form, 32 bytes. Raises ProgramRejected if the program has none."""
    return hashlib.sha256(_canonical(program)[0]).digest()


def seal(
    program: Program,
    keys: LabKey,
    *,
    model_hash: bytes = NO_HASH,
    prompt_hash: bytes = NO_HASH,
    seed: int = 0,
    flags: ImageFlag | int = 0,
    test_mem_size: int = 0,
    priority: int = DEFAULT_PRIORITY,
    plant_after: int = 0,
) -> bytes:
    """The signed image of a program.

    `model_hash` and `prompt_hash` are SHA-256 (zeros: no model); `seed` also seeds the program's `prandom`.
    `test_mem_size` is the size of r1's memory for the `test` hook. Programs of a hook run in order of `priority`,
    lowest first, and a deploy replaces the program of the same hook and priority. `plant_after`, with a PLANT_*
    flag, is the number of invocations before the planted defect acts (net_rx and timer only).

    Raises ProgramRejected (stage `seal`) for a program that no kernel would accept.
    """
    canonical, rodata_size = _canonical(program)
    if not 0 <= test_mem_size <= TEST_MEM_MAX:
        raise _rejected(program, f"test memory of 0 to {TEST_MEM_MAX} bytes", f"{test_mem_size}")
    hook = hook_row(program.hook)
    if hook.context is not None and test_mem_size:
        raise _rejected(
            program, "test memory for the `test` hook only", f"{test_mem_size} bytes for {program.hook.name}"
        )
    if plant_after and (not flags & _PLANTS or hook.context is None):
        raise _rejected(program, "`plant_after` with a PLANT_* flag, on net_rx or timer", f"{plant_after}")
    try:
        header = ImageHeader(
            magic=IMAGE_MAGIC,
            abi=ABI_VERSION,
            kind=ImageKind.BPF,
            hook=program.hook,
            flags=int(flags),
            priority=priority,
            map_count=len(program.maps),
            code_size=len(program.insns),
            rodata_size=rodata_size,
            test_mem_size=test_mem_size or plant_after,
            reserved=0,
            name=program.name[:15],
            seed=seed & 0xFFFF_FFFF_FFFF_FFFF,
            model_hash=model_hash,
            prompt_hash=prompt_hash,
            program_id=hashlib.sha256(canonical).digest(),
        ).pack()
    except (RecordError, UnicodeEncodeError) as error:
        raise _rejected(program, "header fields within their ranges", str(error)) from error
    body = header + canonical
    if len(body) + SIGNATURE_SIZE > IMAGE_MAX:
        raise _rejected(program, f"an image of at most {IMAGE_MAX} bytes", f"{len(body) + SIGNATURE_SIZE}")
    signature: bytes = monocypher.signature_sign(keys.secret, body)
    return body + signature


def unseal(image: bytes, public_key: bytes) -> SealedImage:
    """Parse an image after checking layout, version, signature and program id, like the kernel.

    Raises ProgramRejected (stage `unseal`).
    """
    if not _HEADER_SIZE + SIGNATURE_SIZE <= len(image) <= IMAGE_MAX:
        raise _refused("a header, parts and a signature", f"{len(image)} bytes")
    header = ImageHeader.unpack(image[:_HEADER_SIZE])
    if header.magic != IMAGE_MAGIC:
        raise _refused(f"magic {IMAGE_MAGIC:#x}", f"{header.magic:#x}")
    if header.abi != ABI_VERSION:
        raise _refused(f"ABI version {ABI_VERSION}", f"{header.abi}")
    maps_end = _HEADER_SIZE + header.map_count * _MAP_SIZE
    code_end = maps_end + header.code_size
    rodata_end = code_end + header.rodata_size
    if header.map_count > MAX_MAPS or rodata_end + SIGNATURE_SIZE != len(image):
        raise _refused(f"{rodata_end + SIGNATURE_SIZE} bytes according to the header", f"{len(image)} bytes")
    body, signature = image[:rodata_end], image[rodata_end:]
    if not monocypher.signature_check(signature, public_key, body):
        raise _refused("a signature of the given key over all before it", signature.hex()[:16] + "...")
    if hashlib.sha256(body[_HEADER_SIZE:]).digest() != header.program_id:
        raise _refused("the SHA-256 of maps, code and read-only data", header.program_id.hex()[:16] + "...")
    rodata = image[code_end:rodata_end]
    try:
        hook = Hook(header.hook)
        maps = tuple(
            _map_of(ImageMap.unpack(image[at : at + _MAP_SIZE]), rodata)
            for at in range(_HEADER_SIZE, maps_end, _MAP_SIZE)
        )
    except ValueError as error:
        raise _refused("a known hook and known map types", str(error)) from error
    return SealedImage(Program(header.name, hook, image[maps_end:code_end], maps), header, signature)


def test_memory_of(image: bytes) -> int:
    """Bytes of memory at r1 that an image requests; 0 for an image of another hook, or an unreadable one."""
    if len(image) < _HEADER_SIZE:
        return 0
    header = ImageHeader.unpack(image[:_HEADER_SIZE])
    return header.test_mem_size if header.hook == Hook.TEST else 0


def _canonical(program: Program) -> tuple[bytes, int]:
    """The canonical form, and the size of its read-only data in bytes."""
    if not program.insns or len(program.insns) % 8 or program.slots > MAX_SLOTS:
        raise _rejected(program, f"1 to {MAX_SLOTS} slots of 8 bytes", f"{len(program.insns)} bytes of code")
    if len(program.maps) > MAX_MAPS:
        raise _rejected(program, f"at most {MAX_MAPS} maps", f"{len(program.maps)}")
    names = [definition.name for definition in program.maps]
    if len(set(names)) != len(names):
        raise _rejected(program, "maps of different names", ", ".join(names))
    records = b""
    rodata = b""
    for definition in program.maps:
        record = ImageMap(
            name=definition.name,
            type=definition.type,
            key_size=definition.key_size,
            value_size=definition.value_size,
            max_entries=definition.max_entries,
            flags=definition.flags,
            init_offset=len(rodata) if definition.init else 0,
            init_size=len(definition.init),
            reserved=0,
        )
        try:
            records += record.pack()
        except (RecordError, UnicodeEncodeError) as error:
            raise _rejected(program, "map fields within their ranges", str(error)) from error
        rodata += definition.init + bytes(-len(definition.init) % 8)
    return records + program.insns + rodata, len(rodata)


def _map_of(record: ImageMap, rodata: bytes) -> MapDef:
    init = rodata[record.init_offset : record.init_offset + record.init_size]
    if len(init) != record.init_size:
        raise ValueError(f"map {record.name}: its initial value is outside the read-only data")
    return MapDef(
        record.name,
        MapType(record.type),
        record.key_size,
        record.value_size,
        record.max_entries,
        record.flags,
        init,
    )


def _rejected(program: Program, expected: str, seen: str) -> ProgramRejected:
    return ProgramRejected(
        f"program {program.name} cannot be sealed",
        stage="seal",
        reason=f"expected {expected}, saw {seen}",
        expected=expected,
        seen=seen,
        do="change the program or the arguments of seal()",
    )


def _refused(expected: str, seen: str) -> ProgramRejected:
    return ProgramRejected(
        "the image is refused",
        stage="unseal",
        reason=f"expected {expected}, saw {seen}",
        expected=expected,
        seen=seen,
        do="seal the program again with this lab's key and this version of Assay",
    )
