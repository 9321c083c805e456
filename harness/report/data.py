"""A run's folder -> the view model. Reads what exists and lists what is missing, also for a run that ended early."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from contracts.errors import ConfigError
from contracts.stages import Side, Stage
from harness.config.json_file import read_json
from harness.report.fields import (
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
from harness.terminal.crash import without_crash

FULL_SITUATIONS: Final = 240
"""Situations shown in full on one page, those that need attention first; the others get a line and a link."""

_HOST_STEPS: Final = tuple(stage for stage in Stage if stage.side is Side.HOST)
_BOARD_STEPS: Final = tuple(stage for stage in Stage if stage.side is Side.BOARD)
_PROGRAM_FILES: Final = (("bytecode", "bytecode.txt"), ("A64", "a64.txt"))


def read_run(folder: Path, base: str = "") -> RunView:
    """The view of a run's folder. `base` is the path from the page to the folder, "" if the page is in it."""
    reader = Reader(folder, quote(base.rstrip("/")), Room())
    document, missing = _document(folder)
    run = map_of(document.get("run"))
    boards = maps_of(document.get("boards"))
    if not document:
        boards = _unfinished_boards(reader, folder)
    full = _chosen_in_full(boards)
    command = run.get("command")
    words = [text_of(word) for word in command] if isinstance(command, list) else []
    if words:
        words[0] = "assay" if words[0].endswith(("cli.py", "assay")) else words[0]
    return RunView(
        name=text_of(run.get("name")) or folder.resolve().name,
        started=text_of(run.get("started")),
        wall_s=number_of(run.get("wall_s")),
        seed=text_of(run.get("seed")),
        situations=text_of(run.get("situations")),
        writer=text_of(run.get("writer")),
        model_hash=text_of(run.get("model_hash")),
        command=shlex.join(words),
        python=text_of(run.get("python")),
        interrupted=run.get("interrupted") is True,
        verdict=verdict_of(run.get("verdict")),
        boards=tuple(_board(reader, board, full.get(number, set())) for number, board in enumerate(boards)),
        missing=tuple(missing),
        trends=read_trends(folder),
    )


def _document(folder: Path) -> tuple[Mapping[str, object], list[str]]:
    """`run.json`, or an empty document and the reason."""
    why = "the run did not end normally; the page shows the boards' records"
    path = folder / "run.json"
    if not os.path.lexists(path):
        return {}, [f"run.json: {why}"]
    try:
        document = read_json(path, lenient=True)
    except ConfigError as error:
        return {}, [f"run.json: cannot be read ({text_of(error.seen)}); the page shows the boards' records"]
    if not isinstance(document, dict) or not isinstance(document.get("boards"), list):
        return {}, ["run.json: not a run record; the page shows the boards' records"]
    return document, []


def _unfinished_boards(reader: Reader, folder: Path) -> list[Mapping[str, object]]:
    """Boards from their own records, for a run without `run.json`."""
    found: list[Mapping[str, object]] = []
    for path in sorted(folder.glob("*/records.jsonl")):
        rows, _ = reader.lines(path.parent.name, path.name) or ([], 0)
        whole = [map_of(row["board"]) for row in rows if "board" in row]
        situations = [dict(row) for row in rows if "index" in row]
        found.append(
            whole[-1]
            if whole
            else {
                "kind": path.parent.name,
                "error": "the end of this board was not recorded",
                "situations": situations,
            }
        )
    return found


def _remarkable(situation: Mapping[str, object]) -> bool:
    return situation.get("deployed") is not True or len(maps_of(situation.get("attempts"))) > 1


def _chosen_in_full(boards: Sequence[Mapping[str, object]]) -> dict[int, set[int]]:
    """The situations (by index) of each board to show in full: those that need attention, then an equal share."""
    places = [
        (not _remarkable(situation), place, number)
        for number, board in enumerate(boards)
        for place, situation in enumerate(maps_of(board.get("situations")))
    ]
    chosen: dict[int, set[int]] = {}
    for _, place, number in sorted(places)[:FULL_SITUATIONS]:
        chosen.setdefault(number, set()).add(place)
    return chosen


