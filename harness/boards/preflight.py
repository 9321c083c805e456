"""Preflight: finds what a session's boards lack before anything is leased, in well under a second."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.board import BoardSpec
from contracts.errors import AssayError, BoardLost, InfraError
from harness.lease.place_state import PlaceState, states
from targets.drivers import missing_parts
from targets.qemu import qemu_program

LIMIT_S: Final = 1.0
"""A part that does not answer within this time counts as missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one place, or (`place` empty) of a whole board type. `ok`: usable, maybe after its holder."""

    kind: str
    place: str
    ok: bool
    what: str
    expected: str = ""
    seen: str = ""
    do: str = ""
    console: bool = False
    """Whether the console is missing, which no other part of a place can replace."""

    def __str__(self) -> str:
        return str(InfraError(self.what, expected=self.expected, seen=self.seen, do=self.do))


def _bad(kind: str, place: str, error: AssayError) -> Finding:
    lost = isinstance(error, BoardLost)  # raised by consoles; switches and boot methods raise InfraError
    return Finding(kind, place, False, error.what, error.expected, error.seen, error.do, lost)


def check(specs: Sequence[BoardSpec]) -> list[Finding]:
    """One finding per place, or several if a place lacks several parts; one for a board type without places.

    Checks devices, programs, folders, QEMU, quarantine and reservations. Switches nothing, boots nothing and leases
    nothing; takes at most `LIMIT_S`. A held place or has reserved is not checked and counts as usable: a
    lease waits for it.
    """
    out: list[Finding] = []
    asked: list[tuple[BoardSpec, PlaceState]] = []
    for spec in specs:
        if not spec.places:
            out.append(_no_places(spec))
            continue
        try:
            found = states(spec)
        except AssayError as error:
            out.append(_bad(spec.kind, "", error))
            continue
        for state in found:
            if state.state == "quarantined":
                out.append(_quarantined(state))
            elif state.state == "held":
                out.append(
                    Finding(
                        spec.kind, state.place.name, True, f"held by {state.owner or 'an unknown holder'}"
                    )
                )
            elif not state.usable:  # a lease waits for it, as for one that is held
                out.append(Finding(spec.kind, state.place.name, True, f"reserved by {state.reserved_by}"))
            else:
                asked.append((spec, state))
    return [*out, *_ask(asked)]


def _ask(asked: Sequence[tuple[BoardSpec, PlaceState]]) -> Iterable[Finding]:
    """Check places in parallel: each check may use the network."""
    if not asked:
        return []
    # Threads that are stuck in a device's driver do not block the caller: they are abandoned and end with the process
    # (a ThreadPoolExecutor would wait for its threads at exit).
    answers: list[queue.SimpleQueue[list[AssayError] | Exception]] = []
    end_s = time.monotonic() + LIMIT_S
    for spec, state in asked:
        answer: queue.SimpleQueue[list[AssayError] | Exception] = queue.SimpleQueue()
        answers.append(answer)
        threading.Thread(target=_answer, args=(spec, state, answer), name="preflight", daemon=True).start()
    out: list[Finding] = []
    for (spec, state), answer in zip(asked, answers, strict=True):
        try:
            errors = answer.get(timeout=max(0.0, end_s - time.monotonic()))
        except queue.Empty:
            errors = [_no_answer(state)]
        if isinstance(errors, Exception):
            raise errors
        name = state.place.name
        out += [_bad(spec.kind, name, error) for error in errors] or [Finding(spec.kind, name, True, "ready")]
    return out


def _answer(
    spec: BoardSpec, state: PlaceState, answer: queue.SimpleQueue[list[AssayError] | Exception]
) -> None:
    try:
        answer.put(_lacks(spec, state))
    except Exception as error:  # noqa: BLE001 - a driver's mistake is raised where it was asked
        answer.put(error)


def _lacks(spec: BoardSpec, state: PlaceState) -> list[AssayError]:
    if spec.qemu is None:
        return missing_parts(state.place)
    try:
        qemu_program()
    except AssayError as error:
        return [error]
    return []


def _no_answer(state: PlaceState) -> InfraError:
    return InfraError(
        f"the check of {state.place.name} took more than {LIMIT_S:g} s",
        expected="devices, folders and servers that answer at once",
        seen=f"console {state.place.console}",
        do="find the network mount, server or adapter that hangs",
    )


def _no_places(spec: BoardSpec) -> Finding:
    return Finding(
        spec.kind,
        "",
        False,
        f"{spec.kind} has no places",
        expected="`places` in its board file, or a lab file",
        seen="neither",
        do="name a lab file with --lab or ASSAY_LAB" + (", or start `assay sim`" if spec.sim else ""),
    )


def _quarantined(state: PlaceState) -> Finding:
    name = state.place.name
    return Finding(
        state.kind,
        name,
        False,
        f"{name} is in quarantine since {state.since or '?'}",
        expected="a place in working order",
        seen=state.reason,
        do=f"repair it, then `assay boards check --board {state.kind}`, which lifts the quarantine",
    )


def unusable(findings: Iterable[Finding]) -> Mapping[str, str]:
    """The board types without a usable place, with what each lacks as text; empty if there are none."""
    bad: dict[str, list[str]] = {}
    good = set()
    for finding in findings:
        if finding.ok:
            good.add(finding.kind)
        else:
            bad.setdefault(finding.kind, []).append(str(finding))
    return {kind: "\n".join(texts) for kind, texts in bad.items() if kind not in good}
