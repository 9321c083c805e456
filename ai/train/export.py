"""Writes a checkpoint as GGUF: `python -m ai.train.export --checkpoint DIR --out FILE [--f32]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ai import gguf
from ai.tokens import BEGIN, END, FIRST_BYTE, FIRST_WORD, PROGRAM, SPECIALS, UNKNOWN, WORDS, Tokeniser
from ai.train.shape import Shape

Weights = Mapping[str, NDArray[np.float32]]

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6


def metadata(
    shape: Shape, tokens: Tokeniser, name: str, provenance: Mapping[str, str]
) -> dict[str, gguf.Value]:
    """The keys that llama.cpp's loader needs, and Assay's own: prompt format, its end marker, provenance."""
    texts: list[gguf.Value] = []
    types: list[gguf.Value] = []
    for i, raw in enumerate(tokens.vocabulary()):
        if i < FIRST_BYTE:
            texts.append(SPECIALS[i])
            types.append(_UNKNOWN if i == UNKNOWN else _CONTROL)
        elif i < FIRST_WORD:
            texts.append(f"<0x{i - FIRST_BYTE:02X}>")
            types.append(_BYTE)
        else:
            texts.append(raw.decode() if i < FIRST_WORD + len(WORDS) else raw.decode().replace(" ", "\u2581"))
            types.append(_USER_DEFINED if i < FIRST_WORD + len(WORDS) else _NORMAL)
    return {
        "general.architecture": "llama",
        "general.name": name,
        "general.license": "apache-2.0",
        **{f"assay.{key}": value for key, value in provenance.items()},
        "assay.prompt": "compact-1",
        "assay.program_token": PROGRAM,
        "llama.context_length": shape.context,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": shape.norm_epsilon,
        "llama.rope.freq_base": shape.rope_base,
        "llama.rope.dimension_count": shape.head_width,
        "llama.vocab_size": shape.vocabulary,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.scores": [tokens.score(i) for i in range(len(tokens))],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": BEGIN,
        "tokenizer.ggml.eos_token_id": END,
        "tokenizer.ggml.unknown_token_id": UNKNOWN,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
    }


def tensors(shape: Shape, weights: Weights) -> dict[str, NDArray[np.float32]]:
    """GGUF tensors from the network's state: fused matrices are split, the output matrix is the embedding (tied)."""
    made = {"token_embd.weight": weights["embedding.weight"], "output_norm.weight": weights["norm.weight"]}
    kv = shape.kv_heads * shape.head_width
    for i in range(shape.layers):
        mine = {
            name.removeprefix(f"layers.{i}."): w
            for name, w in weights.items()
            if name.startswith(f"layers.{i}.")
        }
        q, k, v = np.split(mine["qkv.weight"], (shape.width, shape.width + kv))
        gate, up = np.split(mine["gate_up.weight"], 2)
        named = {"attn_q": q, "attn_k": k, "attn_v": v, "ffn_gate": gate, "ffn_up": up}
        named |= {"attn_norm": mine["attention_norm.weight"], "attn_output": mine["output.weight"]}
        named |= {"ffn_norm": mine["ffn_norm.weight"], "ffn_down": mine["down.weight"]}
        made |= {f"blk.{i}.{name}.weight": value for name, value in named.items()}
    return made


def weights_of(shape: Shape, file: gguf.Gguf) -> dict[str, NDArray[np.float32]]:
    """The inverse of `tensors`: the network's state from a GGUF of this project, dequantised."""
    made = {
        "embedding.weight": file.floats("token_embd.weight"),
        "norm.weight": file.floats("output_norm.weight"),
    }
    for i in range(shape.layers):

        def part(*names: str, layer: int = i) -> NDArray[np.float32]:
            return np.concatenate([file.floats(f"blk.{layer}.{name}.weight") for name in names])

        made |= {
            f"layers.{i}.attention_norm.weight": part("attn_norm"),
            f"layers.{i}.qkv.weight": part("attn_q", "attn_k", "attn_v"),
            f"layers.{i}.output.weight": part("attn_output"),
            f"layers.{i}.ffn_norm.weight": part("ffn_norm"),
            f"layers.{i}.gate_up.weight": part("ffn_gate", "ffn_up"),
            f"layers.{i}.down.weight": part("ffn_down"),
        }
    return made


def write_model(
    path: Path, shape: Shape, weights: Weights, tokens: Tokeniser, provenance: Mapping[str, str], *, q8: bool
) -> None:
    """Writes the network as a GGUF file."""
    name = f"assay-{sum(w.size for w in weights.values()) / 1e6:.1f}m"
    gguf.write(path, metadata(shape, tokens, name, provenance), tensors(shape, weights), q8=q8)


def from_checkpoint(folder: Path) -> tuple[Shape, dict[str, NDArray[np.float32]], Tokeniser, int]:
    """Shape, weights, tokeniser and step of a training folder. Needs torch."""
    import torch

    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    weights = {name: value.float().numpy() for name, value in saved["weights"].items()}
    tokens = Tokeniser(json.loads((folder / "tokeniser.json").read_text()))
    return Shape(**saved["shape"]), weights, tokens, int(saved["step"])


def main(arguments: list[str]) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m ai.train.export", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder written by ai.train.run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--f32", action="store_true", help="keep matrices in F32, for the parity check")
    chosen = parser.parse_args(arguments)
    shape, weights, tokens, step = from_checkpoint(chosen.checkpoint)
    write_model(chosen.out, shape, weights, tokens, {"step": str(step)}, q8=not chosen.f32)


if __name__ == "__main__":
    main(sys.argv[1:])