def _board(reader: Reader, board: Mapping[str, object], full: set[int]) -> BoardView:
    kind = text_of(board.get("kind")) or UNKNOWN
    missing: list[str] = []
    at_home = plain_name(kind) and (reader.folder / kind).is_dir()
    if not at_home:
        missing.append(f"folder {kind}: no listings, transcript or kernel")
    entries = list(enumerate(maps_of(board.get("situations"))))
    views: dict[int, SituationView] = {}
    # Situations that need attention get space for their listings first.
    for place, entry in sorted(entries, key=lambda item: (not _remarkable(item[1]), item[0])):
        views[place] = _situation(reader, kind if at_home else "", entry, in_full=place in full)
    if not entries:
        missing.append("situations: none recorded")
    frames: tuple[Frame, ...] = ()
    files: list[tuple[str, str]] = []
    if at_home:
        frames = last_frames(reader, (kind, "transcript.jsonl"), missing)
        records = reader.lines(kind, "records.jsonl")
        if records is None:
            missing.append("records.jsonl")
        elif records[1]:
            missing.append(lines_damaged("records.jsonl", records[1]))
        files = [
            (name, reader.href(kind, name))
            for name in ("kernel.elf", "kernel.img", "records.jsonl", "transcript.jsonl", "drill.jsonl")
            if (reader.folder / kind / name).is_file()
        ]
    stages = tuple(_stage(row, entries) for row in maps_of(board.get("stages")))
    if not stages:
        missing.append("stages: none judged")
    return BoardView(
        kind=kind,
        instance=text_of(board.get("instance")),
        build_id=text_of(board.get("build_id")),
        scenario=text_of(board.get("scenario")),
        verdict=verdict_of(board.get("verdict")),
        error=without_crash(text_of(board.get("error")), text_of(board.get("crash"))),
        crash=text_of(board.get("crash")),
        traceback=text_of(board.get("traceback")),
        drill=tuple(
            (cause, value)
            for cause, spent in map_of(board.get("drill")).items()
            if (value := number_of(spent)) is not None
        ),
        stages=stages,
        situations=tuple(views[place] for place, _ in entries),
        frames=frames,
        transcript_href=reader.href(kind, "transcript.jsonl") if frames else "",
        files=tuple(files),
        missing=tuple(missing),
    )


def _stage(row: Mapping[str, object], entries: Sequence[tuple[int, Mapping[str, object]]]) -> StageView:
    name, clock = text_of(row.get("name")), text_of(row.get("clock"))
    samples = tuple(
        Sample(int(number_of(entry.get("index")) or 0), entry.get("warmup") is True, value)
        for _, entry in entries
        for value in numbers_of(map_of(entry.get(clock)).get(name))
    )
    return stage_of(row, samples)


def _steps(figures: Mapping[str, object], names: Sequence[str]) -> tuple[Step, ...]:
    taken = [(name, numbers_of(figures.get(name))) for name in names]
    return tuple(Step(name, sum(values), len(values)) for name, values in taken if values)


def _situation(reader: Reader, kind: str, entry: Mapping[str, object], *, in_full: bool) -> SituationView:
    index = int(number_of(entry.get("index")) or 0)
    folder = f"{index:02d}"
    deployed = entry.get("deployed") is True
    host, virtual = map_of(entry.get("host")), map_of(entry.get("virtual"))
    diagnosis, program = map_of(entry.get("diagnosis")), map_of(entry.get("program"))
    maps = [
        f"{text_of(item.get('name'))} ({text_of(item.get('type'))}, {text_of(item.get('entries'))} entries)"
        for item in maps_of(program.get("maps"))
    ]
    adapt, uart = numbers_of(host.get(Stage.ADAPT)), numbers_of(host.get(Stage.UART))
    view = SituationView(
        index=index,
        warmup=entry.get("warmup") is True,
        family=text_of(entry.get("family")),
        seed=text_of(entry.get("seed")),
        deployed=deployed,
        attempts=tuple(
            Attempt(number, text_of(item.get("stage")), text_of(item.get("reason")), None, None)
            for number, item in enumerate(maps_of(entry.get("attempts")), start=1)
        ),
        bottleneck=text_of(diagnosis.get("bottleneck")),
        hook=text_of(diagnosis.get("hook")),
        evidence=text_of(diagnosis.get("evidence")),
        parameters=tuple(
            (name, text)
            for name, value in map_of(diagnosis.get("parameters")).items()
            if (text := text_of(value))
        ),
        program_id=text_of(program.get("program_id")),
        program=f"{text_of(program.get('slots'))} instruction slots; maps: {', '.join(maps) or 'none'}"
        if program
        else "",
        host=_steps(host, _HOST_STEPS),
        virtual=_steps(virtual, _BOARD_STEPS),
        adapt_ns=sum(adapt) if adapt else None,
        uart_ns=sum(uart) if uart else None,
        listings=(),
        missing=(),
        href=reader.href(kind, folder) + "/" if kind and (reader.folder / kind / folder).is_dir() else "",
        full=in_full,
    )
    return _with_listings(reader, kind, folder, view, text_of(entry.get("source"))) if in_full else view


def _with_listings(reader: Reader, kind: str, folder: str, view: SituationView, source: str) -> SituationView:
    """The same view with its texts: the deployed program as source, bytecode and A64 code, and every refused attempt."""
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
