"""The folder of a test session -> the view model; if its controller was killed, from `tests.jsonl`."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote

from contracts.errors import ConfigError
from contracts.measurement import NS_PER_UNIT, Verdict
from contracts.stages import Stage, place_in_journey
from harness.config.json_file import read_json
from harness.judge.budgets import worst
from harness.report.fields import (
    VERDICTS,
    lines_damaged,
    map_of,
    maps_of,
    number_of,
    numbers_of,
    text_of,
    verdict_of,
)
from harness.report.folder import Reader, Room, plain_name
from harness.report.frames import last_frames
from harness.report.stages import stage_of
from harness.report.trends import read_trends
from harness.report.view import (
    UNKNOWN,
    KindView,
    Listing,
    Sample,
    SessionView,
    StageView,
    TestAttempt,
    TestView,
)
from harness.terminal.crash import without_crash

LINES: Final = "tests.jsonl"
NO_KIND: Final = "no board"

FULL_TESTS: Final = 200
"""Tests shown in full on one page, worst verdicts first; the others get a line in the table."""

_FILES: Final = (
    ("run.json",),
    (LINES,),
    ("junit.xml",),
    ("robot", "log.html"),
    ("robot", "report.html"),
    ("robot", "output.xml"),
)
_SECTION_HEAD: Final = 4_000
_SECTION_TAIL: Final = 12_000
_FRAMES: Final = 20
_BAD_FIRST: Final = ("fail", "infra", "inconclusive", UNKNOWN, "marginal", "pass", "skip")


def is_session(folder: Path) -> bool:
    """True for the folder of a test session, finished or not."""
    if (folder / LINES).is_file():
        return True
    try:
        document = map_of(read_json(folder / "run.json", lenient=True))
    except ConfigError:
        return False
    return map_of(document.get("run")).get("job") in ("tests", "accept")


def read_session(folder: Path, base: str = "") -> SessionView:
    """The view of a session's folder. `base` is the path from the page to the folder, "" if the page is in it."""
    reader = Reader(folder, quote(base.rstrip("/")), Room())
    missing: list[str] = []
    document = _document(folder, missing)
    run = map_of(document.get("run"))
    rows = maps_of(document.get("tests"))
    if not document:
        rows, damaged = reader.lines(LINES) or ([], 0)
        rows = [row for row in rows if "id" in row]
        if damaged:
            missing.append(lines_damaged(LINES, damaged))
    tests = _tests(reader, rows)
    if not tests:
        missing.append("tests: none recorded")
    command = run.get("command")
    words = [text_of(word) for word in command] if isinstance(command, list) else []
    return SessionView(
        job=text_of(run.get("job")) or "tests",
        name=text_of(run.get("name")) or folder.resolve().name,
        started=text_of(run.get("started")),
        wall_s=number_of(run.get("wall_s")),
        seed=text_of(run.get("seed")),
        command=shlex.join(words),
        python=text_of(run.get("python")),
        commit=text_of(run.get("commit")),
        exit=text_of(run.get("exit")),
        ended=bool(document),
        interrupted=run.get("interrupted") is True,
        verdict=verdict_of(run.get("verdict")) if document else _worst([test.verdict for test in tests]),
        files=tuple(
            ("/".join(parts), reader.href(*parts)) for parts in _FILES if folder.joinpath(*parts).is_file()
        ),
        kinds=_kinds(tests),
        tests=tests,
        missing=tuple(missing),
        trends=read_trends(folder, {test.id for test in tests}),
    )


def _document(folder: Path, missing: list[str]) -> Mapping[str, object]:
    """`run.json`, or an empty document and the reason in `missing`."""
    shown = f"the page shows the contents of {LINES}"
    path = folder / "run.json"
    if not os.path.lexists(path):
        missing.append(f"run.json: the session did not end normally; {shown}")
        return {}
    try:
        document = read_json(path, lenient=True)
    except ConfigError as error:
        missing.append(f"run.json: cannot be read ({text_of(error.seen)}); {shown}")
        return {}
    if not isinstance(document, dict) or not isinstance(document.get("tests"), list):
        missing.append(f"run.json: not a session's record; {shown}")
        return {}
    return document


def _worst(verdicts: Sequence[str]) -> str:
    """The worst known verdict; unknown if there is none."""
    known = [Verdict(verdict) for verdict in verdicts if verdict in VERDICTS]
    return worst(known).value if known else UNKNOWN


def _tests(reader: Reader, rows: Sequence[Mapping[str, object]]) -> tuple[TestView, ...]:
    def place(number: int) -> tuple[int, int]:
        return (_BAD_FIRST.index(verdict_of(rows[number].get("verdict"))), number)

    views: dict[int, TestView] = {}
    left = FULL_TESTS
    for number in sorted(
        range(len(rows)), key=place
    ):  # the worst verdicts get space for their sections first
        view = _test(reader, number, rows[number], in_full=left > 0)
        left -= view.full
        views[number] = view
    return tuple(views[number] for number in range(len(rows)))


