"""The Robot Framework library: keywords that a product owner can read, over the lab's engine."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, ParamSpec, TypeVar

from robot.api import SkipExecution, logger
from robot.api.deco import library
from robot.libraries.BuiltIn import BuiltIn

from contracts.board import BoardSpec
from contracts.errors import ConfigError, KernelError
from contracts.measurement import Budget, Clock, Stat, Verdict
from contracts.stages import Stage
from harness.boards.registry import select_one
from harness.judge.budgets import DEFAULT_BUDGETS, Budgets, StageBudget
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage
from harness.loop.writer import ModelWriter, open_writer
from harness.robot.account import RobotAccount, keyword
from harness.robot.events import tell
from harness.robot.extensions import Goes, Offer, duration_ns, offered
from harness.robot.html import program_html, row_text
from harness.robot.kernels import kept
from harness.robot.session import Choices, Session, Variant
from harness.runs.commit import commit_of

P = ParamSpec("P")
T = TypeVar("T")
Family = Literal["flood", "portscan", "hotport", "latency"]
OptionalClock = Literal["virtual", "hardware", "host", ""]

NOTHING_LOADED: Final = "the kernel has not judged the offered extension yet"


@library(scope="GLOBAL", listener="SELF", doc_format="ROBOT")
class AssayLibrary(RobotAccount):
    """Keywords for acceptance suites on real boards and QEMU boards.

    A suite leases a board, boots a kernel on it, and says what should hold:

    | *** Settings ***
    | Resource          lab.resource
    | Suite Setup       Lease Board
    | Test Setup        Flash Kernel    release
    | Suite Teardown    Give Board Back
    |
    | *** Test Cases ***
    | The Board Adapts To A Flood
    |     Observe Traffic    flood
    |     Adapt
    |     Extension Should Be Committed
    |     Budget Should Hold    verify

    Every keyword calls the engine of `assay run`; only ``lab-config/budgets.yaml`` decides how figures are judged.

    = Verdicts =

    | = verdict = | = meaning = | = in Robot = |
    | pass | within the budget | PASS |
    | marginal | within the limit by less than 10% | PASS, tag ``marginal`` |
    | fail | a missed budget or expectation, a kernel that hangs or dies | FAIL |
    | infra | a lab fault, not the kernel's | FAIL, tag ``infra`` |
    | inconclusive | too few samples, or a noisy host | SKIP, tag ``inconclusive`` |
    | skip | a capability or stage is missing | SKIP |
    """

    ROBOT_LISTENER_API_VERSION = 3

    def __init__(
        self,
        board: str = "qemu-virt",
        seed: int = 1,
        budgets: str = "",
        key: str = "",
        model: str = "",
        strict: bool = False,
        quiet: str = "",
        kernels: str = "",
    ) -> None:
        """Import with the board type, the seed of its situations, and files that override the lab's own.

        ``strict`` makes a marginal figure a failure. ``quiet`` is a folder that the Robot processes of one job share,
        so that none disturbs another's measurement; without it, this process uses its own folder. ``kernels`` is a
        folder in which `assay accept` stores a run's kernels; without it, they are built.
        """
        super().__init__(board)
        self._seed = seed
        self._budgets = Path(budgets) if budgets else DEFAULT_BUDGETS
        self._key = Path(key) if key else None
        self._model = Path(model) if model else None
        self._strict = strict
        self._quiet_folder = None if quiet else tempfile.TemporaryDirectory(prefix="assay-quiet-")
        self._quiet = Path(self._quiet_folder.name if self._quiet_folder else quiet)
        self._writer: ModelWriter | None = None
        self._kernels: dict[tuple[str, Variant], KernelImage] = {}
        self._kept = Path(kernels) if kernels else None
        self._refusal: str | None = NOTHING_LOADED
        self._refused_by = ""

    # --- the board -------------------------------------------------------------------------------------------------

    @keyword
    def lease_board(self, kind: str = "") -> None:
        """Lease a free board of a board type for this suite; waits while all are held, and says by whom.

        Without ``kind``, the board type that the run was started for (``${BOARD}``). The suite's metadata show the
        board type and place, the build id of its kernel, commit, seed and model.
        """
        if self.session is not None:
            self.session.give_back()
        spec = select_one(kind or self.kind)
        self._writer = self._writer or open_writer(self._model)
        folder = Path(BuiltIn().get_variable_value("${OUTPUT DIR}")) / "evidence"
        choices = Choices(self._seed, folder, self._quiet, self._budgets, self._key, self._strict)
        self.session = Session(spec, choices, self._writer, self._kernel, self._wait)
        self._name_suite(spec.kind, self.session)
        self.session.take()
        self._name_place(self.session)

    @keyword
    def flash_kernel(self, variant: Variant = "release") -> None:
        """Install the kernel on the board and boot it: ``release``, or ``testing``, which plants defects on request.

        A board that already runs that kernel is only reset to its state after boot. Fails if the board boots another
        build than the one made from these sources. After a lab fault another place of the board type is leased, if
        there is one.
        """
        session = self._leased()
        place = session.lease.place.name
        board = session.flash(variant)
        if session.lease.place.name != place:
            self._name_place(session)
        if variant == "testing":
            self._name({"Testing build id": board.image.build_id.hex()})
        self._refusal = NOTHING_LOADED
        logger.info(f"{session.lease.place.name} runs the {variant} kernel {board.hello.build_id.hex()}")

    @keyword
    def give_board_back(self) -> None:
        """Switch the board off and end the lease. For the suite's teardown; does nothing if no board is leased."""
        session, self.session = self.session, None
        if session is not None:
            session.give_back()

    @keyword
    def skip_unless_board_can(self, capability: Literal["process", "registers", "exact"]) -> None:
        """Skip the test on a board type without that capability: ``exact`` (virtual time), ``registers``, ``process``."""
        spec = self._leased().spec
        if capability not in spec.capabilities:
            raise SkipExecution(f"{spec.kind} lacks the capability `{capability}`")

    @keyword
    def kernel_should_still_answer(self) -> None:
        """The kernel echoes, reports its status, and has reported no fault."""
        self._leased().answers()

    @keyword
    def kernel_should_be_the_one_that_was_built(self) -> None:
        """The running kernel reports the build id of the image made from these sources, queried over the channel."""
        board = self._leased().board
        seen = board.client.hello().build_id
        logger.info(f"build id {seen.hex()}")
        if seen != board.image.build_id:
            raise KernelError(
                "the board runs a different kernel from the one that was built",
                expected=f"build id {board.image.build_id.hex()}",
                seen=seen.hex(),
            )

    @keyword
    def nothing_should_be_deployed(self) -> None:
        """No extension is on any hook, and none uses memory in the kernel."""
        status = self._leased().board.client.status()
        if status.deployed_programs or status.code_pool_used:
            raise KernelError(
                "the kernel holds an extension",
                expected="none deployed, no code loaded",
                seen=f"{status.deployed_programs} deployed, {status.code_pool_used} bytes of code",
            )

    # --- the loop --------------------------------------------------------------------------------------------------

    @keyword
    def warm_up(self, family: Family = "flood") -> None:
        """Run one situation whose host figures do not count, for budgets with a warm-up."""
        self._leased().warm_up(family)

    @keyword
    def observe_traffic(self, family: Family) -> None:
        """Play traffic of a family (``flood``, ``portscan``, ``hotport``, ``latency``) and read the telemetry.

        Each call is the family's next seeded situation: other hosts, ports, rates and operator policy.
        """
        seen = self._leased().observe(family)
        logger.info(
            f"{seen.rx_packets} packets, {seen.rx_bytes} bytes, {seen.udp} UDP, {seen.tcp_syn} TCP SYN"
        )

    @keyword
    def adapt(self) -> None:
        """The model diagnoses the telemetry and writes an extension, which is deployed on the running kernel.

        The program is compiled, sealed, verified and JITed by the kernel, tried on a trial trace against an oracle,
        and deployed. Refusals go back to the model twice. If no program was deployed, fails with every refusal.
        """
        self._adapt()
        adaptation = self._leased().adaptation
        assert adaptation is not None
        if not adaptation.deployed:
            refusals = "; ".join(
                f"{attempt.refusal.stage}: {attempt.refusal.reason}"
                for attempt in adaptation.attempts
                if attempt.refusal
            )
            raise KernelError(
                "the board did not adapt", expected="a deployed extension", seen=f"refusals: {refusals}"
            )

    @keyword
    def extension_should_be_committed(self) -> None:
        """Send the traffic through the deployed extension: it must do no harm and be committed after its watch window.

        Afterwards it is rolled back to restore the board's state; the time of that is a sample of ``rollback``.
        """
        replay = self._leased().commit().replay
        assert replay is not None
        logger.info(
            f"{replay.packets} packets, {replay.program_invocations} calls, committed; worst call "
            f"{replay.instructions_max} instructions"
        )

    @keyword
    def adapt_to_situations(self, count: int, family: Family) -> None:
        """Observe, adapt and commit ``count`` times; counts situations that end unadapted, which do not fail alone.

        `Budget Should Hold`    ``unadapted`` judges their share.
        """
        session = self._leased()
        for number in range(1, count + 1):
            tell({"event": "doing", "doing": f"{family} {number} of {count}"})
            session.observe(family)
            self._adapt()
            if session.adaptation is not None and session.adaptation.deployed:
                session.commit()

    # --- refusals and rollbacks ----------------------------------------------------------------------------------------

    @keyword
    def offer_extension_that(self, what: Offer) -> None:
        """Send the kernel an extension with this property, for `Extension Should Be Refused` to check.

        Properties: ``is sound``, ``is unsigned``, ``is cut short``, ``was signed by a stranger``, ``was altered after
        signing``, ``reads wild memory``, ``never ends``, ``is meant for testing kernels``.
        """
        session = self._leased()
        refusal = session.offer(*offered(what, session.key))
        self._refusal = refusal.reason if refusal else None
        self._refused_by = refusal.stage if refusal else ""
        logger.info(f"refused by {refusal.stage}: {refusal.reason}" if refusal else "accepted")

    @keyword
    def extension_should_be_refused(
        self, by: Literal["unseal", "verify", ""] = "", because: str = ""
    ) -> None:
        """The kernel refused the last offered extension, with a reason.

        ``by`` names the stage (``unseal`` checks signature and format, ``verify`` what the program could do),
        ``because`` is a part of the reason's text.
        """
        reason = self._answer()
        if reason is None:
            raise KernelError(
                "the kernel accepted an extension that it must refuse", expected="a refusal with a reason"
            )
        if not reason or because not in reason or (by and by != self._refused_by):
            raise KernelError(
                "the kernel refused the extension for another reason",
                expected=f"{by or 'a stage'}: {because or 'a reason'}",
                seen=f"{self._refused_by}: {reason or 'no reason'}",
            )

    @keyword
    def extension_should_be_accepted(self) -> None:
        """The kernel accepted the last offered extension."""
        reason = self._answer()
        if reason is not None:
            raise KernelError(
                "the kernel refused a sound extension",
                expected="no refusal",
                seen=f"{self._refused_by}: {reason}",
            )

    @keyword
    def deploy_extension_that(self, goes: Goes) -> None:
        """Deploy a sound extension, then one that ``faults`` or ``overruns`` after some calls, and play traffic.

        Needs a ``testing`` kernel: a release kernel refuses such an extension.
        """
        self._leased().deploy_defective(*goes.planted)

    @keyword
    def rollback_should_happen(self, within: timedelta = timedelta(milliseconds=100)) -> None:
        """The kernel rolled back the defective extension by itself, for the right cause and in time.

        The board measures the time from the detection of the defect until the previous configuration is active.
        """
        session = self._leased()
        event = session.rollback()
        taken = session.board.samples(Stage.ROLLBACK, event)
        limit_ms = duration_ns(within.total_seconds()) / 1e6
        budget = Budget(Stage.ROLLBACK, Stat.MAX, "ms", taken.clock, 1, 0, limit_ms)
        row = StageBudget(Stage.ROLLBACK, None, {taken.clock: budget}, self._strict).judge(taken)
        self.judge([row], [list(taken)])

    # --- the figures -----------------------------------------------------------------------------------------------

    @keyword
    def budget_should_hold(self, stage: str, clock: OptionalClock = "") -> None:
        """Every sample of a stage since the board was leased is within the stage's budget.

        Stages are those of the journey: ``generate``, ``verify``, ``jit``, ``deploy``, ``execute``, ``rollback``,
        ``adapt``, ``unadapted``. ``clock`` is only needed if a stage was measured on several. Too few samples skip
        the test as ``inconclusive``, and so does a budget for another clock than the board's alone; a stage without
        a budget skips it.
        """
        session = self._leased()
        row = session.judged(stage, Clock(clock) if clock else None)
        if row.limit is None and row.verdict is Verdict.PASS:
            raise SkipExecution(f"{stage} has no budget on the {row.clock} clock: {row_text(row)}")
        self.judge([row], [session.samples(row)])

    @keyword
    def measurement_should_hold(self, name: str, *samples: float, clock: OptionalClock = "") -> None:
        """Samples of a custom measurement are within the limit of its name in the budget file.

        They are in the unit of the file: ``Measurement Should Hold    boot_time    3.2    3.4``. ``clock`` is only
        needed where the file has the name on several.
        """
        budgets = Budgets.load(self._budgets, strict=self._strict)
        row = budgets(name, clock or None).judge(samples)
        self.judge([row], [list(samples)])

    @keyword
    def every_budget_should_hold(self) -> None:
        """Judge every budget of the file with all samples since the board was leased; the worst one decides."""
        session = self._leased()
        rows = session.every_budget()
        self.judge(rows, [session.samples(row) for row in rows])

    # --- shared by keywords ----------------------------------------------------------------------------------------

    def _leased(self) -> Session:
        if self.session is None:
            raise ConfigError(
                "no board is leased", do="call `Lease Board` first, for example as the suite's Suite Setup"
            )
        self.session.lease.check()
        return self.session

    def _adapt(self) -> None:
        adaptation = self._leased().adapt()
        if adaptation.diagnosis is not None:
            logger.info(f"diagnosis: {adaptation.diagnosis.bottleneck}, {adaptation.diagnosis.evidence}")
        logger.info(program_html(adaptation), html=True)

    def _answer(self) -> str | None:
        if self._refusal is NOTHING_LOADED:
            raise ConfigError("nothing was offered to the kernel", do="call `Offer Extension That` first")
        return self._refusal

    def _kernel(self, spec: BoardSpec, variant: Variant) -> KernelImage:
        """A kernel, built once, so that all suites use the same one even if the sources change."""
        if (spec.kind, variant) not in self._kernels:
            self._kernels[spec.kind, variant] = (
                kept(self._kept)[variant]
                if self._kept is not None and spec.kind == self.kind
                else kernel_for(spec, variant, key=self._key)
            )
        return self._kernels[spec.kind, variant]

    def _wait(self, reason: str) -> None:
        logger.info(f"waiting: {reason}")
        tell({"event": "doing", "doing": f"waiting: {reason}"})

    def _name_suite(self, kind: str, session: Session) -> None:
        self._name(
            {
                "Board": kind,
                "Build id": session.release.build_id.hex(),
                "Commit": commit_of() or "unknown",
                "Seed": str(self._seed),
                "Model": f"{session.writer.name}, SHA-256 {session.writer.model_hash.hex()}",
            }
        )

    def _name_place(self, session: Session) -> None:
        self._name({"Place": session.lease.place.name})
        build_id = session.release.build_id.hex()
        tell({"event": "place", "place": session.lease.place.name, "build_id": build_id})

    @staticmethod
    def _name(metadata: dict[str, str]) -> None:
        for name, value in metadata.items():
            BuiltIn().set_suite_metadata(name, value)
            BuiltIn().set_suite_metadata(name, value, top=True)
