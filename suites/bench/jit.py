"""`jit`: A64 instructions emitted and executed for programs with figures of two peers; ours with the A64 model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.program import Hook, Program
from harness.bpf.a64_run import A64Run, run_a64
from harness.bpf.native import Engine

# Measured on this project's machine; the file's first lines describe what and how.
PEERS: Final = Path(__file__).parent / "data" / "jit_peers.tsv"


@dataclass(frozen=True, slots=True)
class Row:
    """One program: memory for r1, its result, and (emitted, executed) of each peer."""

    name: str
    memory: bytes
    insns: bytes
    r0: int
    ubpf: tuple[int, int]
    linux: tuple[int, int]


def rows() -> Iterator[Row]:
    """The programs of `PEERS`."""
    lines = [line for line in PEERS.read_text().splitlines() if line and not line.startswith("#")]
    for line in lines[1:]:
        name, memory, insns, r0, *counts = line.split("\t")
        numbers = [int(count) for count in counts[:4]]
        yield Row(
            name,
            bytes.fromhex(memory),
            bytes.fromhex(insns),
            int(r0, 16),
            (numbers[0], numbers[1]),
            (numbers[2], numbers[3]),
        )


def measure(engine: Engine, row: Row, *, verified: bool) -> A64Run:
    """One call of the row's program; with `verified` the JIT uses the verifier's knowledge of unreachable code."""
    program = Program(row.name, Hook.TEST, row.insns)
    load = engine.load if verified else engine.load_unverified
    return run_a64(load(program, test_mem_size=len(row.memory)), row.memory)


def main() -> int:
    """Prints the table; 1 if a result is wrong or a peer is better in a count, without the verifier's knowledge."""
    engine, missed = Engine(), 0
    print(
        "A64 instructions emitted / executed, one call, first to last of the JITed code; goal: below both peers"
    )
    head = f"{'program':<24}{'uBPF':>12}{'Linux 6.12':>12}{'ours':>12}{'verified':>12}  verdict"
    print(head)
    for row in rows():
        plain, known = measure(engine, row, verified=False), measure(engine, row, verified=True)
        ours = (plain.emitted, plain.executed)
        right = plain.r0 == row.r0 == known.r0
        beaten = all(ours[n] < min(row.ubpf[n], row.linux[n]) for n in (0, 1))
        missed += not (right and beaten)
        cells = [f"{a}/{b}" for a, b in (row.ubpf, row.linux, ours, (known.emitted, known.executed))]
        verdict = "pass" if right and beaten else "wrong result" if not right else "missed"
        print(f"{row.name:<24}" + "".join(f"{cell:>12}" for cell in cells) + f"  {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
