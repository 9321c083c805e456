"""Reads GGUF version 3, with every length checked against the file, and writes it.

llama.cpp aborts or crashes on some malformed files, so a file is checked here first: magic, version, metadata and tensor
extents; `ai.llama_file` checks their meaning. Format: ggml/docs/gguf.md.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, ModelError
from contracts.plain_file import open_plain

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
ALIGNMENT: Final = 32
F32: Final = 0
Q8_0: Final = 8
Q8_BLOCK: Final = 32

_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
U32, I32, FLOAT, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
"""Types of metadata."""
_BLOCKS: Final[Mapping[int, tuple[int, int]]] = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 36),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
}
"""Elements and bytes of a block, by ggml type (enum ggml_type of ggml.h)."""
_ENTRIES_MAX: Final = 1 << 20
_ALIGNMENTS: Final = tuple(1 << bits for bits in range(5, 17))
_HEADER_MAX: Final = 256 << 20
_STRING_MAX: Final = 1 << 24

Value = bool | int | float | str | list["Value"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor's location: `shape` with the fastest-varying dimension first, `offset` from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Gguf:
    """A file's metadata and tensor table; the data remain in the file.

    `kinds` has the type of each entry of the metadata, as the file numbers types: that of an array is (ARRAY, the type
    of its elements), of anything else (type, -1).
    """

    path: Path
    metadata: Mapping[str, Value]
    tensors: Mapping[str, Tensor]
    kinds: Mapping[str, tuple[int, int]]

    def text(self, key: str) -> str:
        """A string of the metadata; "" if it is absent or of another type."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """An integer of the metadata; 0 if it is absent or of another type."""
        value = self.metadata.get(key, 0)
        return value if isinstance(value, int) else 0

    def floats(self, name: str) -> NDArray[np.float32]:
        """A tensor's values (F32 or Q8_0), in numpy's order of dimensions (slowest first)."""
        tensor = self.tensors[name]
        with self.path.open("rb") as file:
            file.seek(tensor.offset)
            raw = file.read(tensor.size)
        if tensor.type == F32:
            flat = np.frombuffer(raw, "<f4")
        elif tensor.type == Q8_0:
            blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("values", "i1", Q8_BLOCK)]))
            flat = (blocks["scale"].astype(np.float32)[:, None] * blocks["values"]).reshape(-1)
        else:
            raise ValueError(f"tensor {name} has ggml type {tensor.type}; only F32 and Q8_0 are read here")
        return flat.astype(np.float32).reshape(tensor.shape[::-1])


class _Reader:
    """Reads little-endian values; a read past the end is a ModelError."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self.file, self.size = path, file, size

    def take(self, count: int, what: str) -> bytes:
        at = self.file.tell()
        if at + count > _HEADER_MAX:
            raise malformed(self.path, f"metadata of at most {_HEADER_MAX >> 20} MiB", f"{what} beyond that")
        if count > self.size - at:
            raise _truncated(self.path, f"{what} at byte {at} ({count} bytes)", self.size)
        return self.file.read(count)

    def scalar(self, code: str, what: str) -> Value:
        form = "<" + code
        made: Value = struct.unpack(form, self.take(struct.calcsize(form), what))[0]
        return made

    def count(self, code: str, what: str, most: int) -> int:
        value = self.scalar(code, what)
        if not isinstance(value, int) or not 0 <= value <= most:
            raise malformed(self.path, f"{what} of at most {most}", str(value))
        return value

    def string(self, what: str) -> str:
        raw = self.take(self.count("Q", f"length of {what}", _STRING_MAX), what)
        return raw.decode("utf-8", "surrogateescape")

    def value(self, kind: int, what: str) -> tuple[Value, int]:
        """A value and, for an array, the type of its elements (else -1)."""
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind], what), -1
        if kind == STRING:
            return self.string(what), -1
        if kind == ARRAY:
            inner = self.count("I", f"element type of {what}", 12)
            count = self.count("Q", f"length of {what}", _ENTRIES_MAX)
            if inner in _SCALARS:
                form = f"<{count}{_SCALARS[inner]}"
                return list(struct.unpack(form, self.take(struct.calcsize(form), what))), inner
            if inner == STRING:
                return [self.string(what) for _ in range(count)], inner
        raise malformed(self.path, f"a value type of GGUF for {what}", str(kind))


def read(path: Path) -> Gguf:
    """The metadata and tensor table of a complete GGUF file.

    Raises ModelError, with what was expected and seen, for a missing, truncated or malformed file.
    """
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            return read_open(path, file)
    except (OSError, ConfigError) as error:
        raise ModelError(
            f"no model at {path}",
            expected="a readable GGUF file",
            seen=error.seen if isinstance(error, ConfigError) else error.strerror or str(error),
            do="name one with --model PATH, or omit --model to use the shipped one",
        ) from error


def read_open(path: Path, file: BinaryIO) -> Gguf:
    """Like `read`, for an open file; `path` is its name."""
    return _read(_Reader(path, file, os.fstat(file.fileno()).st_size))


