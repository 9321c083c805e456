"""The conformance plugin: hexadecimal in, r0 out, or a message."""

from __future__ import annotations

from io import StringIO

import pytest

from harness.bpf import asm
from harness.bpf.plugin import main

LENGTH = asm.assemble([asm.mov64(0, asm.Reg(2)), asm.exit_()]).hex()


def run(*arguments: str, given: str = "") -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    return main(arguments, StringIO(given), out, err), out.getvalue(), err.getvalue()


def test_the_program_comes_from_standard_input_and_memory_is_the_argument() -> None:
    assert run("aa bb cc", given=LENGTH) == (0, "3\n", "")
    assert run(given=" ".join(LENGTH[i : i + 2] for i in range(0, len(LENGTH), 2)) + "\n") == (0, "0\n", "")


def test_the_program_may_be_an_argument() -> None:
    assert run("--program", LENGTH, "ff" * 16) == (0, "10\n", "")


def test_r0_is_printed_in_hexadecimal() -> None:
    code = asm.assemble([asm.mov64(0, -1), asm.exit_()]).hex()
    assert run(given=code)[1] == "ffffffffffffffff\n"


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (("zz",), LENGTH, "memory is not hexadecimal"),
        ((), "b7", "8-byte slots"),
        ((), "95" + "00" * 7, "r0 is not set"),
    ],
)
def test_what_cannot_be_run_is_an_error_with_a_message(
    arguments: tuple[str, ...], given: str, words: str
) -> None:
    code, out, err = run(*arguments, given=given)
    assert code != 0
    assert out == ""
    assert words in err
