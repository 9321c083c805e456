"""`assay replay RUN`: repeats a run with its recorded images and kernels; every virtual figure must be the same."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from contracts.errors import ConfigError, ProgramRejected
from contracts.plain_file import read_plain
from contracts.stages import Side, Stage
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board, open_board
from harness.boards.registry import select_one
from harness.bpf.seal import unseal
from harness.channel.traces import unpack_trace
from harness.config.json_file import read_json
from harness.config.keys import LabKey, load_key
from harness.judge.stopwatch import Stopwatch
from harness.kernel.build import KernelImage
from harness.lease import Lease, acquire
from harness.loop import pipeline
from harness.loop.drill import drill
from harness.runs.figures import Board as BoardRecord
from harness.runs.figures import Situation, parse
from harness.runs.record import find_run

_FILE_MAX: Final = 64 << 20
_ON_THE_HOST: Final = tuple(stage for stage in Stage if stage.side is Side.HOST)

Figures = dict[tuple[str, str], list[float]]
"""Virtual figures in measurement order, by place (a situation, the drill) and stage."""


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One virtual figure that differs from the record."""

    kind: str
    place: str
    stage: str
    recorded: list[float]
    seen: list[float]


def replay_run(console: Console, name: str, results: Path, key_file: Path | None) -> int:
    """Replay a run; prints the differences. Returns 0 if every figure is the same, 1 otherwise."""
    folder = find_run(name, results, "run")
    path = folder / "run.json"
    document = parse(read_json(path), path)
    if document.run.job != "run":
        raise ConfigError(
            f"{name} is a test session",
            expected="a run of `assay run`, which contains the images to replay",
            seen=f"job: {document.run.job}",
            do="name a run; repeat a test with pytest and the session's --seed",
        )
    key = load_key(key_file)
    differences: list[Difference] = []
    compared = 0
    specs = {entry.kind: select_one(entry.kind) for entry in document.boards}
    for entry in document.boards:
        _check_files(folder / entry.kind, entry, key, specs[entry.kind].firmware)
    for entry in document.boards:
        spec = specs[entry.kind]
        recorded = _recorded_figures(entry)
        if not recorded:
            console.print(f"{entry.kind}: no virtual figures recorded, nothing to replay")
            continue
        with acquire(
            spec, purpose="assay replay", waiting=lambda why: console.print(f"waiting: {why}", markup=False)
        ) as lease:
            seen = _replay_board(folder / entry.kind, lease, entry, key, document.run.seed)
        for place in sorted(recorded.keys() | seen.keys()):
            was, now = recorded.get(place, []), seen.get(place, [])
            compared += max(len(was), len(now))
            if was != now:
                differences.append(Difference(entry.kind, *place, was, now))
        drilled = " and the drill" if entry.drill else ""
        console.print(f"{entry.kind}: {len(entry.situations)} situations{drilled} replayed")
    for item in differences:
        console.print(
            f"{item.kind} {item.place} {item.stage}: recorded {item.recorded}, now {item.seen}",
            markup=False,
        )
    console.print(f"{compared} virtual figures compared, {len(differences)} differ")
    if not compared:
        raise ConfigError(
            f"run {name} has no virtual figures",
            expected="at least one situation in which the kernel accepted a program",
            seen="none",
            do="replay another run",
        )
    return 1 if differences else 0


def _recorded_figures(entry: BoardRecord) -> Figures:
    """Every virtual figure of a board's record."""
    out: Figures = {
        (f"situation {situation.index:02d}", stage): figures
        for situation in entry.situations
        for stage, figures in situation.virtual.items()
    }
    return out | {("drill", cause): [float(n)] for cause, n in entry.drill.items()}


def _replay_board(folder: Path, lease: Lease, entry: BoardRecord, key: LabKey, seed: int) -> Figures:
    """Figures of every program that reached the kernel, and of the drill, with the kernels in the run's folder."""
    out: Figures = {}
    spec = lease.spec
    image = _recorded_kernel(folder, "kernel", entry.build_id, spec.firmware)
    with open_board(spec, key, image, lease=lease, seed=seed) as board:
        for situation in entry.situations:
            place = f"situation {situation.index:02d}"
            seen = _replay_situation(board, folder / f"{situation.index:02d}", situation, key)
            out |= {(place, stage): figures for stage, figures in seen.items()}
    if entry.drill:
        testing = _recorded_kernel(folder, "testing", entry.testing_build_id, spec.firmware)
        out |= {
            ("drill", cause): [float(n)]
            for cause, n in drill(spec, key, testing, Stopwatch(), lease=lease).items()
        }
    return out


