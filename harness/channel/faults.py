"""A kernel's FAULT event as readable text."""

from __future__ import annotations

from typing import Final

from contracts.errors import KernelFault
from contracts.wire.events import FaultEvent

_KINDS: Final = ("synchronous exception", "SError", "FIQ", "nested fault", "panic", "exception from EL0")


def render_fault(event: FaultEvent) -> str:
    """Registers, as ARM DDI 0487 names them, and the backtrace (return addresses, innermost first)."""
    kind = _KINDS[event.vector] if event.vector < len(_KINDS) else f"kind {event.vector}"
    lines = [
        f"kernel fault on core {event.core}: {kind}",
        f"  {event.text.decode('utf-8', 'replace')}",
        f"  ESR_EL1 {event.esr:#018x}  FAR_EL1 {event.far:#018x}",
        f"  ELR_EL1 {event.elr:#018x}  SPSR_EL1 {event.spsr:#018x}  SP {event.sp:#018x}",
    ]
    for first in range(0, len(event.x), 4):
        row = (f"x{n:<2} {event.x[n]:#018x}" for n in range(first, min(first + 4, len(event.x))))
        lines.append("  " + "  ".join(row))
    calls = [address for address in event.backtrace if address]
    if calls:
        lines.append("  backtrace " + " ".join(f"{address:#x}" for address in calls))
    return "\n".join(lines)


def fault_error(event: FaultEvent) -> KernelFault:
    """The error that every request to a dead kernel raises."""
    report = render_fault(event)
    return KernelFault(
        "the kernel died of its own fault",
        report=report,
        expected="a kernel that contains or refuses every input",
        seen=report,
        do="look up ELR_EL1 and the backtrace in the kernel's ELF; the transcript has the requests",
    )
