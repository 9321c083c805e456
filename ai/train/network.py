"""The network: a Llama of about 3 million parameters, in the exact arithmetic that llama.cpp's `llama` graph uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ai.train.shape import Shape


class Layer(nn.Module):
    """One pre-norm transformer layer: grouped-query attention with interleaved RoPE, then SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv = shape.kv_heads * shape.head_width
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.qkv = nn.Linear(shape.width, shape.width + 2 * kv, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.gate_up = nn.Linear(shape.width, 2 * shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x: (batch, time, width)."""
        s = self.shape
        batch, time, _ = x.shape
        kv = s.kv_heads * s.head_width
        q, k, v = self.qkv(self.attention_norm(x)).split((s.width, kv, kv), dim=-1)
        q = rotate(q.view(batch, time, s.heads, s.head_width).transpose(1, 2), cos, sin)
        k = rotate(k.view(batch, time, s.kv_heads, s.head_width).transpose(1, 2), cos, sin)
        v = v.view(batch, time, s.kv_heads, s.head_width).transpose(1, 2)
        share = s.heads // s.kv_heads
        k, v = k.repeat_interleave(share, dim=1), v.repeat_interleave(share, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, time, s.width))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        down: Tensor = self.down(F.silu(gate) * up)
        return x + down


class Llama(nn.Module):
    """Token ids (batch, time) to hidden states; `logits` applies the tied output matrix to selected ones."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5 if deep else 0.02)
        angle = torch.arange(shape.context)[:, None] * shape.rope_base ** (
            -torch.arange(0, shape.head_width, 2)[None, :] / shape.head_width
        )
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states after the last norm, (batch, time, width)."""
        time = tokens.shape[1]
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.cos[:time], self.sin[:time])  # type: ignore[index]
        normed: Tensor = self.norm(x)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits over the vocabulary of any (…, width) hidden states."""
        return hidden @ self.embedding.weight.T


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Interleaved RoPE (pairs 2i, 2i+1), which GGUF's `llama` architecture uses without a permutation."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
