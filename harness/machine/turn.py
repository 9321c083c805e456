"""One host stage at a time on a machine: the turn is taken before timing starts, so stages do not disturb each other."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from contracts.errors import InfraError
from harness.machine.file_lock import GivenUp, file_lock

TURN_TIMEOUT_S: Final = 300.0
SLOW_TURN_TIMEOUT_S: Final = 3600.0
"""For turns with a model without a latency promise: minutes per attempt."""


class TurnGivenUp(Exception):
    """`give_up` returned True: the turn is no longer wanted."""


@contextlib.contextmanager
def host_turn(
    timeout_s: float = TURN_TIMEOUT_S,
    give_up: Callable[[], bool] | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the machine's turn. The kernel frees it when the holder dies.

    `waiting` is called once if another run holds it. Raises InfraError after `timeout_s`, TurnGivenUp soon after
    `give_up` first returns True.
    """
    path = Path(tempfile.gettempdir()) / f"assay-host-turn-{os.getuid()}.lock"

    def told() -> None:
        if waiting is not None:
            waiting("for the machine's turn: another run generates or measures on this host")

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path, timeout_s, give_up=give_up, waiting=told))
        except GivenUp as error:
            raise TurnGivenUp from error
        except TimeoutError as error:
            raise InfraError(
                "timed out waiting for the machine's turn for host stages",
                expected=f"the lock {path} within {timeout_s:.0f} s",
                seen="another run holds it",
                do="wait for the other run, or end it",
            ) from error
        except OSError as error:
            raise InfraError(
                "the machine's turn for host stages cannot be taken",
                expected=f"{path}, a file owned by this user",
                seen=str(error),
                do="remove that file, or name another temporary folder in TMPDIR",
            ) from error
        yield
