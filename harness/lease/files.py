"""The lease folder: a few small files per place, changed by one process at a time; times use a monotonic clock."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from contracts.board import Place
from contracts.errors import Cause, ConfigError, InfraError
from contracts.plain_file import read_plain
from harness.config.json_file import parse_json

GATE_TIMEOUT_S: Final = 10.0
LASTING: Final = ("reserved", "quarantine")
"""Files that belong to a board, not to its current device number."""
EPOCH_MAX: Final = 2**32 - 1  # a session's epoch is 32 bits wide on the wire
_EPOCH_FLOOR_MAX: Final = EPOCH_MAX - 2**24  # a wrong clock must not use up the numbers
_GATE_POLL_S: Final = 0.001
_STATE_MAX: Final = 1 << 16  # bytes of one of the files


def leases_folder() -> Path:
    """The folder of this machine's leases: `ASSAY_LEASES`, or one folder per user, independent of TMPDIR.

    Raises InfraError for a folder that cannot be created or that another user owns.
    """
    named = os.environ.get("ASSAY_LEASES")
    folder = Path(named or f"/tmp/assay-leases-{os.getuid()}")  # noqa: S108 - its owner is checked below
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o777 if named else 0o700, parents=True, exist_ok=True)
        owner = folder.lstat().st_uid  # of a link itself: any user can create one in /tmp
    except OSError as error:
        raise cannot(error, folder) from error
    if not named and owner != os.getuid():
        raise InfraError(
            f"the lease folder {folder} belongs to another user",
            expected=f"a folder of uid {os.getuid()}",
            seen=f"uid {owner}",
            do="remove it, or name another folder in ASSAY_LEASES",
        )
    return folder


def cannot(error: OSError, path: Path) -> InfraError:
    """A file error in the folder as an InfraError for the lab's operator."""
    return InfraError(
        f"the lease folder cannot be used: {path}",
        expected="a folder that this user may read and write, with free space",
        seen=error.strerror or str(error),
        do="free space on that disk, correct its permissions, or name another folder in ASSAY_LEASES",
        cause=Cause.MACHINE,
    )


def user_name() -> str:
    """The user's name for leases and reservations: `ASSAY_USER`, or `user@host`."""
    named = os.environ.get("ASSAY_USER")
    if named:
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without an entry, as in containers
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def utc_now() -> str:
    """The wall clock, for display only: nothing is computed from it."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"


@cache
def boot_id() -> str:
    """The id of this boot of this machine; times of `boot_s` are comparable within one boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def boot_s() -> float:
    """Seconds since boot, including sleep: this clock cannot be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def holder_pid(path: Path) -> int:
    """The process that holds the lock on `path` according to /proc/locks; 0 if unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        about = path.stat()
        device = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            part = line.split()
            if part[1] == "FLOCK" and part[5] == device:
                return max(0, int(part[4]))
    return 0


@dataclass(frozen=True, slots=True)
class Beat:
    """A holder's last heartbeat: how many seconds ago (None: unknown), and the epoch of its lease."""

    silent_s: float | None
    epoch: int


