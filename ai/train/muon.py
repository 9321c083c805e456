"""Muon: momentum whose update for a matrix is orthogonalised by Newton-Schulz steps (K. Jordan, 2024).

It needs fewer steps than Adam for this task, which matters when training on two CPU cores.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Muon:
    """Steps the given 2-D parameters. `heads_of` rows of a fused matrix are treated as one matrix."""

    def __init__(
        self, parameters: Sequence[nn.Parameter], momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        self.parameters = list(parameters)
        self.momentum = momentum
        self.decay = decay
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update with learning rate `rate`; parameters of one shape are orthogonalised together."""
        groups: dict[torch.Size, list[int]] = {}
        for i, p in enumerate(self.parameters):
            if p.grad is None:
                continue
            self.buffers[i].lerp_(p.grad, 1 - self.momentum)
            groups.setdefault(p.shape, []).append(i)
        for shape, members in groups.items():
            stacked = torch.stack(
                [self.parameters[i].grad.lerp(self.buffers[i], self.momentum) for i in members]  # type: ignore[union-attr]
            )
            updates = orthogonal(stacked)
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for i, update in zip(members, updates, strict=True):
                self.parameters[i].mul_(1 - rate * self.decay)
                self.parameters[i].add_(update, alpha=-rate * scale)


def orthogonal(g: Tensor, steps: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrices to a stack (n, rows, columns), roughly: singular values in 0.7 to 1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = g.shape[-2] > g.shape[-1]
    x = g.mT if tall else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
