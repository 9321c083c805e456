"""The journey of one extension: observe to watch, one function per stage, each timed on its own clock.

`assay run`, the pytest fixtures and every other front end call this module; none of them judges anything itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ai.diagnose import NoBottleneck
from ai.scenarios import Policy
from contracts.diagnosis import Diagnosis, Generated, Refusal, TrialObservation, TrialResult
from contracts.errors import KernelError, ProgramRejected, RequestRefused
from contracts.measurement import Clock
from contracts.program import Hook, Program
from contracts.record import ProgramRow
from contracts.stages import Stage
from contracts.telemetry import Telemetry
from contracts.trace import Trace
from contracts.wire.live import (
    LoadResponse,
    ReplayResponse,
    ResultRecord,
    RunMode,
    SwapResponse,
    TrialResponse,
)
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board
from harness.bpf.compile import CompiledObject, compile_c
from harness.bpf.elf import read_programs
from harness.bpf.native import refused_by_kernel
from harness.bpf.seal import program_id, seal, test_memory_of
from harness.config.keys import LabKey
from harness.judge.stopwatch import Stopwatch
from harness.machine.noise import Waiting
from harness.machine.pace import Pace

MAX_REPAIRS: Final = 2
"""Repair rounds after a first attempt (DESIGN, "The journey of one extension")."""

WATCH_INVOCATIONS: Final = 32
"""Clean invocations after which a deployed configuration is committed."""

# The stage of each refusal of LOAD.
_LOAD_STAGE: Final[Mapping[str, Stage]] = {
    "BAD_IMAGE": Stage.UNSEAL,
    "BAD_VERSION": Stage.UNSEAL,
    "BAD_SIGNATURE": Stage.UNSEAL,
    "REFUSED_KIND": Stage.UNSEAL,
    "VERIFY_REFUSED": Stage.VERIFY,
    "JIT_FAILED": Stage.JIT,
    "NO_MEMORY": Stage.UNSEAL,
}


class Writer(Protocol):
    """Writes programs: a model, or a baseline. `promises_latency` is True only for the shipped model."""

    name: str
    model_hash: bytes
    promises_latency: bool

    @property
    def pace(self) -> Pace | None:
        """Times a fixed evaluation around each `generate`; None: `generate` is judged as measured."""

    def diagnose(self, telemetry: Telemetry, situation: Situation) -> Diagnosis:
        """The diagnosis of the telemetry, with the operator's policy of the situation."""

    def generate(self, diagnosis: Diagnosis, feedback: Sequence[Refusal]) -> Generated:
        """A program for the diagnosis; `feedback` lists earlier refusals. Raises ProgramRejected."""


