"""A Llama loaded by llama.cpp: tokens in, next logits out, on one thread, with a lazily evaluated grammar."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ai import gguf
from ai.llama_file import COMPACT_PROMPT, PROMPT_KEY
from ai.model_file import ModelFile, probe, read_model
from ai.tokens import FIRST_WORD, WORDS, Tokeniser
from contracts.errors import ModelError

SHIPPED: Final = Path(__file__).parent / "models" / "assay-3m-q8_0.gguf"
CONTEXT_MAX: Final = 4096
_PIECE_MAX: Final = 4096
_LOG_LINES: Final = 20
_LOG_ERROR: Final = 4
"""enum ggml_log_level of ggml.h."""


class _Library:
    """llama.cpp, initialised once; keeps a reference to the log callback (otherwise it segfaults) and its last errors."""

    def __init__(self) -> None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("GGML_NO_BACKTRACE", "1")
        try:
            import llama_cpp
        except ImportError as error:
            raise ModelError(
                "llama-cpp-python does not load",
                expected="the package that ./assay installs",
                seen=str(error),
                do="run ./assay doctor",
            ) from error
        self.api: Any = llama_cpp
        self.errors: list[str] = []
        self._callback = llama_cpp.llama_log_callback(self._keep)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()

    def _keep(self, level: int, text: bytes, _user: Any) -> None:
        if level == _LOG_ERROR:
            self.errors = [*self.errors[-_LOG_LINES:], text.decode("utf-8", "replace").strip()]

    def last_error(self) -> str:
        """llama.cpp's last errors."""
        return " | ".join(self.errors[-2:]) or "no message"


_loaded: list[_Library] = []


def library() -> _Library:
    """llama.cpp, for code that uses it without a `Model`. Raises ModelError if it does not load."""
    if not _loaded:
        _loaded.append(_Library())
    return _loaded[0]


