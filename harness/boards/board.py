"""A board as a test gets it: powered on, its kernel checked, an authenticated session open."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from contracts.board import PROCESS, BoardSpec
from contracts.errors import (
    AssayError,
    BoardLost,
    BuildError,
    Cause,
    ConfigError,
    InfraError,
    KernelError,
)
from contracts.measurement import Clock, Samples
from contracts.wire.events import Event
from contracts.wire.schema import Record
from contracts.wire.session import HelloResponse
from harness.boards.measured import guest_clock, samples_of
from harness.boards.triage import (
    Finding,
    Scene,
    console_shared,
    is_ours,
    starved,
    time_lost,
    too_busy,
    triage,
)
from harness.channel.client import ChannelClient
from harness.channel.link import Watch
from harness.channel.requester import Silent
from harness.config.keys import LabKey
from harness.kernel.build import KernelImage
from harness.kernel.golden import GOLDEN
from harness.kernel.symbols import Symbols
from harness.lease import Lease, acquire, quarantine
from harness.machine.lost_time import Lost, LostTime
from targets.drivers import make_target
from targets.protocols import Target

_PROBE: Final = b"are you there"
_EXIT_WAIT_S: Final = 1.0  # a link often closes before its process has exited


class Board:
    """One powered-on board. Created by `open_board`; every wait in it ends with one of the errors of `contracts`.

    An unresponsive board is triaged (`harness.boards.triage`) and left off: KernelError if its golden image answers,
    InfraError if that is silent too. A QEMU that was killed from outside is BoardLost; one that the guest terminated
    or that aborted is a KernelError.
    """

    def __init__(
        self,
        spec: BoardSpec,
        key: LabKey,
        image: KernelImage,
        target: Target,
        *,
        lease: Lease,
        transcript: Path | None = None,
        watch: Watch | None = None,
        golden: Path = GOLDEN,
        told: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.spec = spec
        self.lease = lease
        self.key = key
        self.image = image
        self.transcript = transcript
        self.epoch = lease.epoch
        self.target = target
        self._watch = watch
        self._client: ChannelClient | None = None
        self._hello: HelloResponse | None = None
        self._golden = golden
        self._told = told
        self._probing = False
        self._finding: Finding | None = None
        self._report = ""
        self._lost: LostTime | None = None
        self._delay_s = 0.0  # the part of the target's run delay before the last pristine

    @property
    def client(self) -> ChannelClient:
        """The debug channel. Raises BoardLost while the board is off, a triage's error, LeaseLost after a forced release."""
        if self._client is None:
            if self._finding is not None:
                raise self._left_off(self._finding)
            raise BoardLost(f"board {self.spec.kind} is off", do="use it inside `open_board`")
        self.lease.check()
        return self._client

    @property
    def hello(self) -> HelloResponse:
        """The kernel's hello answer at boot."""
        if self._hello is None:
            raise BoardLost(f"board {self.spec.kind} has not booted")
        return self._hello

    @property
    def pid(self) -> int:
        """Process id of the board, 0 while it is off. Raises ConfigError for a board type that is not a process.

        kill(2) would take 0 as a process group: the caller's own.
        """
        if PROCESS not in self.spec.capabilities:
            raise ConfigError(
                f"a {self.spec.kind} is not a process",
                expected=f"a board type with the capability `{PROCESS}`",
                seen="hardware",
                do='mark the test with `@pytest.mark.needs("process")`',
            )
        return self.target.pid

    def power_on(self) -> None:
        """Start the board, wait for its channel, check its build, open a session.

        Raises InfraError for a quarantined place, and the error of a board that does not boot.
        """
        self.lease.on_lost = self._let_go
        self.lease.check()
        self._refuse_quarantine()
        self._finding = None
        self._report = ""
        self._hello = None
        self._delay_s = 0.0
        self._told(f"power off; writing {self.image.img.name} of {self.image.size} bytes")
        self.target.start()
        self._lost = LostTime(self.target.processes)
        self._client = ChannelClient(
            self.target.open_console(),
            name=self.spec.kind,
            timeout_s=self.spec.request_timeout_s,
            transcript=self.transcript,
            explain=self._explain,
            watch=self._watch,
            lost_s=lambda began_s: self.lost_since(began_s).seconds,
        )
        self._told("power on")
        began_s = time.monotonic()
        self.target.go()
        # A kernel logs "ready" when it listens.
        self._client.wait_event(Event.LOG, self.spec.boot_timeout_s, look=self._gone)
        self._hello = self._client.open_session(self.key.channel, self.epoch)
        self._check_build(self._hello)
        self._told(f"hello after {time.monotonic() - began_s:.2f} s, build id {self._hello.build_id.hex()}")

    def _let_go(self) -> None:
        """Taken by force: what arrives on the line from now on is for its new holder."""
        client = self._client
        if client is not None:
            client.drop()

    def _refuse_quarantine(self) -> None:
        sick = quarantine.of(self.lease.place)
        if sick is not None:
            raise InfraError(
                f"{self.lease.place.name} is in quarantine",
                expected="a place in working order",
                seen=f"{sick.reason} (since {sick.since})",
                do=f"repair it, then run `assay boards check --board {self.spec.kind}`, which lifts the quarantine",
            )

    def _check_build(self, hello: HelloResponse) -> None:
        if hello.build_id != self.image.build_id:
            raise InfraError(
                f"board {self.spec.kind} runs a different kernel from the one that was built",
                expected=f"build id {self.image.build_id.hex()}",
                seen=hello.build_id.hex(),
                do="check what the board boots from",
            )

    @property
    def clock(self) -> Clock:
        """The clock of the kernel's figures: `virtual` on an exact board type, `hardware` on any other."""
        return guest_clock(self.spec, self.hello)

    def samples(self, stage: str, *answers: Record) -> Samples:
        """A stage's cost from the kernel's answers and events, one sample each, with their clock.

        `board.samples("verify", loaded)`: instructions on the virtual clock, ns on the hardware clock. Raises
        ConfigError for an answer without samples of the stage.
        """
        return samples_of(self.spec, self.hello, stage, answers)

    def power_off(self) -> None:
        """Power off and close the board in any state. May be called twice. Raises InfraError if the transcript broke."""
        self.lease.on_lost = None
        client, self._client = self._client, None
        lost, self._lost = self._lost, None
        if lost is not None:
            lost.close()
        try:
            if client is not None:
                if client.fault is not None:
                    self._report = client.fault.report
                client.close()
        finally:
            if is_ours(self.target, self.lease):
                self.target.stop()

    def leave_on(self) -> None:
        """Detach from a hardware board without switching it off: it still runs when this board is released."""
        client, self._client = self._client, None
        self.lease.on_lost = None
        if client is not None:
            client.close()
        self.target.leave_on()

    def power_cycle(self) -> None:
        """Power off and on, with a new session: this clears a triage's error."""
        self.power_off()
        self.power_on()

    def pristine(self) -> None:
        """Reset to the state after boot, by a channel command."""
        self.client.pristine()
        self.client.events.clear()
        self._delay_s = self.target.run_delay_s()

    def lost_since(self, began_s: float) -> Lost:
        """Time since `began_s` (monotonic) in which this board, this process or this machine did not run."""
        return self._lost.since(began_s) if self._lost is not None else Lost()

    def check_alive(self) -> None:
        """Raise what ended the board, if it has ended. Sends nothing to it."""
        self.client.check_alive()

    def registers(self) -> str:
        """Current registers of every core, with kernel addresses as symbols. Raises InfraError if unavailable."""
        return self._named(self.target.registers())

    def crash_record(self) -> str:
        """What is known about the kernel's crash: its own fault report, a triage's story, else the current registers."""
        if self._finding is not None:
            return self._finding.story
        fault = self._client.fault if self._client is not None else None
        report = fault.report if fault is not None else self._report
        if report:
            return self._named(report)
        registers, why_none = self._look()
        return registers or f"no registers available: {why_none}"

    def _look(self) -> tuple[str, str]:
        """The registers, or an empty text and why there are none."""
        try:
            return self.registers(), ""
        except InfraError as error:
            return "", error.what

    def _named(self, text: str) -> str:
        try:
            return Symbols.of(self.image.elf).annotate(text)
        except BuildError:
            return text

    def _explain(self, error: AssayError) -> AssayError:
        """The error for a silent or lost board, after its process, registers and golden image were examined."""
        if self._probing:
            return error
        if self._finding is not None:
            return self._left_off(self._finding)
        taken = self._lease_error()
        if taken is not None:  # what the new holder does to the board is not the kernel's fault
            return taken
        if not isinstance(error, Silent | BoardLost):
            return error
        ended = self.target.exit_error(_EXIT_WAIT_S if isinstance(error, BoardLost) else 0.0)
        if ended is not None:
            return self._never_up(ended)
        users = self.target.console_users()
        if users:
            return console_shared(self.lease.place.name, users, error)
        if not isinstance(error, Silent):
            return error
        asked = (
            self._client.asked_last if self._client is not None else ""
        )  # by the test, not by the code below
        lost = self.lost_since(time.monotonic() - error.waited_s)
        if lost.asleep_s or (lost.any and starved(error, lost.seconds)):
            return time_lost(f"board {self.spec.kind}: {error.what}", error, lost)
        waited_s = self.target.run_delay_s() - self._delay_s
        if starved(error, waited_s + lost.seconds) and self._came_late(error):
            return too_busy(f"board {self.spec.kind} answers late", error)
        if error.event and self._hello is not None and self._answers():
            return KernelError(
                f"{error.what}, but it answers", expected=error.expected, seen=error.seen, do=error.do
            )
        scene = Scene(error, asked, *self._look())
        self._finding = triage(self.spec, self.lease, scene, self.power_off, self._golden)
        return self._finding.error

    def _gone(self) -> AssayError | None:
        """Checked while the board boots: a board without power is not waited for. A QEMU that ends closes its line."""
        return self._lease_error() or (None if self.target.pid else self.target.exit_error())

    def _never_up(self, ended: AssayError) -> AssayError:
        """A host program that ends before its kernel ever spoke is this machine's fault, not the board's."""
        if self._hello is None and isinstance(ended, InfraError) and ended.cause is Cause.ITSELF:
            ended.cause = Cause.MACHINE
        return ended

    def _lease_error(self) -> AssayError | None:
        try:
            self.lease.check_now()
        except InfraError as error:
            return error
        return None

    def _answers(self) -> bool:
        assert self._client is not None
        self._probing = True
        try:
            return self._client.echo(_PROBE) == _PROBE
        except AssayError:
            return False
        finally:
            self._probing = False

    def _came_late(self, silence: Silent) -> bool:
        """Whether the board answers now and, if the test waited for an event, the event has arrived."""
        if not self._answers() or self._client is None:
            return False
        events = [received.event for received in self._client.events]
        return not silence.event or silence.awaited in events

    def _left_off(self, finding: Finding) -> AssayError:
        """The same verdict for every later request."""
        what, expected = (
            f"board {self.spec.kind} was left off: {finding.error.what}",
            "no request before `power_cycle`",
        )
        if isinstance(finding.error, InfraError):
            cause = finding.error.cause
            return InfraError(what, expected=expected, seen=finding.story, do=finding.error.do, cause=cause)
        return KernelError(what, expected=expected, seen=finding.story, do=finding.error.do)


