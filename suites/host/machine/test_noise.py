"""Waiting for a processor is distinguished from working and from sleeping."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.root import ROOT

_MEASURE = """
import os, subprocess, sys, time
from harness.machine.noise import Waiting
def spin(s):
    end = time.monotonic() + s
    while time.monotonic() < end: pass
os.sched_setaffinity(0, {int(sys.argv[1])})
asleep = Waiting(); time.sleep(0.3); asleep_ns = asleep.so_far_ns()
other = subprocess.Popen([sys.executable, "-c", "import time\\nend=time.monotonic()+60\\nwhile time.monotonic()<end: pass"])
try:
    time.sleep(0.3)
    busy, both = Waiting(), Waiting([other.pid])
    spin(1.0)
    print(asleep_ns, busy.so_far_ns(), both.so_far_ns())
finally:
    other.kill(); other.wait()
"""


def test_waiting_counts_a_contended_processor_and_not_sleep() -> None:
    if not Path("/proc/thread-self/schedstat").exists():
        pytest.skip("this kernel keeps no schedstat")
    processor = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, processor],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    asleep, busy, both = (int(word) for word in done.stdout.split())
    assert asleep < busy
    assert busy > 200e6, "two that spin on one processor wait for each other"
    assert both > busy + 200e6, "the other process waited, too"
