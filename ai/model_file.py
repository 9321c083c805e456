"""A model file, read once: the same bytes are hashed, checked and loaded, whatever happens to the file."""

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
"""One small file per model that was loaded once without a crash, named by its hash."""

PROBE_VERSION: Final = 1
"""Changes with the checks of a probe, so that models are probed again."""
PROBE_S: Final = 300.0
_CHUNK: Final = 1 << 22
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_MEMFD: Final = "/memfd:"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A private copy in memory that cannot be changed. `path` is the file's name; `hash` its SHA-256.

    If the process must not write files of that size (`ulimit -f`), it is the file itself: `sealed` is then False, and
    the caller loads it without mmap and calls `check_unchanged` afterwards.
    """

    path: Path
    descriptor: int
    content: gguf.Gguf
    hash: bytes

    @property
    def place(self) -> Path:
        """The path of the copy for this process, and for other processes of this user while this one lives."""
        return Path(f"/proc/{os.getpid()}/fd/{self.descriptor}")

    @property
    def sealed(self) -> bool:
        """Whether the bytes cannot be changed."""
        try:
            return fcntl.fcntl(self.descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        except OSError:  # no file in memory
            return False

    def check_unchanged(self) -> None:
        """Raise ModelError if the bytes no longer match `hash`."""
        seen = _digest(self.descriptor)
        if seen != self.hash:
            raise ModelError(
                f"model {self.path} was changed while it was read",
                expected=f"SHA-256 {self.hash.hex()}",
                seen=seen.hex(),
                do="load it when no process writes it",
            )


@contextmanager
def read_model(path: Path) -> Iterator[ModelFile]:
    """A checked copy of a model file, for the duration of the context.

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
            expected="a readable GGUF file",
            seen=error.seen if isinstance(error, ConfigError) else error.strerror or str(error),
            do="name one with --model PATH, or omit --model to use the shipped one",
        ) from error


def _name(path: Path) -> Path:
    """A model's name: its path, or the name of a copy that another Assay process holds."""
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
        left = size  # a file that grows is read up to its old size; one that shrinks is truncated
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
    """Bytes available without swapping (MemAvailable of proc_meminfo(5)); all memory if unknown."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 1 << 62


def probe(model: ModelFile) -> None:
    """Load a model in a separate process first, once per hash, so that a crash does not end a run.

    Raises ModelError if llama.cpp refuses the file, aborts, or times out.
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
        seen = f"no exit within {PROBE_S:.0f} s"
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
    """How a probe ended, with the end of its output."""
    said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-400:]
    how = f"killed by signal {-done.returncode}" if done.returncode < 0 else ""
    return ": ".join(part for part in (how, said) if part) or f"exited with {done.returncode}"
