"""A model file, read once: what is hashed, looked at and loaded are the same bytes, whatever becomes of the file."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from ai import gguf
from ai.llama_file import check_llama
from contracts.errors import ConfigError, ModelError
from contracts.plain_file import open_plain
from contracts.root import ROOT

PROBED: Final = ROOT / "build" / "models"
"""One small file a model that has been loaded once without harm, named by its hash."""

PROBE_VERSION: Final = 1
"""Changes with what a probe looks at, so that models are looked at again."""
PROBE_S: Final = 300.0
_CHUNK: Final = 1 << 22
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_MEMFD: Final = "/memfd:"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A private copy in memory that nobody can change. `path` is what the file is called; `hash` its SHA-256.

    Where the process may not write files of that size (`ulimit -f`), it is the file itself: `sealed` is False then, and
    who loads it maps no memory and asks `check_unchanged` afterwards.
    """

    path: Path
    descriptor: int
    content: gguf.Gguf
    hash: bytes

    @property
    def place(self) -> Path:
        """Where this process, and every other one of this user while this one lives, opens the copy."""
        return Path(f"/proc/{os.getpid()}/fd/{self.descriptor}")

    @property
    def sealed(self) -> bool:
        """Whether nobody can change the bytes."""
        try:
            return fcntl.fcntl(self.descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        except OSError:  # no file in memory
            return False

    def check_unchanged(self) -> None:
        """Raise ModelError when the bytes are others than those of `hash`."""
        seen = _digest(self.descriptor)
        if seen != self.hash:
            raise ModelError(
                f"model {self.path} was changed while it was read",
                expected=f"SHA-256 {self.hash.hex()}",
                seen=seen.hex(),
                do="load it when nobody writes it",
            )


@contextmanager
def read_model(path: Path) -> Iterator[ModelFile]:
    """The copy of a model file, checked, for as long as the context lasts.

    Raises ModelError for a file that is missing, truncated, malformed, not a Llama, or larger than the free memory.
    """
    source = _open(path)
    try:
        name = _name(path)
        descriptor, digest = _copied(source, name)
    finally:
        os.close(source)
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(0)
            content = gguf.read_open(name, file)
        check_llama(content)
        yield ModelFile(name, descriptor, content, digest)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return open_plain(path)
    except (OSError, ConfigError) as error:
        raise ModelError(
            f"no model at {path}",
            expected="a GGUF file that can be read",
            seen=error.seen if isinstance(error, ConfigError) else error.strerror or str(error),
            do="name one with --model PATH, or leave --model away for the shipped one",
        ) from error


def _name(path: Path) -> Path:
    """What a model is called: its path, or the name of a copy that another process of ours holds."""
    if path.is_relative_to("/proc"):
        with suppress(OSError):
            target = str(path.readlink())
            if target.startswith(_MEMFD):
                return Path(target.removeprefix(_MEMFD).removesuffix(" (deleted)"))
    return path


def _copied(source: int, name: Path) -> tuple[int, bytes]:
    """A sealed copy in memory, and its SHA-256."""
    size, free = os.fstat(source).st_size, _free_memory()
    if size > free:
        raise ModelError(
            f"model {name} does not fit the memory of this machine",
            expected=f"a file of at most {free >> 20:,} MiB",
            seen=f"{size >> 20:,} MiB",
            do="free memory or use a smaller model",
        )
    descriptor = os.memfd_create(name.name[:200], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    digest = hashlib.sha256()
    try:
        left = size  # a file that grows meanwhile is taken as it was, one that shrinks is found truncated
        while left > 0 and (part := os.read(source, min(left, _CHUNK))):
            digest.update(part)
            left -= len(part)
            while part:
                part = part[os.write(descriptor, part) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EFBIG:
            return os.dup(source), _digest(source)
        raise ModelError(
            f"model {name} cannot be read",
            expected=f"{size} bytes, and memory for them",
            seen=error.strerror or str(error),
            do="copy the file again, or free memory",
        ) from error
    return descriptor, digest.digest()


def _digest(descriptor: int) -> bytes:
    """SHA-256 of a whole file."""
    digest, at = hashlib.sha256(), 0
    while part := os.pread(descriptor, _CHUNK, at):
        digest.update(part)
        at += len(part)
    return digest.digest()


def _free_memory() -> int:
    """Bytes that a process may still take without swapping (MemAvailable of proc_meminfo(5)); all there is if unknown."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 1 << 62


def probe(model: ModelFile) -> None:
    """Load a model in a process of its own first, once for each hash: whatever ends that process ends no run.

    Raises ModelError when llama.cpp refuses the file, aborts, or does not come to an end.
    """
    known = PROBED / f"{model.hash.hex()}-{version('llama-cpp-python')}-{PROBE_VERSION}"
    if known.is_file():
        return
    command = [sys.executable, "-m", "ai.probe", str(model.descriptor), str(model.path)]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_S,
            check=False,
            pass_fds=(model.descriptor,),
        )
        seen = "" if done.returncode == 0 else _ended(done)
    except subprocess.TimeoutExpired:
        seen = f"no end within {PROBE_S:.0f} s"
    if seen:
        raise ModelError(
            f"llama.cpp does not load {model.path}",
            expected="a Llama GGUF that it supports",
            seen=seen,
            do="try the file with llama.cpp itself, or use another",
        )
    with suppress(OSError):  # a read-only checkout probes each time
        PROBED.mkdir(parents=True, exist_ok=True)
        known.touch()


def _ended(done: subprocess.CompletedProcess[bytes]) -> str:
    """How a probe ended, with the last of what it said."""
    said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-400:]
    how = f"ended by signal {-done.returncode}" if done.returncode < 0 else ""
    return ": ".join(part for part in (how, said) if part) or f"ended with {done.returncode}"