def _end(board: Board, _kind: object, error: BaseException | None, _trace: object) -> None:
    """Power off. If the switch fails after the kernel failed, the kernel's verdict is kept with a note."""
    try:
        board.power_off()
    except InfraError as stays_on:
        if not isinstance(error, KernelError):
            raise
        error.add_note(str(stays_on))


@contextmanager
def open_board(
    spec: BoardSpec,
    key: LabKey,
    image: KernelImage,
    *,
    lease: Lease | None = None,
    transcript: Path | None = None,
    seed: int = 1,
    icount: bool = True,
    watch: Watch | None = None,
    golden: Path = GOLDEN,
    waiting: Callable[[str], None] | None = None,
    made: Callable[[Board], None] | None = None,
    told: Callable[[str], None] = lambda _text: None,
) -> Iterator[Board]:
    """Boot `image` on a board of type `spec`, yield it, and always close it afterwards.

    The board is that of `lease`, which stays held. Without `lease`, a free board is leased for the duration, and
    `waiting` is called with the reason while none is free.

    `transcript` is appended to, one JSON line per frame. `seed` is for QEMU's own random numbers. Without `icount`
    the board runs faster and no figure is exact. `watch` sees every frame as it passes. `golden`: the folder of the
    golden images. `made` gets the board before power on, so that a board that does not boot can also be asked for
    its crash record. `told` is told each step of a boot. Raises what `Board` raises.
    """
    with contextlib.ExitStack() as stack:
        held = lease if lease is not None else stack.enter_context(acquire(spec, waiting=waiting))
        target = make_target(spec, held.place, image.elf, image.img, icount=icount, seed=seed)
        board = Board(
            spec, key, image, target, lease=held, transcript=transcript, watch=watch, golden=golden, told=told
        )
        stack.push(partial(_end, board))
        if made is not None:
            made(board)
        board.power_on()
        yield board
