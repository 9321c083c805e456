"""Learns the merges: byte-pair merges over chunks that end at newlines, digits and closed-set words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from ai.tokens import FIRST_WORD, WORDS, split_words

CHUNK: Final = re.compile(r"\d|[^\d\n]*\n|[^\d\n]+")
PIECE_MAX: Final = 40
"""Maximum length of a piece in characters."""


def learn(texts: Iterable[str], size: int) -> list[str]:
    """Pieces in order of falling score: merges in learned order, then single characters. `size` is the vocabulary size."""
    order = sorted(WORDS, key=len, reverse=True)
    chunks: Counter[str] = Counter()
    for text in texts:
        for fragment in split_words(text, order):
            if fragment not in WORDS:
                chunks.update(CHUNK.findall(fragment))
    characters = sorted({*map(chr, range(0x20, 0x7F)), "\n", "\t"} - set(WORDS))
    words = [([*chunk], count) for chunk, count in sorted(chunks.items())]
    merges: list[str] = []
    while len(merges) < size - FIRST_WORD - len(WORDS) - len(characters):
        pairs: Counter[str] = Counter()
        for symbols, count in words:
            for left, right in pairwise(symbols):
                if len(left) + len(right) <= PIECE_MAX:
                    pairs[left + right] += count
        if not pairs:
            break
        best = min(pairs, key=lambda joined: (-pairs[joined], joined))
        if pairs[best] < 20:
            break
        merges.append(best)
        for symbols, _ in words:
            _join(symbols, best)
    return merges + characters


def _join(symbols: list[str], joined: str) -> None:
    i = 0
    while i + 1 < len(symbols):
        if symbols[i] + symbols[i + 1] == joined:
            symbols[i : i + 2] = [joined]
        i += 1
