"""A complete, loadable, untrained model: `python -m ai.train.random_weights --seed S --out FILE`.

The shapes and the tokeniser are those of the shipped model; torch is not needed. It shows which stages refuse a
program that is well-formed and wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ai import gguf
from ai.model import SHIPPED, own_tokeniser
from ai.train.export import write_model
from ai.train.shape import Shape


def random_weights(shape: Shape, seed: int) -> dict[str, NDArray[np.float32]]:
    """Untrained weights: norms of one, matrices from a normal distribution."""
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return np.asarray(rng.standard_normal((rows, columns)) * columns**-0.5, np.float32)

    kv = shape.kv_heads * shape.head_width
    made = {
        "embedding.weight": matrix(shape.vocabulary, shape.width),
        "norm.weight": np.ones(shape.width, np.float32),
    }
    for i in range(shape.layers):
        made |= {
            f"layers.{i}.attention_norm.weight": np.ones(shape.width, np.float32),
            f"layers.{i}.qkv.weight": matrix(shape.width + 2 * kv, shape.width),
            f"layers.{i}.output.weight": matrix(shape.width, shape.width),
            f"layers.{i}.ffn_norm.weight": np.ones(shape.width, np.float32),
            f"layers.{i}.gate_up.weight": matrix(2 * shape.feed_forward, shape.width),
            f"layers.{i}.down.weight": matrix(shape.width, shape.feed_forward),
        }
    return made


def write_random_gguf(path: Path, seed: int) -> None:
    """Writes such a model. Raises ModelError if the shipped model, for its tokeniser, cannot be read."""
    shape, tokens = Shape(), own_tokeniser(gguf.read(SHIPPED))
    write_model(
        path, shape, random_weights(shape, seed), tokens, {"weights": f"random, seed {seed}"}, q8=True
    )


def main(arguments: list[str]) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m ai.train.random_weights", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    write_random_gguf(chosen.out, chosen.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
