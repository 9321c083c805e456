"""A run's folder -> the view model. Reads what is there, says what is not: a run that died early is still a report."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from harness.budgets import STAGES
from harness.report.view import (
    UNKNOWN,
    Attempt,
    BoardView,
    Frame,
    Listing,
    RunView,
    Sample,
    SituationView,
    StageView,
    Step,
)

TRANSCRIPT_FRAMES: Final = 50
FULL_SITUATIONS: Final = 240
"""Situations shown in full on one page, the remarkable ones first; the rest get a line and a link."""
LISTING_CHARS: Final = 20_000
ALL_LISTINGS_CHARS: Final = 1_500_000
"""What listings may add to one page, in characters; past it they are links."""

_TAIL_BYTES: Final = 1 << 20
_PAYLOAD_SHOWN: Final = 64
_TEXT_SHOWN: Final = 20_000
_VERDICTS: Final = ("pass", "marginal", "fail", "infra", "inconclusive", "skip")
_HOST_STEPS: Final = ("observe", "diagnose", "generate", "compile", "review", "analyse", "seal")
_PROGRAM_FILES: Final = (("bytecode", "bytecode.txt"), ("A64", "a64.txt"))


# A damaged record has anything anywhere: each of these takes what a field should be, or says nothing.
def _text(value: object) -> str:
    text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
    return text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + f" … ({len(text):,} characters in all)"


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _numbers(value: object) -> list[float]:
    items = value if isinstance(value, list) else []
    return [number for item in items if (number := _number(item)) is not None]


def _verdict(value: object) -> str:
    return value if isinstance(value, str) and value in _VERDICTS else UNKNOWN


def _json_lines(data: bytes) -> tuple[list[Mapping[str, Any]], int]:
    """The objects of a JSON-lines text, and how many lines were no object."""
    rows: list[Mapping[str, Any]] = []
    damaged = 0
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            damaged += 1
    return rows, damaged


def _lines_damaged(name: str, count: int) -> str:
    return f"{name}: {count} damaged line{'s' if count > 1 else ''} left out"


@dataclass(slots=True)
class _Room:
    """The characters of listings that the page still has room for."""

    left: int = ALL_LISTINGS_CHARS


@dataclass(frozen=True, slots=True)
class _Reader:
    """One run's folder, read and linked to."""

    folder: Path
    base: str
    room: _Room

    def href(self, *names: str) -> str:
        """A link from the page to a file of the run."""
        return "/".join([*([self.base] if self.base else []), *(quote(name, safe="") for name in names)])

    def listing(self, title: str, board: str, situation: str, name: str) -> Listing | None:
        """A text file, cut to the room there is. None when it is missing or unreadable."""
        path = self.folder / board / situation / name
        try:
            with path.open("rb") as file:
                raw = file.read(LISTING_CHARS * 4)
            size = path.stat().st_size
        except OSError:
            return None
        href = self.href(board, situation, name)
        text = raw.decode("utf-8", errors="replace")
        allowed = min(LISTING_CHARS, self.room.left)
        kept = text
        if len(text) > allowed or size > len(raw):
            kept = text[:allowed]
            kept = kept[: kept.rfind("\n") + 1] or kept
        self.room.left -= len(kept)
        cut = text.count("\n") - kept.count("\n") if len(kept) < len(text) else 0
        return Listing(title, kept, href, max(cut, int(len(kept) < len(text))))

    def lines(self, *names: str) -> tuple[list[Mapping[str, Any]], int] | None:
        """A JSON-lines file and its damaged lines; None when it cannot be read."""
        try:
            return _json_lines(self.folder.joinpath(*names).read_bytes())
        except OSError:
            return None

    def tail(self, *names: str) -> tuple[list[Mapping[str, Any]], int] | None:
        """As `lines`, of the end of a file that may be large."""
        try:
            with self.folder.joinpath(*names).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                data = file.read()
        except OSError:
            return None
        if size > _TAIL_BYTES:
            data = data.partition(b"\n")[2]
        return _json_lines(data)


def _plain_name(kind: str) -> bool:
    """True when a board's kind names a folder below the run's, and no other place."""
    return bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", kind))


def read_run(folder: Path, base: str = "") -> RunView:
    """The view of a run's folder. `base` is the way from the page to the folder, "" when the page lies in it."""
    reader = _Reader(folder, quote(base.rstrip("/")), _Room())
    document, missing = _document(folder)
    run = _map(document.get("run"))
    boards = _maps(document.get("boards"))
    if not document:
        boards = _unfinished_boards(reader, folder)
    full = _chosen_in_full(boards)
    command = run.get("command")
    words = [_text(word) for word in command] if isinstance(command, list) else []
    if words:
        words[0] = "assay" if words[0].endswith(("cli.py", "assay")) else words[0]
    return RunView(
        name=_text(run.get("name")) or folder.resolve().name,
        started=_text(run.get("started")),
        wall_s=_number(run.get("wall_s")),
        seed=_text(run.get("seed")),
        situations=_text(run.get("situations")),
        writer=_text(run.get("writer")),
        model_hash=_text(run.get("model_hash")),
        command=shlex.join(words),
        python=_text(run.get("python")),
        interrupted=run.get("interrupted") is True,
        verdict=_verdict(run.get("verdict")),
        boards=tuple(_board(reader, board, full.get(number, set())) for number, board in enumerate(boards)),
        missing=tuple(missing),
    )


