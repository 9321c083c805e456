"""Triage of a silent board: read its registers, power it off, boot a golden image on the same place."""

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
"""A line that receives this much, up to the last moment, is flooded: no valid answer is that long."""

STARVED_SHARE: Final = 0.5
"""Share of the silence: a QEMU that waited for a core for longer may have had no time to answer; it is asked again."""
NO_CORE_SHARE: Final = 0.9
"""The same for a golden image, which is not asked again: a fit one boots in a tenth of its time-out."""

DIRECT: Final = "direct"
"""The boot method that does not install a kernel."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A silent board as it was found, before triage changed anything.

    `registers` is empty if unavailable, and `no_registers` says why; `asked` is the last request, empty if there was
    none because the kernel never reported that it listens.
    """

    silence: Silent
    asked: str
    registers: str
    no_registers: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a triage: `error` is the verdict, `story` what happened, for the crash record."""

    error: AssayError
    story: str


class GoldenSilent(InfraError):
    """A known-good kernel also fails to boot or to work on this board: the board is sick."""


@dataclass(frozen=True, slots=True)
class GoldenBoard:
    """A board that runs its golden image. `hello_s`: seconds from power on to the answer to HELLO.

    `given` is False if the boot method installs no kernel: the board runs its own, which shows only that it runs.
    """

    client: ChannelClient
    build_id: bytes
    hello_s: float
    given: bool

    @property
    def name(self) -> str:
        """A description of what answered."""
        what = "the golden image" if self.given else "the kernel on the board"
        return f"{what} (build {self.build_id.hex()[:8]})"


@contextlib.contextmanager
def golden_board(spec: BoardSpec, lease: Lease, folder: Path = GOLDEN) -> Iterator[GoldenBoard]:
    """Boot the golden image at the lease's place, which is off, and switch it off afterwards.

    Raises ConfigError without a usable golden image, GoldenSilent if the image does not say hello within the board
    file's `boot_timeout_s` and `request_timeout_s`, BoardLost if the board's process or console disappeared, and
    the errors of its drivers.
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
                raise time_lost(f"{lease.place.name} cannot be checked", error, lost) from error
            if isinstance(error, Silent) and starved(
                error, target.run_delay_s() + lost.seconds, NO_CORE_SHARE
            ):
                raise too_busy(f"the health of {lease.place.name} cannot be determined", error) from error
            users = target.console_users()
            if users:
                raise console_shared(lease.place.name, users, error) from error
            raise GoldenSilent(
                f"the golden image does not answer on {lease.place.name}",
                expected=f"hello from build {image.build_id.hex()[:8]} within "
                f"{spec.boot_timeout_s + spec.request_timeout_s:g} s",
                seen=f"{error.what}: {error.seen}",
                do="check its power, cable and boot medium",
            ) from error
        given = lease.place.boot is None or lease.place.boot.driver != DIRECT
        if given and hello.build_id != image.build_id:
            raise GoldenSilent(
                f"{lease.place.name} boots a different kernel from the one that was installed",
                expected=f"build {image.build_id.hex()}",
                seen=hello.build_id.hex(),
                do="check what the board boots from",
            )
        yield GoldenBoard(client, hello.build_id, time.monotonic() - began_s, given)


def starved(silence: Silent, run_delay_s: float, share: float = STARVED_SHARE) -> bool:
    """Whether a QEMU board waited for a core for that share of its silence: it may be fit."""
    return run_delay_s >= share * silence.waited_s


def too_busy(what: str, silence: Silent) -> MachineBusy:
    """The error for a machine that is too busy to run its boards."""
    return MachineBusy(
        f"{what}: this machine is too busy",
        expected=f"a core for QEMU most of the time; {silence.expected}",
        seen=f"{silence.what}; QEMU waited for a core for most of that",
        do="run fewer sessions or workers (-n) in parallel, or raise the time-outs in the board file",
    )


def time_lost(what: str, silence: Silent, lost: Lost) -> InfraError:
    """The error for a silence during which the board, this process or this machine did not run."""
    return InfraError(
        f"{what}, with lost time: {lost.why}",
        expected=f"a board, a lab and a machine that run without a stop; {silence.expected}",
        seen=silence.seen,
        do="find what stopped it (a signal, a debugger, a suspended machine, a busy hypervisor) and run again",
        cause=Cause.OUTSIDE,
    )


def console_shared(name: str, users: str, error: AssayError) -> InfraError:
    """The error for a console that other programs (`users`) have open: they may have read the board's output."""
    return InfraError(
        f"{error.what}, and its console is open in another program: {users}",
        expected="a serial line that no other program reads or writes",
        seen=error.seen,
        do=f"end that program, then run again; {name} itself was not judged",
        cause=Cause.OUTSIDE,
    )


def is_ours(target: Target, lease: Lease) -> bool:
    """Whether `target` may be switched off: a process always, a power supply only if its place was not taken by force."""
    return bool(target.pid) or not lease.lost


