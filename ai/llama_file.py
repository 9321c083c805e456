"""Checks what llama.cpp assumes about a Llama file before it opens one, because it aborts if an assumption is wrong.

Taken from its `llama_model_base::load_hparams`, `llama_model_llama`, `llama_vocab::impl::load` and the tokenisers
(llama-cpp-python 0.3.36).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from ai.gguf import ARRAY, BOOL, F32, FLOAT, I32, STRING, U32, Gguf, Value, malformed
from ai.tokens import BEGIN, FIRST_WORD, PROGRAM, SPECIALS, WORDS
from contracts.errors import ModelError

PROMPT_KEY: Final = "assay.prompt"
COMPACT_PROMPT: Final = "compact-1"

LAYERS_MAX: Final = 512
"""LLAMA_MAX_LAYERS of llama-hparams.h."""
WIDTH_MAX: Final = 1 << 16
CONTEXT_MIN: Final = 64

_WHOLE: Final[Mapping[str, tuple[int, int]]] = {
    "context_length": (CONTEXT_MIN, 1 << 30),
    "embedding_length": (1, WIDTH_MAX),
    "block_count": (1, LAYERS_MAX),
    "feed_forward_length": (1, 1 << 20),
    "attention.head_count": (1, 1 << 12),
    "attention.head_count_kv": (1, 1 << 12),
    "attention.key_length": (1, 1 << 12),
    "attention.value_length": (1, 1 << 12),
    "rope.dimension_count": (1, 1 << 12),
    "rope.scaling.original_context_length": (1, 1 << 30),
    "vocab_size": (2, 1 << 20),
    "expert_count": (0, 0),  # a mixture of experts is not checked here, so it is refused
    "expert_used_count": (0, 0),
}
"""Integers below `llama.`, with the bounds of each."""
_REAL: Final[Mapping[str, tuple[float, float]]] = {
    "attention.layer_norm_rms_epsilon": (1e-12, 0.1),
    "rope.freq_base": (1.0, 1e9),
    "rope.scaling.factor": (1.0, 1e4),
    "rope.scale_linear": (1.0, 1e4),
    "rope.scaling.attn_factor": (1e-3, 1e3),
}
_TEXTS: Final = ("tensor_data_layout", "rope.scaling.type")
_FLAGS: Final = ("rope.scaling.finetuned",)
_NEEDED: Final = (
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
)
_SCALINGS: Final = ("none", "linear", "yarn", "longrope")

_MATRIX_TYPES: Final = (*range(4), *range(6, 9), *range(10, 24), 29, 30)
"""ggml types for a matrix product: F32, F16, BF16 and the quantised ones, no integers or doubles."""

_BYTE: Final = re.compile("<0x[0-9A-F]{2}>")
_BYTE_TYPE: Final = 6
_TYPES: Final = range(7)


def check_llama(file: Gguf) -> None:
    """Raises ModelError unless the file consistently describes a Llama with its own tokeniser."""
    architecture = file.text("general.architecture")
    if architecture != "llama":
        raise ModelError(
            f"model {file.path} has another architecture",
            expected="general.architecture 'llama'",
            seen=repr(architecture)[:80],
            do="use a GGUF of a Llama model (TinyLlama, SmolLM2, ...)",
        )
    if file.number("split.count") > 1:
        raise malformed(file.path, "a model in one file", f"one of {file.number('split.count')} parts")
    _check_numbers(file)
    tokens = _check_vocabulary(file)
    _check_tensors(file, len(tokens))
    if file.text(PROMPT_KEY) == COMPACT_PROMPT:
        _check_compact(file, tokens)


def _check_numbers(file: Gguf) -> None:
    """Every `llama.` entry is known here, with its type and within its bounds."""
    for key, kind in file.kinds.items():
        name = key.removeprefix("llama.")
        if name == key:
            continue
        value = file.metadata[key]
        if name in _WHOLE:
            low, high = _WHOLE[name]
            fits = kind == (U32, -1) and isinstance(value, int) and low <= value <= high
            wanted = f"a u32 from {low} to {high}"
        elif name in _REAL:
            least, most = _REAL[name]
            fits = kind == (FLOAT, -1) and isinstance(value, float) and least <= value <= most
            wanted = f"an f32 from {least:g} to {most:g}"
        elif name in _TEXTS:
            fits = kind == (STRING, -1) and (name != "rope.scaling.type" or value in _SCALINGS)
            wanted = f"one of {', '.join(_SCALINGS)}" if name == "rope.scaling.type" else "a text"
        elif name in _FLAGS:
            fits, wanted = kind == (BOOL, -1), "true or false"
        else:
            raise malformed(file.path, "a plain Llama's entries", f"{key[:80]!r}, which Assay does not know")
        if not fits:
            raise malformed(file.path, f"{key}: {wanted}", repr(value)[:80])
    lacking = [f"llama.{name}" for name in _NEEDED if f"llama.{name}" not in file.metadata]
    if lacking:
        raise malformed(file.path, f"{', '.join(lacking)} in the metadata", "none")


def _check_vocabulary(file: Gguf) -> list[str]:
    """The tokens, after all parts of the tokeniser were checked against them."""
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if file.kinds.get("tokenizer.ggml.tokens") != (ARRAY, STRING) or not isinstance(tokens, list):
        raise malformed(file.path, "a vocabulary in tokenizer.ggml.tokens", "none")
    if len(tokens) < 2:
        raise malformed(file.path, "a vocabulary in tokenizer.ggml.tokens", f"{len(tokens)} tokens")
    texts = [
        str(token).partition("\0")[0] or f"[EMPTY_{number}]" for number, token in enumerate(tokens)
    ]  # llama.cpp's names
    if len(set(texts)) != len(texts):
        raise malformed(file.path, "a vocabulary without repetition", f"{len(texts)} tokens, some equal")
    count = len(texts)
    if file.number("llama.vocab_size") not in (0, count):
        raise malformed(file.path, f"llama.vocab_size {count}", str(file.number("llama.vocab_size")))
    model = file.text("tokenizer.ggml.model")
    if model not in ("llama", "gpt2"):
        raise malformed(file.path, "tokenizer.ggml.model 'llama' or 'gpt2'", repr(model)[:80])
    if model == "gpt2" and file.kinds.get("tokenizer.ggml.merges") != (ARRAY, STRING):
        raise malformed(file.path, "a list of texts in tokenizer.ggml.merges", "none")
    scores = _array(file, "tokenizer.ggml.scores", FLOAT, count)
    if not all(isinstance(score, float) and math.isfinite(score) for score in scores):
        raise malformed(file.path, "finite numbers in tokenizer.ggml.scores", "others")
    kinds = _array(file, "tokenizer.ggml.token_type", I32, count)
    if not all(kind in _TYPES for kind in kinds):
        raise malformed(file.path, "types from 0 to 6 in tokenizer.ggml.token_type", "others")
    if model == "llama":
        _check_bytes(file, texts, kinds)
    _check_special(file, count, model)
    return texts


def _array(file: Gguf, key: str, kind: int, count: int) -> list[Value]:
    """An optional list of the tokeniser: one value per token. llama.cpp indexes it by token without a check."""
    values = file.metadata.get(key)
    if values is None:
        return []
    if file.kinds[key] != (ARRAY, kind) or not isinstance(values, list) or len(values) != count:
        seen = f"{len(values)} values" if isinstance(values, list) else "no list"
        raise malformed(file.path, f"{key}: {count} values of type {kind}", f"{seen}, type {file.kinds[key]}")
    return values


def _check_bytes(file: Gguf, texts: list[str], kinds: list[Value]) -> None:
    """Text falls back to bytes: each byte must be a token, and a token of that type must have a byte's name."""
    known = set(texts)
    for byte in range(256):
        plain = bytes([byte]).decode("utf-8", "surrogateescape")
        if f"<0x{byte:02X}>" not in known and plain not in known:
            raise malformed(file.path, "a token for each byte", f"none for <0x{byte:02X}>")
    for text, kind in zip(texts, kinds, strict=False):
        if kind == _BYTE_TYPE and not _BYTE.fullmatch(text):
            raise malformed(file.path, "tokens of type byte called <0x00> to <0xFF>", repr(text)[:40])


