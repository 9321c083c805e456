"""Trains the model from scratch: `python -m ai.train.run --steps N --seed S --out DIR`.

Writes DIR/tokeniser.json first, then DIR/checkpoint.pt (weights, shape, step) every few minutes and at the end, with
one JSON line of scores for each in DIR/log.jsonl. `--minutes` ends the schedule early on a slow machine; `--resume DIR`
continues from an earlier run's weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ai import prompt
from ai.scenarios.parameters import FAMILIES, Parameters, draw, held_out
from ai.scenarios.programs import PREFIX, reference
from ai.tokens import BEGIN, END, PROGRAM, Tokeniser
from ai.train import data, tokeniser
from ai.train.muon import Muon
from ai.train.network import Llama
from ai.train.shape import Shape

VOCABULARY: Final = 1024
BATCH_TOKENS: Final = 4096
MUON_RATE: Final = 0.02
ADAM_RATE: Final = 4e-3
WARMUP_STEPS: Final = 30
DECAY_FROM: Final = 0.55
"""Progress at which the learning rate starts to decrease linearly to zero."""
RESUMED_RATE: Final = 0.4
"""Peak learning rate of a resumed run, as a share of a new run's; it decreases from the start."""
CHECKPOINT_S: Final = 180.0

Row = tuple[list[int], int]
"""Token ids, and the length of the prompt."""


def row(tokens: Tokeniser, example: data.Example) -> Row:
    """`<s> prompt <program> program </s>`, and the length of the part up to `<program>`."""
    head = [BEGIN, *tokens.encode(example.prompt), PROGRAM]
    return [*head, *tokens.encode(example.program), END], len(head)


def batches(tokens: Tokeniser, seed: int, size: int) -> Iterator[list[Row]]:
    """Batches of about `size` tokens from rows of similar length, to limit padding."""
    stream, order = data.examples(seed), Random(seed)
    while True:
        pool = sorted((row(tokens, next(stream)) for _ in range(600)), key=lambda r: len(r[0]))
        cut: list[list[Row]] = [[]]
        for one in pool:
            if (len(cut[-1]) + 1) * len(one[0]) > size:
                cut.append([])
            cut[-1].append(one)
        order.shuffle(cut)
        yield from cut


