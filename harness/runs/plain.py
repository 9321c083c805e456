"""Text that every reader of a record accepts: another process, JSON, XML, a terminal."""

from __future__ import annotations

import re
from typing import Any, Final

REPLACED: Final = "\ufffd"
"""Replaces what cannot be shown (Unicode, REPLACEMENT CHARACTER)."""

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, Char
_NOT_NAME: Final = re.compile(r"[^\w.-]")


def plain(text: str) -> str:
    """Text without lone surrogates, which represent undecodable bytes and which no encoding accepts."""
    return _SURROGATES.sub(REPLACED, text)


def xml_text(text: str) -> str:
    """Text without the characters that XML cannot hold, escaped or not."""
    return _NOT_XML.sub(REPLACED, text)


def xml_name(text: str) -> str:
    """Text as the name of an XML attribute."""
    name = _NOT_NAME.sub("_", text)
    return name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"


def plain_value(value: Any) -> Any:
    """A value of None, booleans, numbers, bytes, plain text, lists, tuples and dicts only; others become their text.

    Enumerations, NumPy's numbers and other subclasses become what they are made of: execnet looks at the exact type.
    """
    match value:
        case None | bool():
            return value
        case str():
            return plain(str.__str__(value))
        case int():
            return int(value)
        case float():
            return float(value)
        case bytes():
            return bytes(value)
        case list():
            return [plain_value(part) for part in value]
        case tuple():
            return tuple(plain_value(part) for part in value)
        case dict():
            return {plain_value(key): plain_value(part) for key, part in value.items()}
    return plain(str(value))


def shortened(text: str, most: int) -> str:
    """Text of at most about `most` characters: a note replaces the excess in the middle."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters omitted ...]\n{text[-half:]}"
