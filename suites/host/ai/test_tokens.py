"""The tokeniser is lossless, and llama.cpp splits text in the same way."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai import prompt
from ai.model import Model
from ai.scenarios.parameters import ENTRIES, FAMILIES, LIMITS, WINDOWS_MS, draw
from ai.scenarios.programs import reference
from ai.tokens import WORDS, Tokeniser, split_words
from ai.train.data import examples

PLAIN = Tokeniser([*"abcdefghijklmnopqrstuvwxyz ", "ab", "abc"])


@given(st.text(max_size=60))
def test_any_text_comes_back(text: str) -> None:
    assert PLAIN.decode(PLAIN.encode(text)) == text


@given(st.text(alphabet="dsporthu3264_ ", max_size=40))
def test_splitting_at_words_loses_nothing(text: str) -> None:
    assert "".join(split_words(text, sorted(WORDS, key=len, reverse=True))) == text


def test_the_best_pair_is_merged_first() -> None:
    vocabulary = PLAIN.vocabulary()
    assert [vocabulary[i] for i in PLAIN.encode("abcab")] == [b"abc", b"ab"]


@pytest.mark.parametrize(
    "number", sorted({*ENTRIES, *WINDOWS_MS[1:], *(n for v in LIMITS.values() for n in v)})
)
def test_a_closed_set_number_is_one_token_in_prompt_and_code(model: Model, number: int) -> None:
    assert model.tokeniser is not None
    (token,) = model.tokeniser.encode(str(number))
    assert token in model.tokeniser.encode(f"limit: {number} in total\n")
    assert token in model.tokeniser.encode(f"\tif (*n > {number})\n")


def test_llama_cpp_cuts_prompts_and_programs_as_training_did(model: Model) -> None:
    from random import Random

    assert model.tokeniser is not None
    rng = Random(5)
    for i in range(100):
        p = draw(FAMILIES[i % len(FAMILIES)], rng)
        for text in (prompt.compact_parameters(p, "udp 81%, top source 47%"), reference(p)):
            assert model.tokenise(text, special=True) == model.tokeniser.encode(text)


def test_pieces_are_the_vocabulary_whatever_their_length(model: Model) -> None:
    assert model.tokeniser is not None
    vocabulary = model.tokeniser.vocabulary()
    assert [model.piece(i) for i in range(4, model.vocabulary_size)] == vocabulary[4:]
    assert max(map(len, vocabulary)) > 32


def test_programs_are_short_in_tokens(model: Model) -> None:
    assert model.tokeniser is not None
    lengths = [len(model.tokeniser.encode(e.program)) for e in islice(examples(3), 300)]
    assert max(lengths) <= 100
