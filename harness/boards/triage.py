"""Whose fault a silent board is: its registers first, then power off, then a golden image on the same place."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.board import BoardSpec, Place
from contracts.errors import (
    AssayError,
    BoardLost,
    Cause,
    ChannelError,
    InfraError,
    KernelError,
    MachineBusy,
)
from contracts.wire.events import Event
from harness.channel.client import ChannelClient
from harness.channel.requester import Silent
from harness.kernel.golden import GOLDEN, golden_image
from harness.lease import Lease, LeaseLost, quarantine
from harness.machine.lost_time import Lost, LostTime
from targets.drivers import make_target, missing_parts
from targets.protocols import Target
from targets.supply import SwitchDisobeys

FLOOD_BYTES_PER_S: Final = 1024.0
FLOOD_IDLE_S: Final = 0.25
"""A line on which that much comes, up to the last moment, is flooded: no answer of ours goes on for so long."""

STARVED_SHARE: Final = 0.5
"""Of a silence: a QEMU that waited that share of it for a core may have had no time to answer, and is asked again."""
NO_CORE_SHARE: Final = 0.9
"""The same for a golden image, which is not asked again: a tenth of its time-out is enough for a fit one to boot."""

DIRECT: Final = "direct"
"""The boot method that leaves a board the kernel it has."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A silent board as it was found, before anybody touched it.

    `registers` is empty where none could be had, and `no_registers` says why; `asked` is the last request, empty
    where nothing was asked: the kernel never said that it listens.
    """

    silence: Silent
    asked: str
    registers: str
    no_registers: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a triage found: `error` is the verdict, `story` what happened, for the crash record."""

    error: AssayError
    story: str


class GoldenSilent(InfraError):
    """A known-good kernel does not come up on this board either, or comes up wrong: the board is sick."""


@dataclass(frozen=True, slots=True)
class GoldenBoard:
    """A board that runs its golden image. `hello_s`: seconds from power on to the answer to HELLO.

    `given` is False where the boot method gives no kernel: the board runs what it has, and that it runs is all it shows.
    """

    client: ChannelClient
    build_id: bytes
    hello_s: float
    given: bool

    @property
    def name(self) -> str:
        """What answered, for people."""
        what = "the golden image" if self.given else "the kernel that the board has"
        return f"{what} (build {self.build_id.hex()[:8]})"


@contextlib.contextmanager
def golden_board(spec: BoardSpec, lease: Lease, folder: Path = GOLDEN) -> Iterator[GoldenBoard]:
    """Boot the golden image at the lease's place, which is off, and switch it off afterwards.

    Raises ConfigError without a usable golden image, GoldenSilent when the image does not say hello within the board
    file's `boot_timeout_s` and `request_timeout_s`, BoardLost when the board's process or console went away, and
    whatever its drivers raise.
    """
    image = golden_image(spec, folder)
    lease.check()
    target = make_target(spec, lease.place, image.elf, image.img)

    def stop() -> None:
        if is_ours(target, lease):
            target.stop()

    def explain(error: AssayError) -> AssayError:
        if not isinstance(error, Silent | BoardLost):
            return error
        return target.exit_error(1.0 if isinstance(error, BoardLost) else 0.0) or error

    with contextlib.ExitStack() as stack:
        stack.callback(stop)
        target.start()
        lost_time = stack.enter_context(LostTime(target.processes))
        client = ChannelClient(
            target.open_console(),
            name=lease.place.name,
            timeout_s=spec.request_timeout_s,
            explain=explain,
            lost_s=lambda since_s: lost_time.since(since_s).seconds,
        )
        stack.callback(client.close)
        began_s = time.monotonic()
        target.go()
        try:
            client.wait_event(
                Event.LOG, spec.boot_timeout_s, look=lambda: None if target.pid else target.exit_error()
            )
            hello = client.hello()
        except (ChannelError, KernelError) as error:
            lost = lost_time.since(began_s)
            if isinstance(error, Silent) and (lost.asleep_s or (lost.any and starved(error, lost.seconds))):
                raise time_lost(f"whether {lease.place.name} is fit cannot be told", error, lost) from error
            if isinstance(error, Silent) and starved(
                error, target.run_delay_s() + lost.seconds, NO_CORE_SHARE
            ):
                raise too_busy(f"whether {lease.place.name} is fit cannot be told", error) from error
            users = target.console_users()
            if users:
                raise console_shared(lease.place.name, users, error) from error
            raise GoldenSilent(
                f"the golden image does not answer on {lease.place.name}",
                expected=f"hello of build {image.build_id.hex()[:8]} within "
                f"{spec.boot_timeout_s + spec.request_timeout_s:g} s",
                seen=f"{error.what}: {error.seen}",
                do="look at its power, cable and boot medium",
            ) from error
        given = lease.place.boot is None or lease.place.boot.driver != DIRECT
        if given and hello.build_id != image.build_id:
            raise GoldenSilent(
                f"{lease.place.name} boots another kernel than the one it is given",
                expected=f"build {image.build_id.hex()}",
                seen=hello.build_id.hex(),
                do="look at what the board boots from",
            )
        yield GoldenBoard(client, hello.build_id, time.monotonic() - began_s, given)