def tensors(rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Inputs (batch, time) and targets of the same shape, -1 for no target (prompt, padding)."""
    longest = max(len(ids) for ids, _ in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, (ids, _) in enumerate(rows):
        tokens[i, : len(ids)] = torch.tensor(ids)
    targets = torch.full_like(tokens, -1)
    for i, (ids, head) in enumerate(rows):
        targets[i, head - 1 : len(ids) - 1] = torch.tensor(ids[head:])
    return tokens[:, :-1], targets[:, :-1]


def exam(tokens: Tokeniser, per_split: int) -> dict[str, list[Row]]:
    """Fixed examples of seen compositions and of each hold-out, with the prompts used at run time."""
    rng, found = Random("exam"), {"": [], "composition": [], "template": []}  # type: ignore[var-annotated]
    while any(len(rows) < per_split for rows in found.values()):
        parameters: Parameters = draw(rng.choice(FAMILIES), rng)
        rows = found[held_out(parameters)]
        if len(rows) < per_split:
            text = prompt.compact_parameters(parameters, data.evidence(parameters, rng))
            rows.append(row(tokens, data.Example(text, reference(parameters).removeprefix(PREFIX))))
    return {name or "seen": rows for name, rows in found.items()}


@torch.no_grad()
def score(network: Llama, rows: list[Row]) -> float:
    """Share of rows in which every program token is the argmax: those that greedy generation would reproduce."""
    right = 0
    for start in range(0, len(rows), 32):
        inputs, targets = tensors(rows[start : start + 32])
        best = network.logits(network(inputs)).argmax(-1)
        right += int(((best == targets) | (targets < 0)).all(-1).sum())
    return right / len(rows)


def save(out: Path, network: Llama, step: int, record: dict[str, object]) -> None:
    """Writes the checkpoint atomically (with a temporary name) and appends `record` to the log."""
    partial = out / "checkpoint.partial"
    torch.save({"shape": asdict(network.shape), "weights": network.state_dict(), "step": step}, partial)
    partial.replace(out / "checkpoint.pt")
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(record) + "\n")
    print(json.dumps(record), flush=True)


def train(
    steps: int,
    seed: int,
    out: Path,
    minutes: float | None,
    shape: Shape,
    threads: int,
    resume: Path | None = None,
) -> Llama:
    """Trains and returns the network; see the module's docstring for what it writes."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    pieces = _pieces(seed, resume)
    (out / "tokeniser.json").write_text(json.dumps(pieces))
    tokens = Tokeniser(pieces)
    network = Llama(shape)
    if resume:
        network.load_state_dict(torch.load(resume / "checkpoint.pt", weights_only=True)["weights"])
    peak, decay_from = (RESUMED_RATE, 0.0) if resume else (1.0, DECAY_FROM)
    matrices = [p for n, p in network.named_parameters() if p.dim() == 2 and "embedding" not in n]
    others = [p for n, p in network.named_parameters() if p.dim() != 2 or "embedding" in n]
    muon, adam = Muon(matrices), torch.optim.Adam(others, betas=(0.9, 0.97))
    tests = exam(tokens, 96)
    began = saved = time.monotonic()
    seen_tokens, losses, progress, step = 0, [], 0.0, 0
    for step, rows in enumerate(batches(tokens, seed, BATCH_TOKENS), 1):
        elapsed = time.monotonic() - began
        progress = max(step / steps, elapsed / (minutes * 60) if minutes else 0.0)
        if progress >= 1.0:
            break
        rate = peak * min(step / WARMUP_STEPS, 1.0, (1 - progress) / (1 - decay_from))
        inputs, targets = tensors(rows)
        hidden, asked = network(inputs), targets >= 0
        loss = F.cross_entropy(network.logits(hidden[asked]), targets[asked])
        loss.backward()  # type: ignore[no-untyped-call]
        muon.step(MUON_RATE * rate)
        for group in adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        adam.step()
        network.zero_grad(set_to_none=True)
        seen_tokens += inputs.numel()
        losses.append(float(loss.detach()))
        if step % 20 == 0:
            speed = seen_tokens / (time.monotonic() - began)
            print(
                f"step {step} progress {progress:.3f} loss {sum(losses[-20:]) / 20:.4f} {speed:.0f} tok/s",
                flush=True,
            )
        if time.monotonic() - saved > CHECKPOINT_S:
            saved = time.monotonic()
            save(out, network, step, _record(network, tests, step, seen_tokens, losses, began, seed))
    save(out, network, step, _record(network, tests, step, seen_tokens, losses, began, seed))
    return network


def _pieces(seed: int, resume: Path | None) -> list[str]:
    if resume is None:
        return tokeniser.learn(data.corpus(seed, 6000), VOCABULARY)
    pieces: list[str] = json.loads((resume / "tokeniser.json").read_text())
    return pieces


def _record(
    network: Llama,
    tests: dict[str, list[Row]],
    step: int,
    tokens: int,
    losses: list[float],
    began: float,
    seed: int,
) -> dict[str, object]:
    exact = {name: round(score(network, rows), 4) for name, rows in tests.items()}
    loss = round(sum(losses[-50:]) / max(len(losses[-50:]), 1), 5)
    return {
        "step": step,
        "seed": seed,
        "tokens": tokens,
        "wall_s": round(time.monotonic() - began),
        "loss": loss,
        "exact": exact,
    }


def main(arguments: list[str]) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m ai.train.run", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="maximum duration of the schedule in minutes")
    parser.add_argument("--resume", type=Path, help="start with the tokeniser and weights of this folder")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    train(chosen.steps, chosen.seed, chosen.out, chosen.minutes, Shape(), chosen.threads, chosen.resume)


if __name__ == "__main__":
    main(sys.argv[1:])