class PlaceFiles:
    """The files of one place: `lock`, `owner`, `epoch`, `wait`, `reserved`, `quarantine`, `forced`.

    They are named by the place's identity, so that two names for one device share them; `reserved` and `quarantine`
    by its `lasting` one, so that they stay with the board when its device gets another number. Every method raises
    InfraError when the folder cannot be read or written.
    """

    def __init__(self, identity: str, folder: Path | None = None, *, lasting: str | None = None) -> None:
        self.identity = identity
        self.folder = leases_folder() if folder is None else folder
        self._stem = f"{self.folder}/{identity}."
        self._lasting = f"{self.folder}/{lasting or identity}."

    @classmethod
    def of(cls, place: Place, folder: Path | None = None) -> PlaceFiles:
        """The files of a place."""
        return cls(place.identity, folder, lasting=place.lasting_identity)

    def path(self, suffix: str) -> Path:
        """One of the files."""
        return Path((self._lasting if suffix.partition(".")[0] in LASTING else self._stem) + suffix)

    def open(self, suffix: str) -> int:
        """A descriptor of that file, created if missing; child programs do not inherit it."""
        path = self._stem + suffix
        try:
            try:
                return os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise cannot(error, self.path(suffix)) from error
        self._share(fd)
        return fd

    def is_named(self, fd: int, suffix: str) -> bool:
        """Whether an open file still has its name."""
        try:
            named = os.stat(self._stem + suffix)  # noqa: PTH116 - who waits comes here fifty times a second
        except OSError:
            return False
        about = os.fstat(fd)
        return (about.st_dev, about.st_ino) == (named.st_dev, named.st_ino)

    def _share(self, fd: int) -> None:
        """Give a file the permissions of its folder, whatever the umask."""
        with contextlib.suppress(OSError):
            about = os.fstat(fd)
            wanted = 0o600 | (self.folder.stat().st_mode & 0o066)
            if about.st_uid == os.geteuid() and about.st_mode & 0o777 != wanted:
                os.fchmod(fd, wanted)

    @contextlib.contextmanager
    def gate(self) -> Iterator[int]:
        """Exclusive access to change (or inspect) this place; yields the epoch file's descriptor.

        Held for microseconds, never while waiting for a lease. Raises InfraError after `GATE_TIMEOUT_S`.
        """
        fd = self.open("epoch")
        try:
            self._pass(fd)
            try:
                yield fd
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)  # closing is not enough: a fork in another thread has a copy
        except OSError as error:
            raise cannot(error, self.path("epoch")) from error
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def look(self) -> Iterator[None]:
        """Like `gate`, for readers: creates no file and needs no write permission."""
        try:
            fd = os.open(self.path("epoch"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:  # no process has ever changed it
            yield
            return
        except OSError as error:
            raise cannot(error, self.path("epoch")) from error
        try:
            self._pass(fd)
            try:
                yield
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def _pass(self, fd: int) -> None:
        end_s = time.monotonic() + GATE_TIMEOUT_S
        while not try_lock(fd, fcntl.LOCK_EX):
            if time.monotonic() >= end_s:
                raise InfraError(
                    f"the leases of {self.identity} are stuck",
                    expected=f"no process that changes them for more than {GATE_TIMEOUT_S:g} s",
                    seen=f"process {holder_pid(self.path('epoch')) or '?'} does; it may be stopped",
                    do="continue or end that process",
                )
            time.sleep(_GATE_POLL_S)

    def read(self, suffix: str) -> dict[str, object] | None:
        """A JSON file: None if missing, empty if damaged."""
        try:
            found = parse_json(read_plain(self.path(suffix), _STATE_MAX))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise cannot(error, self.path(suffix)) from error
        except (ValueError, ConfigError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, suffix: str, content: Mapping[str, object]) -> None:
        """Replace a JSON file atomically. Inside the gate."""
        path, new = self.path(suffix), self.path(f"{suffix}.new")
        try:
            new.unlink(missing_ok=True)  # left by a process that was killed at this point
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with os.fdopen(fd, "w") as file:
                json.dump(content, file)
                file.flush()
                self._share(fd)
            new.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise cannot(error, path) from error

    def rename(self, suffix: str, to: str) -> None:
        """Rename a file over another one. Inside the gate."""
        try:
            self.path(suffix).replace(self.path(to))
        except OSError as error:
            raise cannot(error, self.path(to)) from error

    def remove(self, suffix: str) -> bool:
        """Remove a file; False if it did not exist."""
        try:
            self.path(suffix).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise cannot(error, self.path(suffix)) from error
        return True

    def epoch(self) -> int:
        """The epoch of the last lease; 0 if unknown."""
        try:
            found = int(read_plain(self.path("epoch"), _STATE_MAX) or b"0")
        except (FileNotFoundError, ValueError, ConfigError):
            found = 0
        except OSError as error:
            raise cannot(error, self.path("epoch")) from error
        if not 0 < found <= EPOCH_MAX:  # damaged: the last holder's heartbeat also has it
            found = self.last_beat().epoch
        return found

    def beat(self, lock_fd: int, epoch: int) -> None:
        """Write a heartbeat into the lock file."""
        text = f"{boot_id()} {boot_s():.1f} {epoch}\n".encode()
        os.pwrite(lock_fd, text, 0)
        os.ftruncate(lock_fd, len(text))

    def last_beat(self) -> Beat:
        """The last heartbeat in the lock file."""
        try:
            boot, at_s, epoch = read_plain(self.path("lock"), _STATE_MAX).decode("ascii").split()
            silent_s = max(0.0, boot_s() - float(at_s)) if boot == boot_id() else None
            return Beat(silent_s, max(0, min(EPOCH_MAX, int(epoch))))
        except (OSError, ValueError, ConfigError, OverflowError):
            return Beat(None, 0)

    def raise_epoch(self, gate_fd: int) -> int:
        """The next epoch, stored before it is used. Inside the gate, with its descriptor.

        It is above every earlier one, and never below the time of day in seconds: if the folder is lost, a board that
        stayed on still accepts the next holder as a later one.
        """
        epoch = max(self.epoch() + 1, min(int(time.time()), _EPOCH_FLOOR_MAX))
        if epoch > EPOCH_MAX:
            raise InfraError(
                f"the epochs of {self.identity} are used up",
                expected=f"a number up to {EPOCH_MAX} in {self.path('epoch')}",
                seen=str(epoch - 1),
                do="remove that file and power-cycle the board",
            )
        try:
            text = f"{epoch:010d}\n".encode()
            os.pwrite(gate_fd, text, 0)
            os.ftruncate(gate_fd, len(text))
        except OSError as error:
            raise cannot(error, self.path("epoch")) from error
        return epoch


def try_lock(fd: int, kind: int) -> bool:
    """Take a flock of `kind` without waiting."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
