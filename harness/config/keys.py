"""A lab's key: one file that signs extension images and opens sessions; the kernel gets only the parts it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import monocypher

from contracts.errors import ConfigError
from contracts.plain_file import read_plain
from contracts.root import ROOT

DEVELOPMENT_KEY: Final = ROOT / "lab-config" / "keys" / "development.key"
_SECRET_SIZE: Final = 64
_FILE_MAX: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class LabKey:
    """A key pair of Monocypher's EdDSA (Curve25519, BLAKE2b) and the channel key derived from it.

    `secret` is 64 bytes (seed, then public key), `public` 32 bytes, `channel` 32 bytes: the key that session keys
    are derived from. The kernel is built with `public` and `channel`; `secret` never leaves the host.
    """

    secret: bytes = field(repr=False)
    public: bytes
    channel: bytes = field(repr=False)
    is_development: bool


def make_key(secret: bytes, *, is_development: bool = False) -> LabKey:
    """The key of a 64-byte secret."""
    channel = monocypher.blake2b(b"assay channel key", key=secret)[:32]
    return LabKey(secret, secret[32:], channel, is_development)


def load_key(path: Path | None = None) -> LabKey:
    """Read a key file: 128 hex digits, lines beginning with `#` ignored. None is the development key.

    Raises ConfigError when the file is missing or holds anything else.
    """
    path = path or DEVELOPMENT_KEY
    try:
        text = read_plain(path, _FILE_MAX).decode("ascii")
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(
            f"key file {path} cannot be read",
            expected="a text file of 128 hex digits",
            seen=error.seen if isinstance(error, ConfigError) else str(error),
            do="create one with `python -m harness.config.keys FILE`, or omit the option to use the development key",
        ) from error
    digits = "".join(line.strip() for line in text.splitlines() if not line.lstrip().startswith("#"))
    try:
        secret = bytes.fromhex(digits)
    except ValueError:
        secret = b""
    if len(secret) != _SECRET_SIZE:
        raise ConfigError(
            f"key file {path} is not a key",
            expected="128 hex digits",
            seen=f"{len(digits)} characters",
            do="create one with `python -m harness.config.keys FILE`",
        )
    return make_key(secret, is_development=path.resolve() == DEVELOPMENT_KEY)


def write_new_key(path: Path) -> LabKey:
    """Create a random key and write it to `path`, readable only by its owner. Never replaces a file."""
    secret: bytes = monocypher.generate_signing_key_pair()[0]
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(f"# Assay lab key: secret, keep it outside the repository\n{secret.hex()}\n", "ascii")
    except OSError as error:
        raise ConfigError(
            f"key file {path} cannot be written",
            expected="a path without a file",
            seen=str(error),
            do="name another path",
        ) from error
    return make_key(secret)


def _main(arguments: list[str]) -> int:
    import sys

    if len(arguments) != 1:
        print("usage: python -m harness.config.keys FILE   (writes a new random lab key)", file=sys.stderr)
        return 4
    try:
        key = write_new_key(Path(arguments[0]))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"public key {key.public.hex()}")
    return 0


if __name__ == "__main__":
    import sys

    raise SystemExit(_main(sys.argv[1:]))