def _document(folder: Path) -> tuple[Mapping[str, Any], list[str]]:
    """`run.json`, or an empty document and the reason."""
    why = "the run did not reach its end; what the boards' records hold is shown"
    try:
        document = json.loads((folder / "run.json").read_bytes())
    except FileNotFoundError:
        return {}, [f"run.json: {why}"]
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"run.json: cannot be read ({_text(str(error))}); what the boards' records hold is shown"]
    if not isinstance(document, dict) or not isinstance(document.get("boards"), list):
        return {}, ["run.json: not a run record; what the boards' records hold is shown"]
    return document, []


def _unfinished_boards(reader: _Reader, folder: Path) -> list[Mapping[str, Any]]:
    """Boards out of their own records, for a run whose controller wrote no `run.json`."""
    found: list[Mapping[str, Any]] = []
    for path in sorted(folder.glob("*/records.jsonl")):
        rows, _ = reader.lines(path.parent.name, path.name) or ([], 0)
        whole = [_map(row["board"]) for row in rows if "board" in row]
        situations = [dict(row) for row in rows if "index" in row]
        found.append(
            whole[-1]
            if whole
            else {
                "kind": path.parent.name,
                "error": "no end of this board is recorded",
                "situations": situations,
            }
        )
    return found


def _remarkable(situation: Mapping[str, Any]) -> bool:
    return situation.get("deployed") is not True or len(_maps(situation.get("attempts"))) > 1


def _chosen_in_full(boards: Sequence[Mapping[str, Any]]) -> dict[int, set[int]]:
    """Which situations (by place) of which board the page shows in full: the remarkable first, then a fair share."""
    places = [
        (not _remarkable(situation), place, number)
        for number, board in enumerate(boards)
        for place, situation in enumerate(_maps(board.get("situations")))
    ]
    chosen: dict[int, set[int]] = {}
    for _, place, number in sorted(places)[:FULL_SITUATIONS]:
        chosen.setdefault(number, set()).add(place)
    return chosen


def _board(reader: _Reader, board: Mapping[str, Any], full: set[int]) -> BoardView:
    kind = _text(board.get("kind")) or UNKNOWN
    missing: list[str] = []
    at_home = _plain_name(kind) and (reader.folder / kind).is_dir()
    if not at_home:
        missing.append(f"folder {kind}: no listings, transcript or kernel")
    entries = list(enumerate(_maps(board.get("situations"))))
    views: dict[int, SituationView] = {}
    # The remarkable ones take their listings' room first.
    for place, entry in sorted(entries, key=lambda item: (not _remarkable(item[1]), item[0])):
        views[place] = _situation(reader, kind if at_home else "", entry, in_full=place in full)
    if not entries:
        missing.append("situations: none was recorded")
    frames: tuple[Frame, ...] = ()
    files: list[tuple[str, str]] = []
    if at_home:
        frames = _frames(reader, kind, missing)
        records = reader.lines(kind, "records.jsonl")
        if records is None:
            missing.append("records.jsonl")
        elif records[1]:
            missing.append(_lines_damaged("records.jsonl", records[1]))
        files = [
            (name, reader.href(kind, name))
            for name in ("kernel.elf", "kernel.img", "records.jsonl", "transcript.jsonl", "drill.jsonl")
            if (reader.folder / kind / name).is_file()
        ]
    stages = tuple(_stage(row, entries) for row in _maps(board.get("stages")))
    if not stages:
        missing.append("stages: nothing was judged")
    return BoardView(
        kind=kind,
        instance=_text(board.get("instance")),
        build_id=_text(board.get("build_id")),
        scenario=_text(board.get("scenario")),
        verdict=_verdict(board.get("verdict")),
        error=_text(board.get("error")),
        crash=_text(board.get("crash")),
        stages=stages,
        situations=tuple(views[place] for place, _ in entries),
        frames=frames,
        transcript_href=reader.href(kind, "transcript.jsonl") if frames else "",
        files=tuple(files),
        missing=tuple(missing),
    )


def _stage(row: Mapping[str, Any], entries: Sequence[tuple[int, Mapping[str, Any]]]) -> StageView:
    name, clock = _text(row.get("name")), _text(row.get("clock"))
    samples = tuple(
        Sample(int(_number(entry.get("index")) or 0), entry.get("warmup") is True, value)
        for _, entry in entries
        for value in _numbers(_map(entry.get(clock)).get(name))
    )
    return StageView(
        name=name,
        value=_number(row.get("value")),
        unit=_text(row.get("unit")),
        clock=clock,
        stat=_text(row.get("stat")),
        count=int(_number(row.get("samples")) or 0),
        p50=_number(row.get("p50")),
        p99=_number(row.get("p99")),
        max=_number(row.get("max")),
        limit=_number(row.get("limit")),
        stretch=_number(row.get("stretch")),
        missed_stretch=row.get("missed_stretch") is True,
        verdict=_verdict(row.get("verdict")),
        reason=_text(row.get("reason")),
        samples=samples,
    )