def triage(
    spec: BoardSpec,
    lease: Lease,
    scene: Scene,
    power_off: Callable[[], None],
    folder: Path = GOLDEN,
) -> Finding:
    """Determine who is at fault in `scene`, and leave the board off. Quarantines a sick place.

    Golden answers: KernelError. Golden silent, or a power supply that does not switch: InfraError and quarantine. No
    golden image, or something else stopped it: InfraError. Lease lost: LeaseLost, and nothing is touched. Takes no
    longer than the time-outs of the board file and of the place's drivers.
    """
    story = [f"{_phrase(scene)}: {scene.silence.what}, seen: {scene.silence.seen}"]
    story.append(f"last request: {scene.asked}" if scene.asked else "no request was sent before")
    began_s = time.monotonic()
    answered: GoldenBoard | None = None
    verdict: AssayError
    try:
        lease.check()
        power_off()
        story.append(f"{lease.place.name} was powered off and booted with its golden image")
        with golden_board(spec, lease, folder) as golden:
            answered = golden
    except AssayError as error:
        story.append(f"then: {error.what}" + (f", seen: {error.seen}" if error.seen else ""))
        verdict = lost_lease(lease, error) or _no_answer(spec, lease, scene, error, story)
    if answered is not None:
        proof = f"{answered.name} answered on {lease.place.name} {answered.hello_s:.2f} s after power on"
        story.append(f"{proof}: the kernel is at fault")
        verdict = _kernels_fault(scene, proof)
    story.append(f"this took {time.monotonic() - began_s:.2f} s; the board was left off")
    story.append(scene.registers or f"no registers available: {scene.no_registers}")
    return Finding(verdict, "\n".join(story))


def lost_lease(lease: Lease, error: AssayError) -> LeaseLost | None:
    """`error` as LeaseLost, if the lost lease caused it: whoever takes a board by force switches it off."""
    try:
        lease.check_now()
    except LeaseLost as lost:
        return lost
    return error if isinstance(error, LeaseLost) else None


def is_sick(spec: BoardSpec, place: Place, error: AssayError) -> bool:
    """Whether `error`, raised while a golden image was to run, is the board's fault and requires quarantine.

    What happened to a process of this machine says nothing about the next QEMU board, and preflight reports missing
    parts. A supply that does not go off, and what somebody outside did, say nothing of the board.
    """
    if isinstance(error, GoldenSilent):
        return True
    if not isinstance(error, InfraError) or isinstance(error, BoardLost | LeaseLost | SwitchDisobeys):
        return False
    if spec.qemu is not None or error.cause in (Cause.OUTSIDE, Cause.MACHINE):
        return False
    return not missing_parts(place)


def _cause_of(error: AssayError) -> Cause:
    """The cause of the fault that kept a golden image from running: never the board itself."""
    cause = error.cause if isinstance(error, InfraError) else Cause.LAB
    return Cause.LAB if cause is Cause.ITSELF else cause


def _no_answer(
    spec: BoardSpec, lease: Lease, scene: Scene, error: AssayError, story: list[str]
) -> InfraError:
    """The verdict if the golden image does not answer; quarantines the place if the board is the reason."""
    if not is_sick(spec, lease.place, error):
        return InfraError(
            f"{scene.silence.what}, and the cause cannot be determined: {error.what}",
            expected=error.expected,
            seen=f"{scene.silence.seen}; {error.seen}",
            do=error.do,
            cause=_cause_of(error),
        )
    kept = "is now in quarantine"
    up = bool(scene.asked)  # one that never ran shows nothing about what the kernel did
    try:
        quarantine.put(lease.place, f"{error.what}: {error.seen}")
    except InfraError as failed:
        kept = f"should be in quarantine ({failed.what}: {failed.seen})"
    story.append(f"the board is at fault: {lease.place.name} {kept}")
    return InfraError(
        f"{scene.silence.what}, and the board itself is sick: {error.what}; {lease.place.name} {kept}",
        expected=error.expected,
        seen=f"{scene.silence.seen}; then {error.seen}",
        do=f"{error.do}; then run `assay boards check --board {spec.kind}`, which lifts the quarantine",
        cause=Cause.ITSELF if up else Cause.LAB,
    )


def _kernels_fault(scene: Scene, proof: str) -> KernelError:
    shown = f"registers:\n{scene.registers}" if scene.registers else f"no registers: {scene.no_registers}"
    asked = f"; last request: {scene.asked}" if scene.asked else ""
    return KernelError(
        f"{scene.silence.what}: {_phrase(scene)}",
        expected=scene.silence.expected,
        seen=f"{scene.silence.seen}{asked}; {proof}; {shown}",
        do="look up PC in the kernel's ELF; the transcript ends with the last request"
        if scene.registers
        else "read the end of the transcript",
    )


def _phrase(scene: Scene) -> str:
    silence = scene.silence
    if silence.idle_s < FLOOD_IDLE_S and silence.heard > FLOOD_BYTES_PER_S * max(silence.waited_s, 0.1):
        return "the kernel floods its line and does not answer"
    if silence.in_frame and silence.idle_s >= FLOOD_IDLE_S:
        return f"the kernel stopped in the middle of a frame, after {silence.in_frame} bytes"
    if not scene.asked:
        return "the kernel never reported that it listens"
    return "the kernel hangs"
