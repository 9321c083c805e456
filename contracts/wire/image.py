"""The extension image: header, map declarations, flags and limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Annotated, ClassVar, Final

from contracts.wire.schema import U8, U16, U32, U64, Blob, Record, Text

ABI_VERSION: Final = 1
IMAGE_MAGIC: Final = 0x54584241  # "ABXT"
IMAGE_MAX: Final = 64 * 1024
SIGNATURE_SIZE: Final = 64


class ImageKind(IntEnum):
    """The content type of an extension image."""

    BPF = 1
    WASM = 2


class ImageFlag(IntFlag):
    """Image flags. Release kernels refuse all of them."""

    TESTING = 1
    SKIP_VERIFY = 2
    PLANT_FAULT = 4
    PLANT_OVERRUN = 8


@dataclass(frozen=True, slots=True)
class ImageMap(Record):
    """One map of an image. `init_offset`/`init_size`: its initial value within the image's read-only data."""

    C_NAME: ClassVar[str] = "image_map"
    name: Annotated[str, Text(16)]
    type: U32
    key_size: U32
    value_size: U32
    max_entries: U32
    flags: U32
    init_offset: U32
    init_size: U32
    reserved: U32


@dataclass(frozen=True, slots=True)
class ImageHeader(Record):
    """Header of an extension image: header | maps | code | read-only data | signature (EdDSA over all before it).

    Sizes in bytes, all multiples of 8. `test_mem_size` is the size of r1's memory for the `test` hook.
    `reserved` must be zero. The program id is the SHA-256 of maps | code | read-only data.
    """

    C_NAME: ClassVar[str] = "image_header"
    magic: U32
    abi: U16
    kind: U8
    hook: U8
    flags: U32
    priority: U16
    map_count: U16
    code_size: U32
    rodata_size: U32
    test_mem_size: U32
    reserved: U32
    name: Annotated[str, Text(16)]
    seed: U64
    model_hash: Annotated[bytes, Blob(32)]
    prompt_hash: Annotated[bytes, Blob(32)]
    program_id: Annotated[bytes, Blob(32)]
