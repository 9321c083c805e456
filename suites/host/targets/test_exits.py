"""How a QEMU ended says whose fault it was, and where the fault came from."""

from __future__ import annotations

import subprocess

import pytest

from contracts.errors import BoardLost, Cause, InfraError, KernelError
from targets.exits import explain_exit


def ended(command: str) -> tuple[int, str]:
    """Exit code and messages of a real process, as QEMU's are taken."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("kill -KILL $$", Cause.OUTSIDE),
        ("kill -TERM $$", Cause.OUTSIDE),
        ("kill -XCPU $$", Cause.OUTSIDE),
        ("echo 'qemu: terminating on signal 15 from pid 1' >&2", Cause.OUTSIDE),
        ("echo 'cannot set up guest memory: Cannot allocate memory' >&2; exit 1", Cause.MACHINE),
        ("echo 'GLib: failed to allocate 4096 bytes' >&2; kill -TRAP $$", Cause.MACHINE),
        ("echo 'something of QEMU' >&2; exit 1", Cause.ITSELF),
    ],
)
def test_a_qemu_that_went_for_no_fault_of_the_kernel(command: str, cause: Cause) -> None:
    error = explain_exit("qemu-virt", *ended(command))
    assert isinstance(error, BoardLost)
    assert error.cause is cause


@pytest.mark.parametrize("command", ["kill -ABRT $$", "kill -SEGV $$", "exit 0"])
def test_a_qemu_that_the_kernel_brought_down(command: str) -> None:
    error = explain_exit("qemu-virt", *ended(command))
    assert isinstance(error, KernelError)
    assert not isinstance(error, InfraError)
