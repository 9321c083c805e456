"""The host engine's first use may come from several threads at once."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys, threading
sys.setswitchinterval(1e-6)
from harness.bpf.asm import assemble, exit_, mov64
from contracts.program import Hook, MapDef, MapType, Program
from harness.bpf.native import Engine
program = Program("t", Hook.TEST, assemble([mov64(0, 1), exit_()]), (MapDef("m", MapType.ARRAY, 4, 8, 4),))
start, errors = threading.Barrier(8), []
def use():
    start.wait(30)
    try:
        Engine().load(program)
    except Exception as error:
        errors.append(repr(error))
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
print(errors)
"""


def test_threads_that_load_the_engine_together_get_one_interface() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
