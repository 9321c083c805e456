"""`assay replay RUN`: the recorded images on the recorded kernels again; every virtual figure must be the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from contracts.errors import ConfigError
from harness import pipeline
from harness.board import Board, open_board
from harness.bpf.seal import unseal
from harness.build import KernelImage
from harness.channel.messages import BlobKind
from harness.keys import LabKey, load_key
from harness.record import find_run, read_json
from harness.registry import select_one
from harness.stopwatch import Stopwatch

_TARGET_STAGES: Final = ("unseal", "verify", "jit", "trial", "deploy", "execute", "watch", "rollback")


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One virtual figure that did not come out again."""

    kind: str
    situation: int
    stage: str
    recorded: list[float]
    seen: list[float]


def replay_run(console: Console, name: str, results: Path, key_file: Path | None) -> int:
    """Replay a run; prints what differs. Returns 0 when every figure is the same, 1 otherwise."""
    folder = find_run(name, results)
    document = read_json(folder / "run.json")
    key = load_key(key_file)
    differences: list[Difference] = []
    compared = 0
    for entry in document["boards"]:
        if not any(situation["deployed"] for situation in entry["situations"]):
            console.print(f"{entry['kind']}: nothing was deployed, nothing to replay")
            continue
        seen = _replay_board(folder / entry["kind"], entry, key, document["run"]["seed"])
        for situation in entry["situations"]:
            for stage, figures in seen.get(situation["index"], {}).items():
                recorded = situation["virtual"].get(stage, [])[-1:]
                compared += 1
                if recorded != figures:
                    differences.append(
                        Difference(entry["kind"], situation["index"], stage, recorded, figures)
                    )
        console.print(f"{entry['kind']}: {len(seen)} situations replayed")
    for item in differences:
        console.print(
            f"{item.kind} situation {item.situation} {item.stage}: recorded {item.recorded}, now {item.seen}",
            markup=False,
        )
    console.print(f"{compared} virtual figures compared, {len(differences)} differ")
    if not compared:
        raise ConfigError(
            f"run {name} holds no virtual figure",
            expected="at least one situation with a deployed program",
            seen="none",
            do="replay a run that deployed something",
        )
    return 1 if differences else 0


def _replay_board(
    folder: Path, entry: dict[str, Any], key: LabKey, seed: int
) -> dict[int, dict[str, list[float]]]:
    """Figures by situation of every deployed image, on the kernel kept in the run's folder."""
    spec = select_one(entry["kind"])
    image = _recorded_kernel(folder, entry, spec.firmware)
    out: dict[int, dict[str, list[float]]] = {}
    with open_board(spec, key, image, transcript=None, seed=seed) as board:
        for situation in entry["situations"]:
            if situation["deployed"]:
                out[situation["index"]] = _replay_situation(board, folder / f"{situation['index']:02d}", key)
    return out


def _recorded_kernel(folder: Path, entry: dict[str, Any], firmware: str) -> KernelImage:
    for name in ("kernel.elf", "kernel.img"):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder} is not whole",
                expected=f"the kernel as {name}",
                seen="no such file",
                do="run it again",
            )
    data = (folder / "kernel.img").read_bytes()
    import hashlib

    return KernelImage(
        board=firmware,
        variant="release",
        elf=folder / "kernel.elf",
        img=folder / "kernel.img",
        build_id=bytes.fromhex(entry["build_id"]),
        size=len(data),
        sha256=hashlib.sha256(data).digest(),
    )


def _replay_situation(board: Board, folder: Path, key: LabKey) -> dict[str, list[float]]:
    """Load, try, deploy, execute and roll back one recorded image; the last sample of each stage."""
    watch = Stopwatch()
    client = board.client
    image = (folder / "image.abxt").read_bytes()
    board.pristine()
    client.upload(BlobKind.WORKLOAD, (folder / "workload.trace").read_bytes())
    client.replay()
    client.upload(BlobKind.TRIAL, (folder / "trial.trace").read_bytes())
    loaded = pipeline.load(board, unseal(image, key.public).program, image, watch)
    response, results, _ = pipeline.run_trial(board, loaded)
    clock = pipeline.guest_clock(board)
    watch.add("trial", clock, response.trial_instructions)
    swap = pipeline.deploy(board, loaded)
    watch.add("deploy", clock, swap.swap_instructions)
    adaptation = pipeline.Adaptation(loaded=loaded, trial_results=results, deployed=True)
    pipeline.execute_and_watch(board, adaptation, watch)
    return {
        stage: values[-1:]
        for (stage, at), values in watch.samples.items()
        if at is clock and stage in _TARGET_STAGES
    }
