"""GGUF version 3, read with every length checked against the file, and written.

llama.cpp aborts or crashes on some malformed files, so a file is read here first: magic, version, metadata, tensor
extents, and that what it says of itself agrees. Format: ggml/docs/gguf.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
ALIGNMENT: Final = 32
F32: Final = 0
Q8_0: Final = 8
Q8_BLOCK: Final = 32

_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_U32, _F32, _BOOL, _STRING, _ARRAY = 4, 6, 7, 8, 9
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
_STRING_MAX: Final = 1 << 24

Value = bool | int | float | str | list["Value"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor's place: `shape` with the fastest-varying dimension first, `offset` from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Gguf:
    """A file's metadata and tensor table; the data stay in the file."""

    path: Path
    metadata: Mapping[str, Value]
    tensors: Mapping[str, Tensor]

    def text(self, key: str) -> str:
        """A string of the metadata; "" when it is absent or of another type."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """A whole number of the metadata; 0 when it is absent or of another type."""
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
            raise _malformed(self.path, f"{what} of at most {most}", str(value))
        return value

    def string(self, what: str) -> str:
        raw = self.take(self.count("Q", f"length of {what}", _STRING_MAX), what)
        return raw.decode("utf-8", "surrogateescape")

    def value(self, kind: int, what: str) -> Value:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind], what)
        if kind == _STRING:
            return self.string(what)
        if kind == _ARRAY:
            inner = self.count("I", f"element type of {what}", 12)
            count = self.count("Q", f"length of {what}", _ENTRIES_MAX)
            if inner in _SCALARS:
                form = f"<{count}{_SCALARS[inner]}"
                return list(struct.unpack(form, self.take(struct.calcsize(form), what)))
            if inner == _STRING:
                return [self.string(what) for _ in range(count)]
        raise _malformed(self.path, f"a value type of GGUF for {what}", str(kind))


def read(path: Path) -> Gguf:
    """The metadata and tensor table of a whole GGUF file.

    Raises ModelError, saying what was expected and seen, for a missing, truncated or malformed file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _read(_Reader(path, file, size))
    except OSError as error:
        raise ModelError(
            f"no model at {path}",
            expected="a GGUF file that can be read",
            seen=error.strerror or str(error),
            do="name one with --model PATH, or leave --model away for the shipped one",
        ) from error


