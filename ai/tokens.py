"""The tokeniser of the shipped model: SentencePiece-style merges over superwords, compatible with llama.cpp.

Vocabulary layout: 0 `<unk>`, 1 `<s>`, 2 `</s>`, 3 `<program>` (ends the prompt), 4 to 259 the bytes, then the
closed-set words (never merged with their neighbours), then merged pieces by falling score, single characters last.
Text is split at the closed-set words, longest first; within a fragment the adjacent pair whose join has the best score
is merged until none is left; text without a piece falls back to bytes. Spaces are ordinary characters, so a piece may
span words.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

UNKNOWN: Final = 0
BEGIN: Final = 1
END: Final = 2
PROGRAM: Final = 3
FIRST_BYTE: Final = 4
SPECIALS: Final = ("<unk>", "<s>", "</s>", "<program>")
FIRST_WORD: Final = FIRST_BYTE + 256

WORDS: Final = (
    # keys and measures: the same token in prompt, map name and code
    *(
        "source",
        "dest",
        "subnet",
        "pair",
        "dport",
        "sport",
        "proto",
        "packets",
        "bytes",
        "ports",
        "hosts",
        "both",
    ),
    # map name prefixes
    *(
        "rate_",
        "volume_",
        "ports_",
        "hosts_",
        "packets_",
        "bytes_",
        "tally_",
        "last_",
        "gap_log2",
        "log2_floor",
    ),
    # types that hold digits
    *("u32", "u64"),
    # numbers of the closed sets (and buckets - 1)
    *("8", "12", "16", "20", "24", "32", "6", "64", "128", "256", "512", "1024", "1536", "2048", "3072"),
    *("96", "10", "100", "1000", "15", "23", "31"),
)


class Tokeniser:
    """Encodes and decodes. `pieces` are the merged pieces in order of falling score (single characters last)."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self._ids = {piece: FIRST_WORD + len(WORDS) + i for i, piece in enumerate(self.pieces)}
        self._words = {word: FIRST_WORD + i for i, word in enumerate(WORDS)}
        self._split_order = sorted(WORDS, key=len, reverse=True)
        self._fragment = lru_cache(maxsize=65536)(self._merge)

    def __len__(self) -> int:
        return FIRST_WORD + len(WORDS) + len(self.pieces)

    def vocabulary(self) -> list[bytes]:
        """The text of every token, in order of id; empty for the special ones."""
        words = [w.encode() for w in (*WORDS, *self.pieces)]
        return [b""] * len(SPECIALS) + [bytes([b]) for b in range(256)] + words

    def score(self, token: int) -> float:
        """Merge priority of a token: higher merges first."""
        return float(FIRST_WORD + len(WORDS) - token) if token >= FIRST_WORD + len(WORDS) else 0.0

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens."""
        out: list[int] = []
        for fragment in split_words(text, self._split_order):
            if fragment in self._words:
                out.append(self._words[fragment])
            else:
                out.extend(self._fragment(fragment))
        return out

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special tokens give nothing, broken UTF-8 is replaced."""
        vocabulary = self.vocabulary()
        return b"".join(vocabulary[i] for i in ids).decode("utf-8", "replace")

    def _merge(self, text: str) -> tuple[int, ...]:
        symbols: list[str | None] = list(text)
        following = [*range(1, len(text)), -1]
        previous = list(range(-1, len(text) - 1))
        heap: list[tuple[int, int, str]] = []

        def consider(left: int, right: int) -> None:
            if left >= 0 and right >= 0:
                joined = f"{symbols[left]}{symbols[right]}"
                token = self._ids.get(joined)
                if token is not None:
                    heapq.heappush(heap, (token, left, joined))

        for i in range(len(text) - 1):
            consider(i, i + 1)
        while heap:
            _, left, joined = heapq.heappop(heap)
            right = following[left] if symbols[left] is not None else -1
            if right < 0 or f"{symbols[left]}{symbols[right]}" != joined:
                continue
            symbols[left], symbols[right] = joined, None
            following[left] = following[right]
            if following[left] >= 0:
                previous[following[left]] = left
            consider(previous[left], left)
            consider(left, following[left])
        out: list[int] = []
        for symbol in symbols:
            if symbol is None:
                continue
            token = self._ids.get(symbol)
            out.extend([token] if token is not None else [FIRST_BYTE + b for b in symbol.encode()])
        return tuple(out)


def split_words(text: str, words: Sequence[str]) -> list[str]:
    """`text` split at every occurrence of `words`, in the order given; without empty fragments."""
    fragments: list[tuple[str, bool]] = [(text, False)]
    for word in words:
        if word not in text:
            continue
        cut: list[tuple[str, bool]] = []
        for fragment, whole in fragments:
            if whole or word not in fragment:
                cut.append((fragment, whole))
                continue
            parts = fragment.split(word)
            for i, part in enumerate(parts):
                if part:
                    cut.append((part, False))
                if i + 1 < len(parts):
                    cut.append((word, True))
        fragments = cut
    return [fragment for fragment, _ in fragments]
