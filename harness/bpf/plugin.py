"""Runs one program given in hexadecimal and prints r0: the plugin protocol of the bpf_conformance runner.

`[MEMORY] [--program HEX] [--unverified]`: the program is in `--program`, or on standard input as a line of hexadecimal
bytes; MEMORY, also hexadecimal, is what r1 points to (r2 is its size). Prints r0 in hexadecimal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TextIO

from contracts.errors import AssayError, ConfigError, ProgramRejected
from contracts.program import Hook, Program
from harness.bpf.native import Engine, RunEnd

_UNVERIFIED_FUEL = 50_000_000


def _bytes(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex("".join(text.split()))
    except ValueError as bad:
        raise ConfigError(
            f"the {what} is not hexadecimal",
            expected="pairs of 0-9, a-f, with or without spaces",
            seen=str(bad),
        ) from bad


def run(program: bytes, memory: bytes, *, verify: bool = True) -> int:
    """r0 after one interpreted run of a `test` program. Raises ProgramRejected if it is refused or fails."""
    given = Program("stdin", Hook.TEST, program)
    engine = Engine()
    if verify:
        result = engine.load(given, test_mem_size=len(memory)).interpret(memory)
    else:
        loaded = engine.load_unverified(given, test_mem_size=len(memory))
        result = loaded.interpret(memory, fuel=_UNVERIFIED_FUEL)
    if result.end is not RunEnd.OK:
        raise ProgramRejected(
            f"the run ended at slot {result.slot}",
            stage="execute",
            reason=f"{result.end.name} after {result.executed} instructions, address {result.address:#x}",
        )
    return result.r0


def main(
    arguments: Sequence[str], source: TextIO = sys.stdin, out: TextIO = sys.stdout, err: TextIO = sys.stderr
) -> int:
    """The command: exit code 0 with r0 on `out`, or the error's code with its text on `err`."""
    parser = argparse.ArgumentParser(
        prog="assay bpf run", description="verify and interpret one eBPF program"
    )
    parser.add_argument("memory", nargs="?", default="", help="what r1 points to, in hexadecimal")
    parser.add_argument("--program", help="the program in hexadecimal (default: standard input)")
    parser.add_argument("--unverified", action="store_true", help="interpret without verifying first")
    options = parser.parse_args(arguments)
    try:
        text = source.read() if options.program is None else options.program
        r0 = run(_bytes(text, "program"), _bytes(options.memory, "memory"), verify=not options.unverified)
    except AssayError as error:
        err.write(f"{error}\n")
        return error.exit_code
    out.write(f"{r0:x}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
