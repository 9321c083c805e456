"""The extensions that acceptance suites offer and deploy, named after their defect."""

from __future__ import annotations

from enum import Enum

import monocypher

from contracts.errors import ConfigError
from contracts.program import Hook, Program
from contracts.wire.events import RollbackCause
from contracts.wire.image import SIGNATURE_SIZE, ImageFlag, ImageHeader
from harness.bpf.samples import XDP_PASS, answer, endless, wild_load
from harness.bpf.seal import seal
from harness.config.keys import LabKey, make_key


class Offer(Enum):
    """A property of an offered extension; the kernel should accept only `Is Sound`."""

    IS_SOUND = "is sound"
    IS_UNSIGNED = "is unsigned"
    IS_CUT_SHORT = "is cut short"
    WAS_SIGNED_BY_A_STRANGER = "was signed by a stranger"
    WAS_ALTERED_AFTER_SIGNING = "was altered after signing"
    READS_WILD_MEMORY = "reads wild memory"
    NEVER_ENDS = "never ends"
    IS_MEANT_FOR_TESTING_KERNELS = "is meant for testing kernels"


class Goes(Enum):
    """The defect of a deployed extension, which appears after some calls. A testing kernel plants it on request."""

    FAULTS = "faults"
    OVERRUNS = "overruns"

    @property
    def planted(self) -> tuple[ImageFlag, RollbackCause]:
        """The flag that plants it, and the cause of the required rollback."""
        if self is Goes.FAULTS:
            return ImageFlag.PLANT_FAULT, RollbackCause.FAULT
        return ImageFlag.PLANT_OVERRUN, RollbackCause.OVERRUN


def offered(what: Offer, key: LabKey) -> tuple[Program, bytes]:
    """The program and the image to send to the kernel."""
    program = answer(XDP_PASS)
    if what is Offer.READS_WILD_MEMORY:
        program = wild_load(hook=Hook.NET_RX)
    elif what is Offer.NEVER_ENDS:
        program = endless()
    signer = key
    if what is Offer.WAS_SIGNED_BY_A_STRANGER:
        signer = make_key(monocypher.generate_signing_key_pair()[0])
    flags = ImageFlag.TESTING if what is Offer.IS_MEANT_FOR_TESTING_KERNELS else ImageFlag(0)
    image = seal(program, signer, flags=flags)
    if what is Offer.IS_UNSIGNED:
        image = image[:-SIGNATURE_SIZE] + bytes(SIGNATURE_SIZE)
    elif what is Offer.IS_CUT_SHORT:
        image = image[: -SIGNATURE_SIZE // 2]
    elif what is Offer.WAS_ALTERED_AFTER_SIGNING:
        at = ImageHeader.wire_size() + len(program.insns) // 2
        image = image[:at] + bytes([image[at] ^ 1]) + image[at + 1 :]
    return program, image


def duration_ns(seconds: float) -> float:
    """A time limit of a suite in ns. Raises ConfigError if it is not above zero."""
    if seconds <= 0:
        raise ConfigError(f"a limit of {seconds:g} s", expected="a time above zero, such as `100 ms`")
    return seconds * 1e9
