"""One Robot process's work with its board: lease, boot, adapt, provoke, collect samples. Independent of Robot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from ai.scenarios import Situation, situation
from contracts.board import BoardSpec
from contracts.errors import AssayError, ConfigError, KernelError, ProgramRejected
from contracts.measurement import Clock, Samples, Verdict
from contracts.program import Program
from contracts.stages import Side, Stage
from contracts.telemetry import Telemetry
from contracts.wire.events import RollbackCause, RollbackEvent
from contracts.wire.image import ImageFlag
from harness.boards.board import Board, open_board
from harness.config.keys import LabKey, load_key
from harness.judge.budgets import DEFAULT_BUDGETS, Budgets, Judged, skipped
from harness.judge.stopwatch import Stopwatch
from harness.kernel.build import KernelImage
from harness.lease import Lease, acquire
from harness.loop import pipeline
from harness.loop.artifacts import write_situation
from harness.loop.drill import Defect, deploy_defective, rollback_of
from harness.loop.pipeline import Adaptation
from harness.loop.run import situation_seed
from harness.loop.writer import ModelWriter
from harness.machine.quiet_files import QuietFiles
from harness.machine.turn import TURN_TIMEOUT_S, host_turn
from harness.runs.record import Folder

Variant = Literal["release", "testing"]

LEASE_TIMEOUT_S: Final = 300.0
_ANSWER: Final = b"is anybody there"


@dataclass(frozen=True, slots=True)
class Choices:
    """The parameters of a session. `folder` is for its evidence; `quiet` is shared by the processes of one job."""

    seed: int
    folder: Path
    quiet: Path
    budgets: Path = DEFAULT_BUDGETS
    key: Path | None = None
    strict: bool = False


class Session:
    """One place of a board type, leased from `lease` to `give_back`, and every sample measured on it.

    `kernel` returns the images to boot, `say` gets the reason for a wait. Methods raise the errors of `contracts`.
    """

    def __init__(
        self,
        spec: BoardSpec,
        choices: Choices,
        writer: ModelWriter,
        kernel: Callable[[BoardSpec, Variant], KernelImage],
        say: Callable[[str], None],
    ) -> None:
        self.spec = spec
        self.choices = choices
        self.writer = writer
        self.key: LabKey = load_key(choices.key)
        self.budgets = Budgets.load(choices.budgets, strict=choices.strict)
        self.release = kernel(spec, "release")
        self.watch = Stopwatch()
        self.situation: Situation | None = None
        self.adaptation: Adaptation | None = None
        self.tried = 0
        self.refused = 0
        self._kernel = kernel
        self._say = say
        self._quiet = QuietFiles(choices.quiet)
        self._defect: Defect | None = None
        self._seen: dict[str, int] = {}
        self._suspects: set[str] = set()
        self._lease: Lease | None = None
        self._board: Board | None = None
        self._power = contextlib.ExitStack()

    # --- the board ---------------------------------------------------------------------------------------------

    @property
    def transcript(self) -> Path:
        """The path of the session's transcript, one JSON line per frame."""
        return self.choices.folder / "transcript.jsonl"

    @property
    def lease(self) -> Lease:
        """The lease. Raises ConfigError after `give_back`."""
        if self._lease is None:
            raise ConfigError(f"no {self.spec.kind} is leased", do="call `Lease Board` first")
        return self._lease

    @property
    def holds(self) -> Lease | None:
        """The lease, None after `give_back`."""
        return self._lease

    @property
    def board(self) -> Board:
        """The running board. Raises ConfigError if the suite has not booted it."""
        if self._board is None:
            raise ConfigError(
                f"board {self.lease.place.name} is off",
                expected="a kernel on it",
                seen="no kernel was flashed, or the last boot failed",
                do="call `Flash Kernel` first, for example as the suite's Test Setup",
            )
        return self._board

    @property
    def running(self) -> Board | None:
        """The board if a kernel was booted on it, else None."""
        return self._board

    def take(self) -> Self:
        """Lease a place, if possible not one that was lost in this session."""
        without = self._suspects if len(self._suspects) < self.spec.instances else frozenset[str]()
        self._lease = acquire(
            self.spec,
            timeout_s=LEASE_TIMEOUT_S,
            purpose="acceptance",
            waiting=self._say,
            without=frozenset(without),
        )
        return self

    def suspect(self) -> None:
        """Record a lab fault: the next `flash` leases another place, or power-cycles this one."""
        if self._lease is not None:
            self._suspects.add(self._lease.place.name)

    def flash(self, variant: Variant) -> Board:
        """The board with that kernel, reset: not rebooted if it already runs that kernel and answers."""
        image = self._kernel(self.spec, variant)
        lost = self.lease.place.name in self._suspects
        if self._board is not None and self._board.image == image and not lost:
            with contextlib.suppress(AssayError):
                self._board.pristine()
                return self._board
        self._off()
        if lost:
            self.give_back()
            self.take()
        Folder(self.choices.folder.parent).sub(self.choices.folder.name)
        with self._busy():
            self._board = self._power.enter_context(
                open_board(
                    self.spec,
                    self.key,
                    image,
                    lease=self.lease,
                    transcript=self.transcript,
                    seed=self.choices.seed,
                )
            )
        self._suspects.discard(self.lease.place.name)
        return self._board

    def _off(self) -> None:
        self._board = None
        self._power.close()

    def give_back(self) -> None:
        """Switch the board off and end the lease; may be called twice."""
        try:
            self._off()
        finally:
            lease, self._lease = self._lease, None
            if lease is not None:
                lease.release()

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        with self._quiet.busy(TURN_TIMEOUT_S):
            yield

    def answers(self) -> None:
        """Ask the kernel for an echo and its status. Raises if it is silent, has faulted, or corrupts the echo."""
        answer = self.board.client.echo(_ANSWER)
        if answer != _ANSWER:
            raise KernelError("the kernel corrupts an echo", expected=repr(_ANSWER), seen=repr(answer))
        self.board.client.status()
        self.board.check_alive()

    # --- the loop ----------------------------------------------------------------------------------------------

    def observe(self, family: str) -> Telemetry:
        """Prepare the board for the family's next seeded situation; returns its kernel's counters."""
        number = self._seen[family] = self._seen.get(family, 0) + 1
        self.adaptation = None
        self.situation = situation(family, situation_seed(self.choices.seed, number))
        with self._busy():
            pipeline.prepare(self.board, self.situation)
            return pipeline.observe(self.board)

    def adapt(self) -> Adaptation:
        """Adapt the board to the observed situation with the model, timed; counts for `unadapted`."""
        if self.situation is None:
            raise ConfigError("nothing was observed yet", do="call `Observe Traffic` first")
        adaptation = self.adaptation = Adaptation()
        try:
            with self._quiet.alone(TURN_TIMEOUT_S), host_turn(TURN_TIMEOUT_S, waiting=self._say):
                pipeline.adapt(self.board, self.situation, self.writer, self.key, self.watch, out=adaptation)
        finally:
            self._keep()
        self.tried += 1
        self.refused += not adaptation.deployed
        return adaptation

    def commit(self) -> Adaptation:
        """Replay the situation's traffic through the deployed extension, wait for its commit, roll it back."""
        if self.adaptation is None or not self.adaptation.deployed:
            raise ConfigError("no extension is deployed", do="call `Adapt` first")
        with self._busy():
            pipeline.execute_and_watch(self.board, self.adaptation, self.watch)
        self._keep()
        return self.adaptation

    def warm_up(self, family: str) -> None:
        """One adaptation whose host figures are the warm-up sample, and which does not count for `unadapted`."""
        self.observe(family)
        if self.adapt().deployed:
            self.commit()
        self.tried, self.refused = 0, 0

    def _keep(self) -> None:
        """Write the situation's sources, code and traces to the evidence folder."""
        if self.situation is None or self.adaptation is None:
            return
        family = self.situation.family
        folder = Folder(self.choices.folder).sub("situations").sub(f"{family}-{self._seen[family]:02d}")
        write_situation(folder, self.situation, self.adaptation)

    def offer(self, program: Program, image: bytes) -> ProgramRejected | None:
        """Send the kernel an image; its refusal, or None if it accepted the program (which is unloaded again)."""
        try:
            loaded = pipeline.load(self.board, program, image)
        except ProgramRejected as refusal:
            return refusal
        self.board.client.unload(loaded.response.handle)
        return None

    def deploy_defective(self, flag: ImageFlag, cause: RollbackCause) -> None:
        """Deploy an extension that fails after some calls, and replay traffic through it."""
        self._defect = None
        with self._busy():
            self._defect = deploy_defective(self.board, self.key, flag, cause)

    def rollback(self) -> RollbackEvent:
        """The rollback that the defective extension caused, timed in the guest. Raises KernelError without one."""
        defect, self._defect = self._defect, None
        if defect is None:
            raise ConfigError("no defective extension was deployed", do="call `Deploy Extension That` first")
        return rollback_of(self.board, defect, self.watch)

    # --- the figures -------------------------------------------------------------------------------------------

    def judged(self, stage: str, clock: Clock | None = None) -> Judged:
        """All samples of a stage since the lease, judged by its budget on their clock."""
        asked = self.budgets(stage, clock)
        if stage not in tuple(Stage):
            raise ConfigError(
                f"{stage} is a custom measurement",
                expected="a stage of the journey, which the session samples",
                seen=stage,
                do="pass its samples: `Measurement Should Hold    NAME    SAMPLE ...`",
            )
        on = clock or (self.board.clock if Stage(stage).side is Side.BOARD else Clock.HOST)
        if Stage(stage).not_built:
            return skipped(stage, Stage(stage).not_built, on)
        if stage == Stage.UNADAPTED:
            share = (100.0 * self.refused / self.tried,) if self.tried else ()
            return asked.judge(share, unit="%")
        taken = tuple(self.watch.samples.get((stage, on), ()))
        waited = self.watch.waited.get(stage, ()) if on is Clock.HOST else ()
        samples = Samples(on, taken, self.watch.sources.get(on, ""))
        return asked.judge(samples, waited=waited, lost="; ".join(self.watch.lost.get(stage, ())))

    def samples(self, row: Judged) -> list[float]:
        """The samples of a row, in ns, warm-up included."""
        return list(self.watch.samples.get((row.name, row.clock), ()))

    def every_budget(self) -> list[Judged]:
        """One row per stage with a budget in the file, on the clock on which this board measures it.

        A stage with a budget only for the board's other clock is `skip` if it has not run, and not judged if it has.
        Custom measurements are not included.
        """
        rows = []
        for stage in dict.fromkeys(stage for (stage, _), b in self.budgets.entries.items() if not b.is_own):
            row = self.judged(stage)
            if row.verdict is Verdict.SKIP and not Stage(stage).not_built:
                row = skipped(stage, f"this board measures on the {row.clock} clock", row.clock)
            rows.append(row)
        return rows
