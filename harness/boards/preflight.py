"""Preflight: what a session's boards lack, found before anything is leased, in well under a second."""

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
"""What does not answer within this counts as missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one place, or (`place` empty) of a whole kind. `ok`: it can be used, maybe after its holder."""

    kind: str
    place: str
    ok: bool
    what: str
    expected: str = ""
    seen: str = ""
    do: str = ""
    console: bool = False
    """Whether it is the console that is missing, which other parts of a place do not make up for."""

    def __str__(self) -> str:
        return str(InfraError(self.what, expected=self.expected, seen=self.seen, do=self.do))


def _bad(kind: str, place: str, error: AssayError) -> Finding:
    lost = isinstance(error, BoardLost)  # what consoles raise; switches and boot methods raise InfraError
    return Finding(kind, place, False, error.what, error.expected, error.seen, error.do, lost)


def check(specs: Sequence[BoardSpec]) -> list[Finding]:
    """One finding a place, or several where a place lacks several parts; one for a kind without any.

    Looks at devices, programs, folders, QEMU, quarantine and reservations. Switches nothing, boots nothing and leases
    nothing; takes `LIMIT_S` at most. A place that somebody holds or has reserved is left alone and counts as usable: a
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
                out.append(Finding(spec.kind, state.place.name, True, f"held by {state.owner or 'somebody'}"))
            elif not state.usable:  # a lease waits for it, as for one that is held
                out.append(Finding(spec.kind, state.place.name, True, f"reserved by {state.reserved_by}"))
            else:
                asked.append((spec, state))
    return [*out, *_ask(asked)]


def _ask(asked: Sequence[tuple[BoardSpec, PlaceState]]) -> Iterable[Finding]:
    """Look at places at the same time: each may have a network behind it."""
    if not asked:
        return []
    # Threads that are stuck in a device's driver hold nobody up: they are left behind, and end with the process (those
    # of a ThreadPoolExecutor would be waited for at its exit).
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
        f"{state.place.name} does not say within {LIMIT_S:g} s whether it is there",
        expected="devices, folders and servers that answer at once",
        seen=f"console {state.place.console}",
        do="look for a network mount, a server or an adapter that hangs",
    )


def _no_places(spec: BoardSpec) -> Finding:
    return Finding(
        spec.kind,
        "",
        False,
        f"{spec.kind} has no places",
        expected="`places` in its board file, or a lab file",
        seen="neither",
        do="give a lab file with --lab or ASSAY_LAB" + (", or start `assay sim`" if spec.sim else ""),
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
    """The kinds that cannot be used at all, with what each lacks as text; empty when every kind has a usable place."""
    bad: dict[str, list[str]] = {}
    good = set()
    for finding in findings:
        if finding.ok:
            good.add(finding.kind)
        else:
            bad.setdefault(finding.kind, []).append(str(finding))
    return {kind: "\n".join(texts) for kind, texts in bad.items() if kind not in good}