def _test(reader: Reader, number: int, row: Mapping[str, object], *, in_full: bool) -> TestView:
    missing: list[str] = []
    attempts = tuple(
        TestAttempt(
            verdict_of(attempt.get("verdict")),
            text_of(attempt.get("place")),
            text_of(attempt.get("epoch")),
            text_of(attempt.get("message")),
        )
        for attempt in maps_of(row.get("attempts"))
    )
    verdict = verdict_of(row.get("verdict"))
    looked_at = verdict not in ("pass", "marginal", "skip") or len(attempts) > 1
    full = in_full and looked_at
    transcript = _inside(reader.folder, row.get("transcript"))
    exists = bool(transcript) and reader.folder.joinpath(*transcript).is_file()
    if transcript and not exists and full:
        missing.append("/".join(transcript))
    frames = last_frames(reader, transcript, missing, _FRAMES) if exists and full else ()
    return TestView(
        number=number,
        id=text_of(row.get("id")) or UNKNOWN,
        kind=text_of(row.get("kind")) or NO_KIND,
        verdict=verdict,
        duration_s=number_of(row.get("duration_s")),
        message=without_crash(text_of(row.get("message")), _crash(row.get("sections"))),
        attempts=attempts,
        sections=_sections(reader.room, row.get("sections")) if full else (),
        measurements=tuple(
            stage_of(entry, tuple(Sample(n, False, value) for n, value in enumerate(_samples(entry))))
            for entry in maps_of(row.get("measurements"))
        ),
        frames=frames,
        transcript_href=reader.href(*transcript) if exists else "",
        build_id=text_of(row.get("build_id")),
        worker=text_of(row.get("worker")),
        full=full,
        missing=tuple(missing),
    )  # fmt: skip


def _crash(sections: object) -> str:
    """The crash records among a test's sections."""
    return "\n".join(
        str(item[1])
        for item in (sections if isinstance(sections, list) else [])
        if isinstance(item, list) and len(item) == 2 and "crash" in str(item[0]).lower()
    )


def _inside(folder: Path, path: object) -> tuple[str, ...]:
    """The parts of a record's path below the session's folder; none if it leads elsewhere."""
    parts = PurePosixPath(path).parts if isinstance(path, str) and path else ()
    if not all(plain_name(part) for part in parts):
        return ()
    resolved = folder.joinpath(*parts).resolve()
    return parts if resolved.is_relative_to(folder.resolve()) else ()


def _sections(room: Room, value: object) -> tuple[Listing, ...]:
    """A test's sections: head and tail of each text, within the page's space."""
    found = []
    for item in value if isinstance(value, list) else []:
        title, text = (*item, "", "")[:2] if isinstance(item, list) else ("", "")
        if not isinstance(title, str) or not isinstance(text, str) or not text.strip():
            continue
        shown = text.strip("\n")
        if len(shown) > _SECTION_HEAD + _SECTION_TAIL:
            cut = len(shown) - _SECTION_HEAD - _SECTION_TAIL
            shown = f"{shown[:_SECTION_HEAD]}\n… {cut:,} characters omitted, see {LINES} …\n{shown[-_SECTION_TAIL:]}"
        if len(shown) > room.left:
            shown = f"no space left on this page, see {LINES}"
        room.left -= len(shown)
        found.append(Listing(title[:200], shown, ""))
    return tuple(found)


def _kinds(tests: Sequence[TestView]) -> tuple[KindView, ...]:
    """Counts and nearest figures by board type; board types first, then tests without a board."""
    by_kind: dict[str, list[TestView]] = {}
    for test in tests:
        by_kind.setdefault(test.kind, []).append(test)
    views = []
    for kind in sorted(by_kind, key=lambda kind: (kind == NO_KIND, kind)):
        group = by_kind[kind]
        counts = Counter(test.verdict for test in group)
        views.append(
            KindView(
                kind,
                _worst([test.verdict for test in group]),
                tuple((verdict, counts[verdict]) for verdict in (*VERDICTS, UNKNOWN) if counts[verdict]),
                _nearest([row for test in group for row in test.measurements]),
                sum(test.duration_s or 0.0 for test in group),
                kind != NO_KIND,
            )
        )
    return tuple(views)


def _samples(row: Mapping[str, object]) -> Sequence[float]:
    """The samples of a row, times in ns; none if they are not times, because the strips have no scale for them."""
    taken = numbers_of(row.get("samples_list"))
    if text_of(row.get("name")) in tuple(Stage):
        return taken
    scale = NS_PER_UNIT.get(text_of(row.get("unit")))
    return [value * scale for value in taken] if scale else ()


def _nearest(rows: Sequence[StageView]) -> tuple[StageView, ...]:
    """For each stage and clock with a budget, the worst row, then the one nearest to its limit."""
    chosen: dict[tuple[str, str], StageView] = {}
    for row in rows:
        if row.limit:
            before = chosen.get((row.name, row.clock))
            if before is None or _nearness(row) > _nearness(before):
                chosen[row.name, row.clock] = row
    return tuple(sorted(chosen.values(), key=lambda row: (place_in_journey(row.name), row.name, row.clock)))


def _nearness(row: StageView) -> tuple[int, float]:
    return (-_BAD_FIRST.index(row.verdict), row.used or 0.0)