def _check_special(file: Gguf, count: int, model: str) -> None:
    """Named tokens exist; a token that is added to each text must exist."""
    for key, value in file.metadata.items():
        named = key.startswith("tokenizer.ggml.") and key.endswith("token_id")
        if named and (file.kinds[key] != (U32, -1) or not isinstance(value, int) or value >= count):
            raise malformed(file.path, f"{key} below {count}", repr(value)[:40])
        if key.startswith("tokenizer.ggml.add_") and file.kinds[key] != (BOOL, -1):
            raise malformed(file.path, f"{key}: true or false", repr(value)[:40])
    usual = 2 if model == "llama" else 11
    if count <= usual:
        for name in ("bos", "eos"):
            if f"tokenizer.ggml.{name}_token_id" not in file.metadata:
                raise malformed(file.path, f"tokenizer.ggml.{name}_token_id", "none")


def _check_tensors(file: Gguf, count: int) -> None:
    """Every tensor that llama.cpp uses exists, with its shape and a usable type."""
    width, layers = file.number("llama.embedding_length"), file.number("llama.block_count")
    heads, ffn = file.number("llama.attention.head_count"), file.number("llama.feed_forward_length")
    kv_heads = file.number("llama.attention.head_count_kv") or heads
    if width % heads or heads % kv_heads:
        raise malformed(
            file.path, "sizes of a Llama", f"width {width}, {heads} heads, {kv_heads} of keys and values"
        )
    head = file.number("llama.attention.key_length") or width // heads
    others = (file.number("llama.attention.value_length"), file.number("llama.rope.dimension_count"))
    if (
        head % 2
        or any(other not in (0, head) for other in others)
        or (width // heads != head and not others[0])
    ):
        raise malformed(file.path, f"heads of one even width, {head}", f"{others[0]}, rotary {others[1]}")
    wanted = {"token_embd.weight": (width, count), "output_norm.weight": (width,)}
    optional: dict[str, tuple[int, ...]] = {
        "output.weight": (width, count),
        "rope_freqs.weight": (head // 2,),
    }
    for i in range(layers):
        wanted |= {
            f"blk.{i}.attn_norm.weight": (width,),
            f"blk.{i}.attn_q.weight": (width, heads * head),
            f"blk.{i}.attn_k.weight": (width, kv_heads * head),
            f"blk.{i}.attn_v.weight": (width, kv_heads * head),
            f"blk.{i}.attn_output.weight": (heads * head, width),
            f"blk.{i}.ffn_norm.weight": (width,),
            f"blk.{i}.ffn_gate.weight": (width, ffn),
            f"blk.{i}.ffn_up.weight": (width, ffn),
            f"blk.{i}.ffn_down.weight": (ffn, width),
        }
        optional |= {
            f"blk.{i}.attn_q.bias": (heads * head,),
            f"blk.{i}.attn_k.bias": (kv_heads * head,),
            f"blk.{i}.attn_v.bias": (kv_heads * head,),
            f"blk.{i}.attn_output.bias": (width,),
            f"blk.{i}.ffn_gate.bias": (ffn,),
            f"blk.{i}.ffn_up.bias": (ffn,),
            f"blk.{i}.ffn_down.bias": (width,),
        }
    for name, shape in wanted.items():
        tensor = file.tensors.get(name)
        if tensor is None or tensor.shape != shape:
            seen = "no such tensor" if tensor is None else f"shape {tensor.shape}"
            raise malformed(file.path, f"tensor {name} of shape {shape}", seen)
    for name, tensor in file.tensors.items():
        known = wanted.get(name) or optional.get(name)
        if known is None:
            raise malformed(file.path, "a plain Llama's tensors", f"{name[:80]!r}, which Assay does not know")
        if tensor.shape != known:
            raise malformed(file.path, f"tensor {name} of shape {known}", f"shape {tensor.shape}")
        if tensor.type not in (_MATRIX_TYPES if len(known) > 1 else (F32,)):
            raise malformed(file.path, f"tensor {name} of a type to compute with", f"ggml type {tensor.type}")


def _check_compact(file: Gguf, tokens: list[str]) -> None:
    """A model with the compact prompt has this version's vocabulary, because its tokens are used by number."""
    first = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)), *(word for word in WORDS)]
    shown = [token.replace("\u2581", " ") for token in tokens[: len(first)]]
    if shown != first or len(tokens) < FIRST_WORD + len(WORDS) or max(BEGIN, PROGRAM) >= len(tokens):
        at = next((i for i, (a, b) in enumerate(zip(shown, first, strict=False)) if a != b), len(shown))
        raise malformed(
            file.path,
            f"the vocabulary of {COMPACT_PROMPT}, which {PROMPT_KEY} names",
            f"token {at} is {tokens[at][:40]!r}" if at < len(tokens) else f"{len(tokens)} tokens",
        )
