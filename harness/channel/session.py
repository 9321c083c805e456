"""The session's cryptography: key, proof that opens it, MAC of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Self

from contracts.wire.frames import MAC_SIZE
from contracts.wire.session import OpenRequest

_KEY_SIZE: Final = 32
_PROOF_TEXT: Final = b"assay open"


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The key of one session: BLAKE2b-256 keyed with the channel key over both nonces and the epoch."""

    key: bytes = field(repr=False)
    host_nonce: bytes
    epoch: int

    @classmethod
    def derive(cls, channel_key: bytes, host_nonce: bytes, board_nonce: bytes, epoch: int) -> Self:
        """The key that both sides derive from a hello's nonces."""
        text = host_nonce + board_nonce + epoch.to_bytes(4, "little")
        return cls(blake2b(text, digest_size=_KEY_SIZE, key=channel_key).digest(), host_nonce, epoch)

    def mac(self, data: bytes) -> bytes:
        """The MAC of `data`, MAC_SIZE bytes."""
        return blake2b(data, digest_size=MAC_SIZE, key=self.key).digest()

    def open_request(self) -> OpenRequest:
        """The OPEN request that proves knowledge of the channel key."""
        return OpenRequest(self.host_nonce, self.epoch, self.mac(_PROOF_TEXT))