def _read(r: _Reader) -> Gguf:
    magic = r.take(4, "the magic number")
    if magic != MAGIC:
        raise _malformed(r.path, "the magic number 'GGUF'", repr(magic))
    version = r.count("I", "version", 1 << 31)
    if version not in VERSIONS:
        raise _malformed(r.path, f"version {' or '.join(map(str, VERSIONS))}", str(version))
    tensor_count = r.count("Q", "number of tensors", _ENTRIES_MAX)
    metadata: dict[str, Value] = {}
    for _ in range(r.count("Q", "number of metadata entries", _ENTRIES_MAX)):
        key = r.string("a metadata key")
        metadata[key] = r.value(r.count("I", f"type of {key}", 1 << 31), key)
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
    if not isinstance(alignment, int) or alignment < 8 or alignment % 8 or alignment > 1 << 16:
        raise _malformed(r.path, "general.alignment that is a small multiple of 8", str(alignment))
    start = -(-r.file.tell() // alignment) * alignment
    tensors = {name: _tensor(r, name, shape, kind, start + at) for name, shape, kind, at in table}
    if len(tensors) != tensor_count:
        raise _malformed(r.path, f"{tensor_count} tensors of different names", f"{len(tensors)} names")
    return Gguf(r.path, metadata, tensors)


def _tensor(r: _Reader, name: str, shape: tuple[int, ...], kind: int, offset: int) -> Tensor:
    if kind not in _BLOCKS:
        raise _malformed(r.path, f"a known ggml type for {name}", str(kind))
    block, block_bytes = _BLOCKS[kind]
    elements = 1
    for extent in shape:
        elements *= extent
    if not shape or elements == 0 or shape[0] % block:
        raise _malformed(r.path, f"rows of {name} in whole blocks of {block}", f"shape {shape}")
    size = elements // block * block_bytes
    if offset + size > r.size:
        raise _truncated(r.path, f"tensor {name} up to byte {offset + size}", r.size)
    return Tensor(name, shape, kind, offset, size)


def _truncated(path: Path, wanted: str, size: int) -> ModelError:
    return ModelError(
        f"model {path} is truncated",
        expected=wanted,
        seen=f"a file of {size} bytes",
        do="copy or download the file again, whole",
    )


def _malformed(path: Path, expected: str, seen: str) -> ModelError:
    return ModelError(
        f"model {path} is not a usable GGUF", expected=expected, seen=seen, do="use a Llama GGUF file"
    )


def check_llama(file: Gguf) -> None:
    """Raises ModelError unless the file says, consistently, that it holds a Llama with its own tokeniser."""
    architecture = file.text("general.architecture")
    if architecture != "llama":
        raise ModelError(
            f"model {file.path} is of another architecture",
            expected="general.architecture 'llama'",
            seen=repr(architecture),
            do="use a GGUF of a Llama model (TinyLlama, SmolLM2, ...)",
        )
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or len(tokens) < 2:
        raise _malformed(file.path, "a vocabulary in tokenizer.ggml.tokens", "none")
    if len(set(map(str, tokens))) != len(tokens):
        raise _malformed(file.path, "a vocabulary without repetition", f"{len(tokens)} tokens, some alike")
    width, layers = file.number("llama.embedding_length"), file.number("llama.block_count")
    heads = file.number("llama.attention.head_count")
    if not (0 < width <= 1 << 16 and 0 < layers <= 512 and heads > 0 and width % heads == 0):
        raise _malformed(file.path, "sizes of a Llama", f"width {width}, {layers} layers, {heads} heads")
    kv_heads = file.number("llama.attention.head_count_kv") or heads
    head_width = file.number("llama.attention.key_length") or width // heads
    ffn = file.number("llama.feed_forward_length")
    wanted = {"token_embd.weight": (width, len(tokens)), "output_norm.weight": (width,)}
    for i in range(layers):
        wanted |= {
            f"blk.{i}.attn_norm.weight": (width,),
            f"blk.{i}.attn_q.weight": (width, heads * head_width),
            f"blk.{i}.attn_k.weight": (width, kv_heads * head_width),
            f"blk.{i}.attn_output.weight": (heads * head_width, width),
            f"blk.{i}.ffn_norm.weight": (width,),
            f"blk.{i}.ffn_gate.weight": (width, ffn),
            f"blk.{i}.ffn_up.weight": (width, ffn),
            f"blk.{i}.ffn_down.weight": (ffn, width),
        }
    for name, shape in wanted.items():
        tensor = file.tensors.get(name)
        if tensor is None or tensor.shape != shape:
            seen = "no such tensor" if tensor is None else f"shape {tensor.shape}"
            raise _malformed(file.path, f"tensor {name} of shape {shape}", seen)


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
    """Writes a version 3 file. Matrices become Q8_0 when `q8` says so; vectors stay F32.

    Whole numbers are written as u32, arrays by the type of their first element.
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
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _U32, value)
    if isinstance(value, float):
        return struct.pack("<If", _F32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _packed_string(value)
    return struct.pack("<I", _ARRAY) + _packed_array(value)


def _packed_array(values: Sequence[Value]) -> bytes:
    first = values[0]
    if isinstance(first, str):
        return struct.pack("<IQ", _STRING, len(values)) + b"".join(_packed_string(str(v)) for v in values)
    kind, code = (_F32, "f") if isinstance(first, float) else (5, "i")
    return struct.pack("<IQ", kind, len(values)) + struct.pack(f"<{len(values)}{code}", *values)