def starved(silence: Silent, run_delay_s: float, share: float = STARVED_SHARE) -> bool:
    """Whether a board that is a process waited for a core for that share of its silence: it may be fit."""
    return run_delay_s >= share * silence.waited_s


def too_busy(what: str, silence: Silent) -> MachineBusy:
    """The fault of a machine on which boards do not get to run."""
    return MachineBusy(
        f"{what}: this machine is too busy",
        expected=f"a core for QEMU most of the time; {silence.expected}",
        seen=f"{silence.what}; QEMU waited for a core for most of that",
        do="run fewer sessions or workers (-n) beside each other, or raise the time-outs in the board file",
    )


def time_lost(what: str, silence: Silent, lost: Lost) -> InfraError:
    """The fault of a silence in which the board, this process or this machine did not run."""
    return InfraError(
        f"{what}, in time that nobody had: {lost.why}",
        expected=f"a board, a lab and a machine that run on; {silence.expected}",
        seen=silence.seen,
        do="find what stopped it (a signal, a debugger, a suspended machine, a busy host of this one) and run again",
        cause=Cause.OUTSIDE,
    )


def console_shared(name: str, users: str, error: AssayError) -> InfraError:
    """The fault of a console that other programs (`users`) have open: what the board said may have gone to them."""
    return InfraError(
        f"{error.what}, and its console is open in another program: {users}",
        expected="a serial line that nobody else reads or writes",
        seen=error.seen,
        do=f"end that program, then run again; {name} itself was not judged",
        cause=Cause.OUTSIDE,
    )


def is_ours(target: Target, lease: Lease) -> bool:
    """Whether `target` may be switched off: a process may, always; a supply not once its place was taken by force."""
    return bool(target.pid) or not lease.lost


def triage(
    spec: BoardSpec,
    lease: Lease,
    scene: Scene,
    power_off: Callable[[], None],
    folder: Path = GOLDEN,
) -> Finding:
    """Find out whose fault `scene` is, and leave the board off. Puts a sick place into quarantine.

    Golden answers: KernelError. Golden silent, or a supply that does not obey: InfraError and quarantine. No golden
    image, or one that something else kept from running: InfraError. A lease that was lost: that, and nothing is
    touched. Takes no longer than the board file's time-outs and those of the place's drivers.
    """
    story = [f"{_phrase(scene)}: {scene.silence.what}, seen: {scene.silence.seen}"]
    story.append(f"asked last: {scene.asked}" if scene.asked else "nothing was asked of it before")
    began_s = time.monotonic()
    answered: GoldenBoard | None = None
    verdict: AssayError
    try:
        lease.check()
        power_off()
        story.append(f"{lease.place.name} was powered off and given its golden image")
        with golden_board(spec, lease, folder) as golden:
            answered = golden
    except AssayError as error:
        story.append(f"then: {error.what}" + (f", seen: {error.seen}" if error.seen else ""))
        verdict = lost_lease(lease, error) or _no_answer(spec, lease, scene, error, story)
    if answered is not None:
        proof = f"{answered.name} answered on {lease.place.name} {answered.hello_s:.2f} s after power on"
        story.append(f"{proof}: the fault is the kernel's")
        verdict = _kernels_fault(scene, proof)
    story.append(f"this took {time.monotonic() - began_s:.2f} s; the board was left off")
    story.append(scene.registers or f"no registers could be had: {scene.no_registers}")
    return Finding(verdict, "\n".join(story))


