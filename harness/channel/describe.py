"""A frame's payload as text: the fields of its record by name, as the console shows them."""

from __future__ import annotations

from typing import Final

from contracts.wire.events import EVENTS, Event, LogEvent
from contracts.wire.frames import FrameKind, ResponseHeader
from contracts.wire.messages import MESSAGES
from contracts.wire.schema import RecordError, layout

_MESSAGES: Final = {message.number: message for message in MESSAGES}
_NUMBERS: Final = {message.name: message.number for message in MESSAGES}
_BYTES_SHOWN: Final = 24


def message_number(kind: int, name: str) -> int | None:
    """The number of a message by its name in a transcript; None for an unknown name."""
    if kind == FrameKind.EVENT:
        return Event[name].value if name in Event.__members__ else None
    return _NUMBERS.get(name)


def payload_text(kind: int, number: int, payload: bytes) -> str:
    """A frame's payload: `name=value` for each field, a log line's text, otherwise the leading bytes in hex."""
    if kind == FrameKind.RESPONSE and len(payload) >= ResponseHeader.wire_size():
        header = ResponseHeader.unpack(payload[: ResponseHeader.wire_size()])
        payload = payload[ResponseHeader.wire_size() :]
        if header.status:
            return payload.decode("utf-8", "replace")
    record = None
    if kind == FrameKind.EVENT and number in EVENTS:
        record = EVENTS[Event(number)]
    elif number in _MESSAGES:
        message = _MESSAGES[number]
        record = message.request if kind == FrameKind.REQUEST else message.response
    if record is None:
        return _short(payload)
    try:
        value = record.unpack(payload)
    except RecordError as error:
        return f"{_short(payload)} ({error})"
    if isinstance(value, LogEvent):
        return value.text.decode("utf-8", "replace")
    return " ".join(f"{field.name}={_short(getattr(value, field.name))}" for field in layout(record))


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return value[:_BYTES_SHOWN].hex() + ("..." if len(value) > _BYTES_SHOWN else "")
    if isinstance(value, tuple):
        return f"[{len(value)}]"
    return str(value)
