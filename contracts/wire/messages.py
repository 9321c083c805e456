"""One table of all messages of the debug channel, whatever file declares them."""

from __future__ import annotations

from typing import Any, Final

from contracts.wire import live, session, uploads
from contracts.wire.frames import Message

MESSAGES: Final[tuple[Message[Any, Any], ...]] = (*session.MESSAGES, *uploads.MESSAGES, *live.MESSAGES)
