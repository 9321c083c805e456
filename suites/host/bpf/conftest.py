"""The engine in both builds, once per session; programs from a few instructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from contracts.program import Hook, MapDef, Program
from harness.bpf import asm
from harness.bpf.native import Engine, Loaded, RunResult
from harness.bpf.native_build import Variant

LoadItems = Callable[..., Loaded]
RunItems = Callable[..., RunResult]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The shipped engine."""
    return Engine()


@pytest.fixture(scope="session")
def checked_engine() -> Engine:
    """The same sources, trapping on undefined behaviour."""
    return Engine(Variant.CHECKED)


@pytest.fixture
def load(engine: Engine) -> LoadItems:
    """Assembles and verifies: load(*items, mem=0, hook=Hook.TEST, maps=())."""

    def _load(*items: asm.Item, mem: int = 0, hook: Hook = Hook.TEST, maps: Sequence[MapDef] = ()) -> Loaded:
        return engine.load(Program("t", hook, asm.assemble(items), tuple(maps)), test_mem_size=mem)

    return _load


@pytest.fixture
def run_unverified(engine: Engine) -> RunItems:
    """Assembles and interprets without verification: run_unverified(*items, memory=b"", fuel=10000)."""

    def _run(*items: asm.Item, memory: bytes = b"", fuel: int = 10_000) -> RunResult:
        program = Program("t", Hook.TEST, asm.assemble(items))
        return engine.load_unverified(program, test_mem_size=len(memory)).interpret(memory, fuel=fuel)

    return _run
