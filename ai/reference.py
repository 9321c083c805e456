"""A fixed evaluation by llama.cpp, similar to `generate`: it distinguishes a slow machine from slow code.

It uses only llama.cpp's own interface and none of our code: a change that makes `ai.generate` or `ai.model` slower does
not affect it.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any, Final

from ai.model import SHIPPED, library
from contracts.errors import ModelError

_CONTEXT: Final = 64
_PROMPT: Final = 8
_STEPS: Final = 6
"""Tokens read at once, and tokens decoded one by one: about 1 ms in total; `generate` does 10 to 60 times as much."""


class Reference:
    """The shipped model in a small context of its own. Not for use by two threads at once."""

    def __init__(self, path: Path = SHIPPED) -> None:
        """Loads `path`. Raises ModelError."""
        self._api: Any = library().api
        parameters = self._api.llama_model_default_params()
        parameters.n_gpu_layers = 0
        parameters.use_mmap = False  # a file that is truncated under us would end the process (SIGBUS)
        self._model = self._api.llama_model_load_from_file(os.fsencode(path), parameters)
        settings = self._api.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = _CONTEXT
        settings.n_threads = settings.n_threads_batch = 1
        settings.no_perf = True
        self._context = self._api.llama_init_from_model(self._model, settings) if self._model else None
        if not self._context:
            raise ModelError(
                f"the reference evaluation does not load {path}",
                expected="the model that the project ships",
                seen=library().last_error(),
                do="run `./assay doctor`",
            )
        self._memory = self._api.llama_get_memory(self._context)
        self.key = _key(path, Path(str(self._api.__file__)).parent)

    def run(self) -> float:
        """CPU time of one evaluation, in ns."""
        began_ns = time.thread_time_ns()
        self._api.llama_memory_clear(self._memory, True)
        self._decode(*range(1, _PROMPT + 1))
        for token in range(_STEPS):
            self._decode(token + 1)
        return float(time.thread_time_ns() - began_ns)

    def _decode(self, *tokens: int) -> None:
        array = (self._api.llama_token * len(tokens))(*tokens)
        status = self._api.llama_decode(self._context, self._api.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            raise ModelError("the reference evaluation stopped", expected="status 0", seen=f"status {status}")


def _key(model: Path, package: Path) -> str:
    """Identifies model and library: times of two builds of llama.cpp are not comparable."""
    digest = hashlib.sha256(model.read_bytes())
    for path in sorted(package.rglob("*.so*")):
        about = path.stat()
        digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
