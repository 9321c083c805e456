"""Checks that llama.cpp computes the same logits as training: reference logits from torch, compared with a GGUF's.

`python -m ai.train.parity write --checkpoint DIR --out FILE.npz` (or `--gguf FILE`, whose weights are dequantised)
needs torch; `python -m ai.train.parity compare --gguf FILE --reference FILE.npz` does not, so CI runs it on committed
logits.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ai import gguf
from ai.model import Model, own_tokeniser
from ai.tokens import BEGIN, END, PROGRAM, Tokeniser
from ai.train.data import examples
from ai.train.export import from_checkpoint, weights_of
from ai.train.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXTS: Final = 3
TEXTS_SEED: Final = 424_242
KEPT: Final = 8
"""A whole row of logits is stored at every n-th program position."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Largest difference of any stored logit, and the share of program positions with the same argmax."""

    max_abs: float
    argmax_share: float
    positions: int

    def __str__(self) -> str:
        return f"max |difference| {self.max_abs:.2e}, argmax {self.argmax_share:.1%} of {self.positions} positions"


def texts(tokens: Tokeniser) -> list[tuple[list[int], int]]:
    """Fixed token rows, with the length of their prompts."""
    rows = []
    for example in islice(examples(TEXTS_SEED), TEXTS):
        head = [BEGIN, *tokens.encode(example.prompt), PROGRAM]
        rows.append(([*head, *tokens.encode(example.program), END], len(head)))
    return rows


def torch_logits(
    shape: Shape, weights: Mapping[str, NDArray[np.float32]], ids: list[int]
) -> NDArray[np.float32]:
    """Logits of every position by torch in F32, (time, vocabulary)."""
    import torch

    from ai.train.network import Llama

    network = Llama(shape)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    with torch.no_grad():
        made: NDArray[np.float32] = network.logits(network(torch.tensor([ids])))[0].numpy()
    return made


def write(out: Path, shape: Shape, weights: Mapping[str, NDArray[np.float32]], tokens: Tokeniser) -> None:
    """Writes rows, argmaxes and the stored logits of every text."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for i, (ids, head) in enumerate(texts(tokens)):
        logits = torch_logits(shape, weights, ids)[head - 1 : -1]
        arrays |= {f"ids{i}": np.array(ids, np.int32), f"head{i}": np.array(head)}
        arrays |= {f"argmax{i}": logits.argmax(-1).astype(np.int32), f"logits{i}": logits[::KEPT]}
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]


def compare(path: Path, reference: Path) -> Agreement:
    """The difference between llama.cpp's logits for the GGUF at `path` and the reference. Raises ModelError."""
    worst, same, positions = 0.0, 0, 0
    with np.load(reference) as kept, Model(path) as model:
        for i in range(TEXTS):
            ids, head = kept[f"ids{i}"].tolist(), int(kept[f"head{i}"])
            rows = [model.begin(ids[:head]).copy()]
            rows += [model.advance(token).copy() for token in ids[head:-1]]
            logits = np.stack(rows)
            worst = max(worst, float(np.abs(logits[::KEPT] - kept[f"logits{i}"]).max()))
            same += int((logits.argmax(-1) == kept[f"argmax{i}"]).sum())
            positions += len(rows)
    return Agreement(worst, same / positions, positions)


def dequantised(path: Path, out: Path) -> None:
    """Writes the GGUF at `path` again with every tensor in F32, to exclude quantisation from a comparison."""
    file = gguf.read(path)
    gguf.write(out, file.metadata, {name: file.floats(name) for name in file.tensors}, q8=False)


def main(arguments: list[str]) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m ai.train.parity", description=(__doc__ or "").split("\n\n")[0]
    )
    what = parser.add_subparsers(dest="what", required=True)
    writing = what.add_parser("write")
    source = writing.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path)
    source.add_argument("--gguf", type=Path)
    writing.add_argument("--out", type=Path, required=True)
    comparing = what.add_parser("compare")
    comparing.add_argument("--gguf", type=Path, required=True)
    comparing.add_argument("--reference", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    if chosen.what == "compare":
        print(compare(chosen.gguf, chosen.reference))
    elif chosen.checkpoint:
        shape, weights, tokens, _ = from_checkpoint(chosen.checkpoint)
        write(chosen.out, shape, weights, tokens)
    else:
        file = gguf.read(chosen.gguf)
        write(chosen.out, Shape(), weights_of(Shape(), file), own_tokeniser(file))


if __name__ == "__main__":
    main(sys.argv[1:])