class Situation(Protocol):
    """What the pipeline needs from a situation (`ai.scenarios.Situation` provides it)."""

    @property
    def family(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def workload(self) -> Trace: ...
    @property
    def trial(self) -> Trace: ...
    def judge_trial(self, observed: TrialObservation) -> TrialResult: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program that the kernel accepted: its image, handle and figures, and the code that the board emitted."""

    program: Program
    image: bytes
    response: LoadResponse


@dataclass(frozen=True, slots=True)
class Attempt:
    """One program that was written, and why it was refused (None: it was deployed).

    `program` is set after compilation, `image` after sealing, also if a later stage refused it.
    """

    source: str
    prompt: str
    tokens: int
    refusal: Refusal | None
    program: Program | None = None
    image: bytes = b""


@dataclass(slots=True)
class Adaptation:
    """The result of one situation: every attempt, and the deployed program's figures if one passed."""

    diagnosis: Diagnosis | None = None
    telemetry: Telemetry | None = None
    attempts: list[Attempt] = field(default_factory=list)
    loaded: Loaded | None = None
    code: bytes = b""
    trial_results: tuple[ResultRecord, ...] = ()
    deployed: bool = False
    replay: ReplayResponse | None = None
    after: Telemetry | None = None

    @property
    def source(self) -> str:
        """The deployed source, else the last one tried, else an empty text."""
        return self.attempts[-1].source if self.attempts else ""


def guest_clock(board: Board) -> Clock:
    """The clock of the board kernel's figures, see `Board.clock`."""
    return board.clock


# --- stages ------------------------------------------------------------------------------------------------------


def prepare(board: Board, situation: Situation) -> None:
    """Prepare a board for the situation: reset it, replay its workload once, upload its trial trace.

    Raises the errors of the board's channel: ChannelError, BoardLost, KernelError, RequestRefused. So do all stages.
    """
    board.pristine()
    board.client.upload_trace(situation.workload, BlobKind.WORKLOAD)
    board.client.replay()
    board.client.upload_trace(situation.trial, BlobKind.TRIAL)


def observe(board: Board) -> Telemetry:
    """Stage 1: read the kernel's counters since `prepare`."""
    return board.client.telemetry()


def compile_program(source: str) -> tuple[Program, CompiledObject]:
    """Stage 4: compile restricted C to a net_rx program; also the compiler's output and time. Raises ProgramRejected."""
    compiled = compile_c(source)
    programs = [program for program in read_programs(compiled.elf) if program.hook is Hook.NET_RX]
    if len(programs) != 1:
        raise ProgramRejected(
            "the source does not have exactly one net_rx program",
            stage=Stage.COMPILE,
            reason=f"expected one function in section net_rx, saw {len(programs)}",
        )
    return programs[0], compiled


def load(board: Board, program: Program, image: bytes, watch: Stopwatch | None = None) -> Loaded:
    """Stages 8 to 10: the kernel unseals, verifies and JITs; `watch` gets a sample of each.

    Raises ProgramRejected naming the stage and why; RefusedByVerifier has the path and the source lines.
    """
    try:
        response = board.client.load(image)
    except RequestRefused as error:
        stage = _LOAD_STAGE.get(error.status)
        if stage is None:
            raise
        if stage == "verify":
            raise refused_by_kernel(program, error.detail, test_memory_of(image)) from error
        raise ProgramRejected(
            f"the kernel refused the program in {stage}", stage=stage, reason=error.detail
        ) from error
    if watch is not None:
        for stage in (Stage.UNSEAL, Stage.VERIFY, Stage.JIT):
            watch.take(stage, board.samples(stage, response))
    return Loaded(program, image, response)


def run_trial(
    board: Board, loaded: Loaded, mode: RunMode = RunMode.JIT
) -> tuple[TrialResponse, tuple[ResultRecord, ...], TrialObservation]:
    """Stage 11: dry-run the program's hook over the TRIAL upload: totals, a record per invocation, what it did.

    Costs are instructions per call, without the measuring overhead.
    """
    response, results = board.client.trial(loaded.response.handle, mode=mode)
    maps = {
        definition.name: board.client.read_map(loaded.response.handle, index, trial=True)
        for index, definition in enumerate(loaded.program.maps)
    }
    return response, tuple(results), TrialObservation(tuple(result.verdict for result in results), maps)


def deploy(board: Board, loaded: Loaded, watch_invocations: int = WATCH_INVOCATIONS) -> SwapResponse:
    """Stage 12: deploy the program with one store-release; committed after `watch_invocations` clean calls."""
    return board.client.deploy(loaded.response.handle, watch_invocations)


# --- the journey -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Aside:
    """Work timed by the stopwatch of `adapt` that is not part of it: its wall time and its wait for a processor."""

    pace: Pace | None
    wall_ns: int = 0
    waited_ns: int = 0

    def reference_ns(self) -> float:
        """The reference's time now; 0 without one."""
        if self.pace is None:
            return 0.0
        began_ns, waiting = time.perf_counter_ns(), Waiting()
        try:
            return self.pace.now_ns()
        finally:
            self.wall_ns += time.perf_counter_ns() - began_ns
            self.waited_ns += waiting.so_far_ns()


def _generate(
    writer: Writer, diagnosis: Diagnosis, refusals: Sequence[Refusal], watch: Stopwatch, aside: _Aside
) -> Generated:
    """Stage 3: one program, and its processor time as it would be on a quiet machine. Raises ProgramRejected."""
    before_ns = aside.reference_ns()
    generated = writer.generate(diagnosis, refusals)
    raw_ns = generated.thread_cpu_s * 1e9
    if aside.pace is None:
        watch.add(Stage.GENERATE, Clock.HOST, raw_ns)
    else:
        watch.add_paced(Stage.GENERATE, aside.pace.paced(raw_ns, before_ns, aside.reference_ns()))
    watch.wall.setdefault(Stage.GENERATE, []).append(generated.wall_s * 1e9)
    return generated


@dataclass(slots=True)
class Draft:
    """A program on its way to the kernel: the host's stages fill in their results."""

    situation: Situation
    generated: Generated
    key: LabKey
    watch: Stopwatch
    program: Program | None = None
    image: bytes = b""


def compile_draft(draft: Draft) -> None:
    """Stage 4: compile the source to a program. Raises ProgramRejected."""
    draft.program, compiled = compile_program(draft.generated.source)
    draft.watch.add(Stage.COMPILE, Clock.HOST, compiled.cpu_s * 1e9)
    draft.watch.wall.setdefault(Stage.COMPILE, []).append(compiled.wall_s * 1e9)


def seal_draft(draft: Draft) -> None:
    """Stage 7: the signed image of the program, with its provenance. Raises ProgramRejected."""
    assert draft.program is not None
    with draft.watch.cpu(Stage.SEAL):
        draft.image = seal(
            draft.program,
            draft.key,
            model_hash=draft.generated.model_hash,
            prompt_hash=draft.generated.prompt_hash,
            seed=draft.situation.seed,
        )


HOST_STAGES: Final[Sequence[tuple[Stage, Callable[[Draft], None] | None]]] = (
    (Stage.COMPILE, compile_draft),
    (Stage.REVIEW, None),
    (Stage.ANALYSE, None),
    (Stage.SEAL, seal_draft),
)
"""From source to image, in order: each stage extends the draft, or raises ProgramRejected. None: not built yet."""


def build(draft: Draft) -> tuple[Program, bytes]:
    """Stages 4 to 7: the program and its image. Raises ProgramRejected; `draft` shows the progress."""
    for _, step in HOST_STAGES:
        if step is not None:
            step(draft)
    assert draft.program is not None
    return draft.program, draft.image


def _load_and_try(
    board: Board, situation: Situation, program: Program, image: bytes, watch: Stopwatch
) -> tuple[Loaded, tuple[ResultRecord, ...]]:
    """Load and try one image. Raises ProgramRejected; a refused program is unloaded."""
    with watch.part(Stage.UART):
        loaded = load(board, program, image, watch)
    try:
        with watch.part(Stage.UART):
            response, results, observed = run_trial(board, loaded)
        watch.take(Stage.TRIAL, board.samples(Stage.TRIAL, response))
        if response.contained:
            raise ProgramRejected(
                "the trial did not complete",
                stage=Stage.TRIAL,
                reason=f"{response.contained} invocations were contained",
            )
        outcome = situation.judge_trial(observed)
        if not outcome.ok:
            raise ProgramRejected("the oracle refused the program", stage=Stage.TRIAL, reason=outcome.reason)
    except ProgramRejected:
        with watch.part(Stage.UART):
            board.client.unload(loaded.response.handle)
        raise
    return loaded, results


def adapt(
    board: Board,
    situation: Situation,
    writer: Writer,
    key: LabKey,
    watch: Stopwatch,
    on_attempt: Callable[[int], None] = lambda _number: None,
    out: Adaptation | None = None,
) -> Adaptation:
    """Stages 1 to 12 with one stopwatch: from the telemetry request to the deploy's acknowledgement.

    The caller has called `prepare` and holds the machine's turn. Refusals go back to the writer at most MAX_REPAIRS
    times; `on_attempt` gets the number of each attempt. Returns the adaptation; `deployed` is False if every attempt
    was refused (without an `adapt` sample). Telemetry without a bottleneck is a refusal by `diagnose`. `out` is filled
    step by step, so that after an error the caller knows how far the adaptation came.
    """
    out = Adaptation() if out is None else out
    refusals: list[Refusal] = []
    began, aside = Stopwatch(), _Aside(writer.pace)
    waiting, compiled_before = Waiting(board.target.processes()), len(watch.wall.get(Stage.COMPILE, ()))
    began_s = time.monotonic()
    with began.elapsed(Stage.ADAPT):
        with watch.elapsed(Stage.OBSERVE), watch.part(Stage.UART):
            out.telemetry = observe(board)
        try:
            with watch.cpu(Stage.DIAGNOSE):
                out.diagnosis = writer.diagnose(out.telemetry, situation)
        except NoBottleneck as error:
            out.attempts.append(Attempt("", "", 0, Refusal(Stage.DIAGNOSE, str(error), "")))
        while out.diagnosis and out.loaded is None and len(refusals) <= MAX_REPAIRS:
            generated: Generated | None = None
            draft: Draft | None = None
            refusal: Refusal | None = None
            on_attempt(len(refusals) + 1)
            try:
                generated = _generate(writer, out.diagnosis, refusals, watch, aside)
                draft = Draft(situation, generated, key, watch)
                program, image = build(draft)
                out.loaded, out.trial_results = _load_and_try(board, situation, program, image, watch)
            except ProgramRejected as error:
                refusal = Refusal(error.stage, error.reason, generated.source if generated else "")
                refusals.append(refusal)
            finally:  # the record must contain a program that kills the kernel
                out.attempts.append(
                    Attempt(
                        generated.source if generated else "",
                        generated.prompt if generated else "",
                        generated.tokens if generated else 0,
                        refusal,
                        draft.program if draft else None,
                        draft.image if draft else b"",
                    )
                )
        if out.loaded is not None:
            with watch.part(Stage.UART):
                swap = deploy(board, out.loaded)
            watch.take(Stage.DEPLOY, board.samples(Stage.DEPLOY, swap))
            out.deployed = True
    watch.sum_parts(Stage.UART)
    if out.deployed:
        watch.add(Stage.ADAPT, Clock.HOST, began.samples[(Stage.ADAPT, Clock.HOST)][0] - aside.wall_ns)
        waited = max(0, waiting.so_far_ns() - aside.waited_ns)
        compiler = len(watch.wall.get(Stage.COMPILE, ())) - compiled_before
        for wall, cpu in zip(
            watch.wall[Stage.COMPILE][-compiler:],
            watch.samples[(Stage.COMPILE, Clock.HOST)][-compiler:],
            strict=True,
        ):
            waited += max(0, int(wall - cpu))  # the compiler is a separate process
        lost = board.lost_since(began_s)
        watch.waited.setdefault(Stage.ADAPT, []).append(float(waited) + lost.seconds * 1e9)
        if lost.any:
            watch.lost.setdefault(Stage.ADAPT, []).append(lost.why)
    return out


def execute_and_watch(board: Board, adaptation: Adaptation, watch: Stopwatch) -> None:
    """Stages 13 and 14: replay the workload through the live hook, wait for the commit, then roll back.

    Raises KernelError if the kernel does not commit or violates the journey's contract.
    """
    assert adaptation.loaded is not None
    replay = board.client.replay()
    adaptation.replay = replay
    adaptation.after = board.client.telemetry()
    if replay.contained or replay.rollbacks:
        raise KernelError(
            "a verified program was rolled back",
            expected="no contained invocation in the watch window",
            seen=f"{replay.contained} contained, {replay.rollbacks} rollbacks",
            do="replay the run; its folder has the image and the trace",
        )
    if replay.packets >= WATCH_INVOCATIONS and not replay.committed:
        raise KernelError(
            "the kernel did not commit the configuration",
            expected=f"a commit after {WATCH_INVOCATIONS} clean invocations",
            seen=f"{replay.program_invocations} invocations and no commit",
        )
    watch.take(Stage.EXECUTE, board.samples(Stage.EXECUTE, replay))
    watch.take(Stage.WATCH, board.samples(Stage.WATCH, replay))
    adaptation.code = board.client.read_code(adaptation.loaded.response.handle)
    swap = board.client.rollback()
    watch.take(Stage.ROLLBACK, board.samples(Stage.ROLLBACK, swap))


def describe(program: Program) -> ProgramRow:
    """A program's part of the record."""
    return {
        "program_id": program_id(program).hex(),
        "slots": program.slots,
        "hook": program.hook.name.lower(),
        "maps": [
            {
                "name": m.name,
                "type": m.type.name.lower(),
                "key": m.key_size,
                "value": m.value_size,
                "entries": m.max_entries,
            }
            for m in program.maps
        ],
    }