def lost_lease(lease: Lease, error: AssayError) -> LeaseLost | None:
    """`error` as the loss of the lease, if it was or comes of that: whoever takes a board by force switches it off."""
    try:
        lease.check_now()
    except LeaseLost as lost:
        return lost
    return error if isinstance(error, LeaseLost) else None


def is_sick(spec: BoardSpec, place: Place, error: AssayError) -> bool:
    """Whether `error`, met while a golden image was to run, is the board's own: a case for quarantine.

    What befell a process of this machine says nothing of the next board that is made of one, and of parts that are
    missing preflight tells. A supply that does not go off, and what somebody outside did, say nothing of the board.
    """
    if isinstance(error, GoldenSilent):
        return True
    if not isinstance(error, InfraError) or isinstance(error, BoardLost | LeaseLost | SwitchDisobeys):
        return False
    if spec.qemu is not None or error.cause in (Cause.OUTSIDE, Cause.MACHINE):
        return False
    return not missing_parts(place)


def _cause_of(error: AssayError) -> Cause:
    """Where the fault that kept a golden image from running came from: never the board's own doing."""
    cause = error.cause if isinstance(error, InfraError) else Cause.LAB
    return Cause.LAB if cause is Cause.ITSELF else cause


def _no_answer(
    spec: BoardSpec, lease: Lease, scene: Scene, error: AssayError, story: list[str]
) -> InfraError:
    """The verdict without an answer of the golden image; quarantine, if the board is why there is none."""
    if not is_sick(spec, lease.place, error):
        return InfraError(
            f"{scene.silence.what}, and whose fault that is cannot be told: {error.what}",
            expected=error.expected,
            seen=f"{scene.silence.seen}; {error.seen}",
            do=error.do,
            cause=_cause_of(error),
        )
    kept = "is in quarantine now"
    up = bool(scene.asked)  # one that never came up here shows nothing of what the kernel may have done to it
    try:
        quarantine.put(lease.place, f"{error.what}: {error.seen}")
    except InfraError as failed:
        kept = f"should be in quarantine ({failed.what}: {failed.seen})"
    story.append(f"the fault is the board's: {lease.place.name} {kept}")
    return InfraError(
        f"{scene.silence.what}, and the board itself is sick: {error.what}; {lease.place.name} {kept}",
        expected=error.expected,
        seen=f"{scene.silence.seen}; then {error.seen}",
        do=f"{error.do}; then `assay boards check --board {spec.kind}`, which lifts the quarantine",
        cause=Cause.ITSELF if up else Cause.LAB,
    )


def _kernels_fault(scene: Scene, proof: str) -> KernelError:
    shown = f"registers:\n{scene.registers}" if scene.registers else f"no registers: {scene.no_registers}"
    asked = f"; asked last: {scene.asked}" if scene.asked else ""
    return KernelError(
        f"{scene.silence.what}: {_phrase(scene)}",
        expected=scene.silence.expected,
        seen=f"{scene.silence.seen}{asked}; {proof}; {shown}",
        do="look PC up in the kernel's ELF; the transcript holds what was asked last"
        if scene.registers
        else "read the transcript's end",
    )


def _phrase(scene: Scene) -> str:
    silence = scene.silence
    if silence.idle_s < FLOOD_IDLE_S and silence.heard > FLOOD_BYTES_PER_S * max(silence.waited_s, 0.1):
        return "the kernel floods its line and answers nothing"
    if silence.in_frame and silence.idle_s >= FLOOD_IDLE_S:
        return f"the kernel stopped in the middle of a frame, after {silence.in_frame} bytes of it"
    if not scene.asked:
        return "the kernel never said that it listens"
    return "the kernel hangs"
