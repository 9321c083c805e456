"""How a QEMU process ended, and who is at fault."""

from __future__ import annotations

import re
import signal
from typing import Final

from contracts.errors import AssayError, BoardLost, Cause, KernelError

# Signals that a program causes itself; any other came from outside.
_OWN_FAULTS: Final = frozenset(
    {
        signal.SIGABRT,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)


def is_own_fault(number: int) -> bool:
    """Whether a program causes this signal itself; any other came from outside."""
    return number in _OWN_FAULTS


def signal_name(number: int) -> str:
    """`SIGKILL` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def stopped_error(kind: str) -> AssayError:
    """The error for a stopped QEMU: no kernel under test can cause that."""
    return BoardLost(
        f"board {kind}: QEMU was stopped from outside",
        expected="QEMU running until the board is released",
        seen="a stopped process (SIGSTOP, or a debugger)",
        do="find what stopped it and run again",
        cause=Cause.OUTSIDE,
    )


_NO_MEMORY: Final = re.compile(
    r"failed to allocate|annot allocate memory|[Oo]ut of memory|No space left on device"
)
"""What QEMU and its libraries print when this machine has no memory; GLib then ends the process by a signal."""


def explain_exit(kind: str, code: int, stderr: str) -> AssayError:
    """The error for a QEMU that ended while its board was in use.

    `code` is subprocess's: negative for a signal. Killed from outside: BoardLost. QEMU aborted or the guest terminated
    the machine: KernelError. QEMU did not start: BoardLost with its message.
    """
    said = stderr.strip()[-2000:] or "no message"
    if code < 0 and not is_own_fault(-code):
        return BoardLost(
            f"board {kind}: QEMU was killed from outside",
            expected="QEMU running until the board is released",
            seen=signal_name(-code),
            do="find what killed it (out of memory? a clean-up script?) and run again",
            cause=Cause.OUTSIDE,
        )
    if code >= 0 and "terminating on signal" in said:
        return BoardLost(
            f"board {kind}: QEMU was killed from outside",
            expected="QEMU running until the board is released",
            seen=said,
            do="find what killed it and run again",
            cause=Cause.OUTSIDE,
        )
    if code != 0 and _NO_MEMORY.search(said):
        return BoardLost(
            f"board {kind}: this machine had no memory for QEMU",
            expected="a machine with enough memory for every board that runs on it",
            seen=said,
            do="run fewer boards in parallel, or free memory",
            cause=Cause.MACHINE,
        )
    if code < 0:
        return KernelError(
            f"board {kind}: QEMU aborted because of the kernel",
            expected="a machine that keeps running",
            seen=f"{signal_name(-code)}: {said}",
            do="see the last requests in the transcript",
        )
    if code == 0:
        return KernelError(
            f"board {kind}: the kernel terminated the machine",
            expected="a power-off or reset only on request",
            seen=f"QEMU exited with code 0: {said}",
            do="see the last requests in the transcript",
        )
    return BoardLost(
        f"board {kind}: QEMU failed",
        expected="QEMU running until the board is released",
        seen=f"exit code {code}: {said}",
        do="run `assay doctor`; check the `qemu` part of the board file",
    )