def _steps(figures: Mapping[str, Any], names: Sequence[str]) -> tuple[Step, ...]:
    taken = [(name, _numbers(figures.get(name))) for name in names]
    return tuple(Step(name, sum(values), len(values)) for name, values in taken if values)


def _situation(reader: _Reader, kind: str, entry: Mapping[str, Any], *, in_full: bool) -> SituationView:
    index = int(_number(entry.get("index")) or 0)
    folder = f"{index:02d}"
    deployed = entry.get("deployed") is True
    host, virtual = _map(entry.get("host")), _map(entry.get("virtual"))
    diagnosis, program = _map(entry.get("diagnosis")), _map(entry.get("program"))
    maps = [
        f"{_text(item.get('name'))} ({_text(item.get('type'))}, {_text(item.get('entries'))} entries)"
        for item in _maps(program.get("maps"))
    ]
    adapt, uart = _numbers(host.get("adapt")), _numbers(host.get("uart"))
    view = SituationView(
        index=index,
        warmup=entry.get("warmup") is True,
        family=_text(entry.get("family")),
        seed=_text(entry.get("seed")),
        deployed=deployed,
        attempts=tuple(
            Attempt(number, _text(item.get("stage")), _text(item.get("reason")), None, None)
            for number, item in enumerate(_maps(entry.get("attempts")), start=1)
        ),
        bottleneck=_text(diagnosis.get("bottleneck")),
        hook=_text(diagnosis.get("hook")),
        evidence=_text(diagnosis.get("evidence")),
        parameters=tuple(
            (name, text)
            for name, value in _map(diagnosis.get("parameters")).items()
            if (text := _text(value))
        ),
        program_id=_text(program.get("program_id")),
        program=f"{_text(program.get('slots'))} instruction slots; maps: {', '.join(maps) or 'none'}"
        if program
        else "",
        host=_steps(host, _HOST_STEPS),
        virtual=_steps(virtual, [name for name in STAGES if name not in _HOST_STEPS]),
        adapt_ns=sum(adapt) if adapt else None,
        uart_ns=sum(uart) if uart else None,
        listings=(),
        missing=(),
        href=reader.href(kind, folder) + "/" if kind and (reader.folder / kind / folder).is_dir() else "",
        full=in_full,
    )
    return _with_listings(reader, kind, folder, view, _text(entry.get("source"))) if in_full else view


def _with_listings(
    reader: _Reader, kind: str, folder: str, view: SituationView, source: str
) -> SituationView:
    """The same view with its texts: the deployed program as source, bytecode and A64, and every refused attempt."""
    missing: list[str] = []
    attempts: list[Attempt] = []
    for attempt in view.attempts:
        name = f"attempt{attempt.number}"
        prompt = reader.listing("prompt", kind, folder, f"{name}.prompt.txt") if kind else None
        text = reader.listing("source", kind, folder, f"{name}.c") if kind and attempt.refused else None
        if kind and attempt.refused and text is None:
            missing.append(f"{folder}/{name}.c")
        attempts.append(replace(attempt, source=text, prompt=prompt))
    listings: list[Listing] = []
    if view.deployed:
        name = f"attempt{len(view.attempts)}.c"
        written = reader.listing("source", kind, folder, name) if kind else None
        listings.append(written or Listing("source", source, ""))
        for title, name in _PROGRAM_FILES:
            listing = reader.listing(title, kind, folder, name) if kind else None
            if listing is None:
                missing.append(f"{folder}/{name}")
            else:
                listings.append(listing)
    return replace(view, attempts=tuple(attempts), listings=tuple(listings), missing=tuple(missing))


def _frames(reader: _Reader, kind: str, missing: list[str]) -> tuple[Frame, ...]:
    tail = reader.tail(kind, "transcript.jsonl")
    if tail is None:
        missing.append("transcript.jsonl")
        return ()
    rows, damaged = tail
    if damaged:
        missing.append(_lines_damaged("transcript.jsonl", damaged))
    return tuple(
        Frame(
            t=f"{t:.6f}" if (t := _number(row.get("t"))) is not None else "",
            outgoing=row.get("dir") == ">",
            kind=_text(row.get("kind")),
            message=_text(row.get("message")),
            sequence=_text(row.get("sequence")),
            status=_text(row.get("status")),
            payload=payload[:_PAYLOAD_SHOWN],
            payload_cut=max(0, len(payload) - _PAYLOAD_SHOWN) // 2,
        )
        for row in rows[-TRANSCRIPT_FRAMES:]
        for payload in [_text(row.get("payload"))]
    )
