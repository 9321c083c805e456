"""The engine, and its encoder of immediates, for every test of the JIT."""

from __future__ import annotations

import pytest

from harness.bpf.native import Engine
from suites.host.jit.immediates import Immediates


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The shipped engine, built for this host."""
    return Engine()


@pytest.fixture(scope="session")
def immediates() -> Immediates:
    """firmware/bpf/a64_imm.c."""
    return Immediates()
