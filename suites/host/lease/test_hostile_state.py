"""The leases' folder as somebody else may have left it: damaged state is no state, nobody waits for a pipe, no traceback."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.board import BoardSpec
from contracts.errors import InfraError
from harness.lease import acquire, states
from harness.lease.files import PlaceFiles

SECONDS: Final = 15.0
SUFFIXES: Final = ("owner", "quarantine", "reserved", "forced", "epoch", "lock")


def enormous(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


STATES: Final[dict[str, Callable[[Path], Any]]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a file of a tebibyte": enormous,
    "nothing": Path.touch,
    "half of a document": lambda path: path.write_text('{"user": "alice", "pi'),
    "lists in lists": lambda path: path.write_text("[" * 10_000),
    "a document in itself": lambda path: path.write_text('{"user":' * 5_000 + "1" + "}" * 5_000),
    "a list": lambda path: path.write_text("[1]"),
    "other types": lambda path: path.write_text(
        '{"user": 7, "pid": "x", "by": [], "since": {}, "until_boot_s": "x"}'
    ),
    "huge numbers": lambda path: path.write_text(
        '{"pid": ' + "9" * 5_000 + ', "boot_s": 1e999, "epoch": NaN}'
    ),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00" * 100),
    "a number": lambda path: path.write_text("9" * 5_000),
}


@pytest.mark.parametrize(("suffix", "kind"), list(itertools.product(SUFFIXES, STATES)))
def test_damaged_state_is_no_state_and_keeps_nobody_waiting(
    make_spec: Callable[..., BoardSpec], suffix: str, kind: str
) -> None:
    spec = make_spec(1)
    files = PlaceFiles.of(spec.places[0])
    STATES[kind](files.path(suffix))
    began = time.monotonic()
    told = ""
    try:
        (state,) = states(spec)
        assert state.state in ("free", "held", "reserved", "quarantined")
        with acquire(spec, timeout_s=1) as lease:
            assert lease.epoch > 0
    except InfraError as error:
        told = str(error)
    assert time.monotonic() - began < SECONDS
    assert not told or str(files.folder) in told or spec.places[0].name in told
