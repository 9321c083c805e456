"""Records: frozen dataclasses whose annotations define their bytes (little-endian, packed) and C declaration."""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Self, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Scalar:
    """An unsigned integer of `size` bytes."""

    size: int

    @property
    def code(self) -> str:
        """The `struct` format letter."""
        return {1: "B", 2: "H", 4: "I", 8: "Q"}[self.size]


@dataclass(frozen=True, slots=True)
class Blob:
    """Exactly `size` raw bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Text:
    """A NUL-padded name of at most `size - 1` bytes of ASCII."""

    size: int


@dataclass(frozen=True, slots=True)
class Array:
    """Exactly `count` elements: scalars or records."""

    count: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The rest of the payload (only as a last field; not part of the C structure)."""


U8 = Annotated[int, Scalar(1)]
U16 = Annotated[int, Scalar(2)]
U32 = Annotated[int, Scalar(4)]
U64 = Annotated[int, Scalar(8)]
Rest = Annotated[bytes, Tail()]


class RecordError(ValueError):
    """The bytes are not a valid record of the expected type."""


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """One field of a record: its name, its type, and the element type of an array (a Scalar or a record class).

    A field with a `default` was added within a protocol version: what an older kernel sends ends before it.
    """

    name: str
    kind: Scalar | Blob | Text | Array | Tail
    element: Scalar | type[Record] | None = None
    default: Any = None

    @property
    def size(self) -> int:
        """Bytes on the wire; 0 for a tail."""
        if isinstance(self.kind, Scalar | Blob | Text):
            return self.kind.size
        if isinstance(self.kind, Array):
            assert self.element is not None
            one = self.element.size if isinstance(self.element, Scalar) else self.element.wire_size()
            return self.kind.count * one
        return 0


def _kind_of(hint: Any) -> tuple[type, Any]:
    if get_origin(hint) is not Annotated:
        raise TypeError(f"a record field needs an Annotated type, not {hint!r}")
    base, kind = get_args(hint)[:2]
    return base, kind


_layouts: Final[dict[type[Record], tuple[FieldLayout, ...]]] = {}


def layout(record: type[Record]) -> tuple[FieldLayout, ...]:
    """Fields of `record` in wire order. Raises TypeError for a field without a wire representation."""
    if record not in _layouts:
        _layouts[record] = _read_layout(record)
    return _layouts[record]


def _read_layout(record: type[Record]) -> tuple[FieldLayout, ...]:
    hints = get_type_hints(record, include_extras=True)
    fields = []
    for field in dataclasses.fields(record):
        base, kind = _kind_of(hints[field.name])
        element: Scalar | type[Record] | None = None
        if isinstance(kind, Array):
            item = get_args(base)[0]
            element = item if isinstance(item, type) and issubclass(item, Record) else _kind_of(item)[1]
        default = None if field.default is dataclasses.MISSING else field.default
        fields.append(FieldLayout(field.name, kind, element, default))
    return tuple(fields)


@dataclass(frozen=True, slots=True)
class Record:
    """Base of everything on the wire. Subclasses are frozen dataclasses of annotated fields."""

    C_NAME: ClassVar[str] = ""

    @classmethod
    def wire_size(cls) -> int:
        """Bytes without the tail."""
        return sum([field.size for field in layout(cls)])

    def pack(self) -> bytes:
        """The record's bytes. Raises RecordError if a value does not fit its field."""
        out = bytearray()
        for field in layout(type(self)):
            value = getattr(self, field.name)
            try:
                out += _pack_field(field, value)
            except (struct.error, RecordError) as error:
                raise RecordError(f"{type(self).__name__}.{field.name} = {value!r}: {error}") from error
        return bytes(out)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read a record; fields that were added later and are not there are their defaults.

        Raises RecordError when `data` is too short, or too long for a record without a tail.
        """
        at = 0
        values: list[Any] = []
        for field in layout(cls):
            if isinstance(field.kind, Tail):
                values.append(bytes(data[at:]))
                at = len(data)
                continue
            if at == len(data) and field.default is not None:
                values.append(field.default)
                continue
            raw = data[at : at + field.size]
            if len(raw) != field.size:
                raise RecordError(
                    f"{cls.__name__}: expected {cls.wire_size()} bytes or more, saw {len(data)}"
                )
            values.append(_unpack_field(field, raw))
            at += field.size
        if at != len(data):
            raise RecordError(f"{cls.__name__}: expected {at} bytes, saw {len(data)}")
        return cls(*values)


def _pack_field(field: FieldLayout, value: Any) -> bytes:
    kind = field.kind
    if isinstance(kind, Scalar):
        return struct.pack("<" + kind.code, value)
    if isinstance(kind, Tail):
        return bytes(value)
    if isinstance(kind, Text):
        raw = str(value).encode("ascii", errors="strict")
        if len(raw) >= kind.size:
            raise RecordError(f"at most {kind.size - 1} bytes")
        return raw.ljust(kind.size, b"\0")
    if isinstance(kind, Blob):
        if len(value) != kind.size:
            raise RecordError(f"expected {kind.size} bytes, saw {len(value)}")
        return bytes(value)
    if len(value) != kind.count:
        raise RecordError(f"expected {kind.count} elements, saw {len(value)}")
    if isinstance(field.element, Scalar):
        return struct.pack(f"<{kind.count}{field.element.code}", *value)
    return b"".join(item.pack() for item in value)


def _unpack_field(field: FieldLayout, raw: bytes) -> Any:
    kind = field.kind
    if isinstance(kind, Scalar):
        return int.from_bytes(raw, "little")
    if isinstance(kind, Text):
        return raw.split(b"\0", 1)[0].decode("ascii", errors="replace")
    if isinstance(kind, Blob):
        return bytes(raw)
    assert isinstance(kind, Array)
    assert field.element is not None
    if isinstance(field.element, Scalar):
        return struct.unpack(f"<{kind.count}{field.element.code}", raw)
    step = field.element.wire_size()
    return tuple(field.element.unpack(raw[i * step : (i + 1) * step]) for i in range(kind.count))
