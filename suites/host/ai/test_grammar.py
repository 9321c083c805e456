"""The grammar admits the restricted C and all reference programs, and nothing else."""

from __future__ import annotations

from random import Random

import pytest

from ai.grammar import GBNF, ROOT
from ai.model import Model
from ai.scenarios.parameters import FAMILIES, draw
from ai.scenarios.programs import EMPTY, PREFIX, reference


def _admitted(model: Model, source: str) -> int:
    """How many characters of the program after the include are admitted, token by token."""
    assert model.tokeniser is not None
    rules = model.grammar(GBNF, ROOT)
    done = 0
    try:
        for token in model.tokeniser.encode(source.removeprefix(PREFIX)):
            if not rules.allows(token):
                break
            rules.accept(token)
            done += len(model.piece(token))
    finally:
        rules.close()
    return done


@pytest.mark.parametrize("family", FAMILIES)
def test_every_reference_is_a_sentence(model: Model, family: str) -> None:
    rng = Random(family)
    for _ in range(60):
        source = reference(draw(family, rng))
        assert _admitted(model, source) == len(source) - len(PREFIX), source


def test_the_empty_program_is_a_sentence(model: Model) -> None:
    assert _admitted(model, EMPTY) == len(EMPTY) - len(PREFIX)


@pytest.mark.parametrize(
    "statement",
    [
        "for (;;)\n\t\t;",
        "while (1)\n\t\treturn XDP_PASS;",
        'asm volatile("exit");',
        "goto out;",
        "char buffer[4096];",
        "u64 key = *(u64 *)ctx;",
        "system(1);",
        "bpf_trace_printk(1, 2);",
        "return 7;",
        "#define X 1",
        "u32 key = f.saddr /* so */;",
    ],
)
def test_what_leaves_the_restricted_c_is_stopped(model: Model, statement: str) -> None:
    parse = "\tstruct flow f;\n\n\tif (!parse_flow(ctx, &f))\n\t\treturn XDP_PASS;\n"
    head, tail = EMPTY.split("\treturn")
    source = f"{head}{parse}\t{statement}\n\treturn{tail}"
    assert _admitted(model, source) < source.index(statement) + len(statement) - len(PREFIX)


def test_a_program_has_one_end(model: Model) -> None:
    whole = len(EMPTY) - len(PREFIX)
    assert _admitted(model, EMPTY + EMPTY.removeprefix(PREFIX)) == whole