class Model:
    """One loaded model with its own context; a context manager. Not for use by two threads at once.

    `compact` is True if the file was trained with the compact prompt of this project. `hash` is its SHA-256.
    """

    def __init__(self, path: Path = SHIPPED, copy: ModelFile | None = None) -> None:
        """Loads `path`, or a `copy` that was checked before.

        The file is read once; if these bytes are new, another process loads them first. Raises
        ModelError for a file that is missing, truncated, malformed or not a Llama.
        """
        if copy is not None:
            self._load(copy)
            return
        with read_model(path) as file:
            probe(file)
            self._load(file)
            if not file.sealed:
                file.check_unchanged()

    def _load(self, file: ModelFile) -> None:
        path = self.path = file.path
        self.file, self.hash = file.content, file.hash
        self.compact = self.file.text(PROMPT_KEY) == COMPACT_PROMPT
        self.tokeniser = own_tokeniser(self.file) if self.compact else None
        llama = library()
        self._api = llama.api
        parameters = self._api.llama_model_default_params()
        parameters.n_gpu_layers = 0
        parameters.use_mmap = file.sealed
        self._model = self._api.llama_model_load_from_file(os.fsencode(file.place), parameters)
        if not self._model:
            raise ModelError(
                f"llama.cpp does not load {path}",
                expected="a Llama GGUF that it supports",
                seen=llama.last_error(),
                do="try the file with llama.cpp itself, or use another",
            )
        trained = self.file.number("llama.context_length")
        self.context_size = min(trained, CONTEXT_MAX)
        settings = self._api.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = self.context_size
        settings.n_threads = settings.n_threads_batch = 1
        settings.no_perf = True
        if self.compact:
            # An F32 cache is affordable: logits then agree with training's to the last digits.
            settings.type_k = settings.type_v = self._api.GGML_TYPE_F32
            settings.flash_attn_type = self._api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context = self._api.llama_init_from_model(self._model, settings)
        if not self._context:
            self._api.llama_model_free(self._model)
            raise ModelError(
                f"no context for {path}",
                expected=f"memory for {self.context_size} tokens",
                seen=llama.last_error(),
                do="free memory or use a smaller model",
            )
        self._vocab = self._api.llama_model_get_vocab(self._model)
        self.vocabulary_size = int(self._api.llama_vocab_n_tokens(self._vocab))
        self._memory = self._api.llama_get_memory(self._context)
        self._pieces: dict[int, bytes] = {}
        self._buffer = ctypes.create_string_buffer(_PIECE_MAX)

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the context and the model; may be called twice."""
        if self._context:
            self._api.llama_free(self._context)
            self._api.llama_model_free(self._model)
            self._context = self._model = None

    def begin(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Logits after `tokens`, evaluated in an empty context. Raises ModelError if they do not fit."""
        if not 0 < len(tokens) < self.context_size:
            raise ModelError(
                f"the prompt does not fit {self.path.name}",
                expected=f"1 to {self.context_size - 1} tokens",
                seen=f"{len(tokens)} tokens",
                do="use a model with a longer context",
            )
        self._api.llama_memory_clear(self._memory, True)
        return self._decode(tokens)

    def advance(self, token: int) -> NDArray[np.float32]:
        """Logits after one more token."""
        return self._decode([token])

    def rewind(self, length: int) -> None:
        """Truncates the context to its first `length` tokens."""
        self._api.llama_memory_seq_rm(self._memory, 0, length, -1)

    def _decode(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        array = (self._api.llama_token * len(tokens))(*tokens)
        status = self._api.llama_decode(self._context, self._api.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            raise ModelError(
                f"llama.cpp stopped in {self.path.name}",
                expected="status 0",
                seen=f"status {status}",
                do="use a model with a longer context",
            )
        logits = self._api.llama_get_logits_ith(self._context, -1)
        view: NDArray[np.float32] = np.ctypeslib.as_array(logits, (self.vocabulary_size,))
        return view

    def tokenise(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`; with `special`, control tokens in it are recognised (chat templates)."""
        if self.tokeniser is not None and not special:
            return self.tokeniser.encode(text)
        raw = text.encode()
        room = len(raw) + 16
        buffer = (self._api.llama_token * room)()
        count = self._api.llama_tokenize(self._vocab, raw, len(raw), buffer, room, special, special)
        if count < 0:
            raise ModelError(
                f"{self.path.name} does not tokenise the prompt",
                expected=f"at most {room} tokens",
                seen=str(-count),
                do="use another model",
            )
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """All bytes of a token (llama-cpp-python's own detokeniser drops pieces over 32 bytes)."""
        piece = self._pieces.get(token)
        if piece is None:
            count = self._api.llama_token_to_piece(self._vocab, token, self._buffer, _PIECE_MAX, 0, False)
            piece = self._pieces[token] = self._buffer.raw[: max(count, 0)]
        return piece

    def ends(self, token: int) -> bool:
        """Whether a token ends the generation."""
        return bool(self._api.llama_vocab_is_eog(self._vocab, token))

    def grammar(self, gbnf: str, root: str) -> Grammar:
        """A new recogniser of `gbnf` over this model's tokens."""
        return Grammar(self._api, self._vocab, gbnf, root)

    def chat(self, user: str) -> str | None:
        """`user` formatted with the model's chat template, ready for the answer; None without a known template."""
        template = self._api.llama_model_chat_template(self._model, None)
        if not template:
            return None
        message = self._api.llama_chat_message(role=b"user", content=user.encode())
        room = len(user.encode()) * 2 + 4096
        buffer = ctypes.create_string_buffer(room)
        count = self._api.llama_chat_apply_template(template, ctypes.byref(message), 1, True, buffer, room)
        return buffer.raw[:count].decode("utf-8", "replace") if 0 < count <= room else None


def own_tokeniser(file: gguf.Gguf) -> Tokeniser:
    """The tokeniser in the file of a compact-prompt model."""
    texts = file.metadata["tokenizer.ggml.tokens"]
    assert isinstance(texts, list)
    return Tokeniser([str(text).replace("\u2581", " ") for text in texts[FIRST_WORD + len(WORDS) :]])


class Grammar:
    """Follows a GBNF grammar through tokens; checks one token, and the whole vocabulary only if needed."""

    def __init__(self, api: Any, vocab: Any, gbnf: str, root: str) -> None:
        self._api = api
        self._sampler = api.llama_sampler_init_grammar(vocab, gbnf.encode(), root.encode())
        if not self._sampler:
            raise ModelError(
                "the grammar does not parse", expected="GBNF", seen="a syntax error", do="report this"
            )
        self._one = (api.llama_token_data * 1)()
        self.scans = 0

    def close(self) -> None:
        """Frees the recogniser; may be called twice."""
        if self._sampler:
            self._api.llama_sampler_free(self._sampler)
            self._sampler = None

    def allows(self, token: int) -> bool:
        """Whether `token` may come next."""
        self._one[0].id, self._one[0].logit, self._one[0].p = token, 0.0, 0.0
        candidates = self._api.llama_token_data_array(data=self._one, size=1, selected=-1, sorted=False)
        self._api.llama_sampler_apply(self._sampler, ctypes.byref(candidates))
        return bool(np.isfinite(candidates.data[0].logit))

    def best(self, logits: NDArray[np.float32]) -> int | None:
        """The allowed token with the highest logit, the lowest id among equals; None if none is allowed."""
        token = int(logits.argmax())
        if self.allows(token):
            return token
        self.scans += 1
        count = len(logits)
        table = np.zeros(count, np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")]))
        table["id"], table["logit"] = np.arange(count), logits
        data = ctypes.cast(table.ctypes.data, ctypes.POINTER(self._api.llama_token_data))
        candidates = self._api.llama_token_data_array(data=data, size=count, selected=-1, sorted=False)
        self._api.llama_sampler_apply(self._sampler, ctypes.byref(candidates))
        token = int(table["logit"].argmax())
        return token if np.isfinite(table["logit"][token]) else None

    def accept(self, token: int) -> None:
        """Advances past `token`, which `allows` must have admitted."""
        self._api.llama_sampler_accept(self._sampler, token)