def _check_files(folder: Path, entry: BoardRecord, key: LabKey, firmware: str) -> None:
    """Check every file that a replay needs, before any board is leased. Raises ConfigError for an invalid one."""
    if not _recorded_figures(entry):
        return
    _recorded_kernel(folder, "kernel", entry.build_id, firmware)
    if entry.drill:
        _recorded_kernel(folder, "testing", entry.testing_build_id, firmware)
    for situation in entry.situations:
        home = folder / f"{situation.index:02d}"
        for path in (home / "workload.trace", home / "trial.trace"):
            with _naming(path):
                unpack_trace(_recorded(path))
        for number, attempt in enumerate(situation.attempts, start=1):
            path = home / f"attempt{number}.abxt"
            if attempt.stage not in _ON_THE_HOST:
                with _naming(path):
                    unseal(_recorded(path), key.public)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """The error for a file of a run that was changed."""
    try:
        yield
    except ProgramRejected as error:
        raise ConfigError(
            f"{path} is not the image that the run sealed",
            expected=error.expected,
            seen=error.seen,
            do="replay with the run's own --key, or run it again",
        ) from error
    except ConfigError as error:
        if str(path) in error.what:
            raise
        raise ConfigError(
            f"{path} is damaged", expected=error.expected, seen=error.seen, do="run it again"
        ) from error


def _recorded(path: Path) -> bytes:
    try:
        return read_plain(path, _FILE_MAX)
    except OSError as error:
        raise ConfigError(
            f"{path} is missing", expected="the complete folder of a run", seen=str(error), do="run it again"
        ) from error


def _recorded_kernel(folder: Path, name: str, build_id: str, firmware: str) -> KernelImage:
    elf, img = folder / f"{name}.elf", folder / f"{name}.img"
    whole, data = _recorded(elf), _recorded(img)
    for path, content in ((elf, whole), (img, data)):
        if not re.fullmatch("[0-9a-f]{40}", build_id) or bytes.fromhex(build_id) not in content:
            raise ConfigError(
                f"{path} is not the kernel of that run",
                expected=f"a kernel with build id {build_id[:40]}",
                seen="another file",
                do="run it again",
            )
    return KernelImage(
        board=firmware,
        variant="testing" if name == "testing" else "release",
        elf=elf,
        img=img,
        build_id=bytes.fromhex(build_id),
        size=len(data),
        sha256=hashlib.sha256(data).digest(),
    )


def _replay_situation(
    board: Board, folder: Path, situation: Situation, key: LabKey
) -> dict[str, list[float]]:
    """Repeat every attempt in order: load and try it; also execute and roll back the deployed one."""
    watch = Stopwatch()
    client = board.client
    board.pristine()
    client.upload(BlobKind.WORKLOAD, _recorded(folder / "workload.trace"))
    client.replay()
    client.upload(BlobKind.TRIAL, _recorded(folder / "trial.trace"))
    clock = pipeline.guest_clock(board)
    for number, attempt in enumerate(situation.attempts, start=1):
        if attempt.stage in _ON_THE_HOST:
            continue  # it never reached the kernel
        image = _recorded(folder / f"attempt{number}.abxt")
        try:
            loaded = pipeline.load(board, unseal(image, key.public).program, image, watch)
        except ProgramRejected:
            continue  # as recorded; otherwise its figures are missing
        response, results, _ = pipeline.run_trial(board, loaded)
        watch.take(Stage.TRIAL, board.samples(Stage.TRIAL, response))
        if attempt.stage != Stage.DEPLOY:
            client.unload(loaded.response.handle)
            continue
        watch.take(Stage.DEPLOY, board.samples(Stage.DEPLOY, pipeline.deploy(board, loaded)))
        adaptation = pipeline.Adaptation(loaded=loaded, trial_results=results, deployed=True)
        pipeline.execute_and_watch(board, adaptation, watch)
    return {stage: values for (stage, at), values in watch.samples.items() if at is clock}