def _read(r: _Reader) -> Gguf:
    magic = r.take(4, "the magic number")
    if magic != MAGIC:
        raise malformed(r.path, "the magic number 'GGUF'", repr(magic))
    version = r.count("I", "version", 1 << 31)
    if version not in VERSIONS:
        raise malformed(r.path, f"version {' or '.join(map(str, VERSIONS))}", str(version))
    tensor_count = r.count("Q", "number of tensors", _ENTRIES_MAX)
    metadata: dict[str, Value] = {}
    kinds: dict[str, tuple[int, int]] = {}
    for _ in range(r.count("Q", "number of metadata entries", _ENTRIES_MAX)):
        key = r.string("a metadata key")
        if key in metadata:
            raise malformed(r.path, "every metadata key once", f"{key} twice")
        kind = r.count("I", f"type of {key}", 1 << 31)
        metadata[key], inner = r.value(kind, key)
        kinds[key] = (kind, inner)
    table = []
    for _ in range(tensor_count):
        name = r.string("a tensor name")
        dimensions = r.count("I", f"dimensions of {name}", 4)
        shape = tuple(r.count("Q", f"shape of {name}", 1 << 40) for _ in range(dimensions))
        table.append(
            (
                name,
                shape,
                r.count("I", f"type of {name}", 1 << 31),
                r.count("Q", f"offset of {name}", 1 << 50),
            )
        )
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if kinds.get("general.alignment", (U32, -1)) != (U32, -1) or alignment not in _ALIGNMENTS:
        raise malformed(r.path, "general.alignment that is a power of 2 from 32 on", str(alignment)[:80])
    assert isinstance(alignment, int)
    start = -(-r.file.tell() // alignment) * alignment
    tensors = {name: _tensor(r, name, shape, kind, start + at) for name, shape, kind, at in table}
    if len(tensors) != tensor_count:
        raise malformed(r.path, f"{tensor_count} tensors of different names", f"{len(tensors)} names")
    return Gguf(r.path, metadata, tensors, kinds)


def _tensor(r: _Reader, name: str, shape: tuple[int, ...], kind: int, offset: int) -> Tensor:
    if kind not in _BLOCKS:
        raise malformed(r.path, f"a known ggml type for {name}", str(kind))
    block, block_bytes = _BLOCKS[kind]
    elements = 1
    for extent in shape:
        elements *= extent
    if not shape or elements == 0 or shape[0] % block:
        raise malformed(r.path, f"rows of {name} in whole blocks of {block}", f"shape {shape}")
    size = elements // block * block_bytes
    if offset + size > r.size:
        raise _truncated(r.path, f"tensor {name} up to byte {offset + size}", r.size)
    return Tensor(name, shape, kind, offset, size)


def _truncated(path: Path, wanted: str, size: int) -> ModelError:
    return ModelError(
        f"model {path} is truncated",
        expected=wanted,
        seen=f"a file of {size} bytes",
        do="copy or download the complete file again",
    )


def malformed(path: Path, expected: str, seen: str) -> ModelError:
    """The error for an invalid file."""
    return ModelError(
        f"model {path} is not a usable GGUF", expected=expected, seen=seen, do="use a Llama GGUF file"
    )


def quantise(values: NDArray[np.float32]) -> bytes:
    """Q8_0: blocks of 32 along the last dimension, an F16 scale and 32 signed bytes each."""
    blocks = np.ascontiguousarray(values, np.float32).reshape(-1, Q8_BLOCK)
    scale = np.abs(blocks).max(axis=1) / 127.0
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    out = np.zeros(len(blocks), np.dtype([("scale", "<f2"), ("values", "i1", Q8_BLOCK)]))
    out["scale"] = scale
    out["values"] = np.rint(blocks * inverse[:, None])
    return out.tobytes()


def write(
    path: Path, metadata: Mapping[str, Value], tensors: Mapping[str, NDArray[np.float32]], *, q8: bool
) -> None:
    """Writes a version 3 file. With `q8`, matrices become Q8_0; vectors stay F32.

    Integers are written as u32, arrays with the type of their first element.
    """
    head = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    head += [_packed_string(key) + _packed(value) for key, value in metadata.items()]
    data, offset = [], 0
    for name, values in tensors.items():
        kind = Q8_0 if q8 and values.ndim == 2 else F32
        raw = quantise(values) if kind == Q8_0 else np.ascontiguousarray(values, "<f4").tobytes()
        raw += bytes(-len(raw) % ALIGNMENT)
        shape = values.shape[::-1]
        head.append(
            _packed_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        )
        data.append(raw)
        offset += len(raw)
    header = b"".join(head)
    path.write_bytes(header + bytes(-len(header) % ALIGNMENT) + b"".join(data))


def _packed_string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _packed(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _packed_string(value)
    return struct.pack("<I", ARRAY) + _packed_array(value)


def _packed_array(values: Sequence[Value]) -> bytes:
    first = values[0]
    if isinstance(first, str):
        return struct.pack("<IQ", STRING, len(values)) + b"".join(_packed_string(str(v)) for v in values)
    kind, code = (FLOAT, "f") if isinstance(first, float) else (5, "i")
    return struct.pack("<IQ", kind, len(values)) + struct.pack(f"<{len(values)}{code}", *values)
