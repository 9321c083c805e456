"""Limits of the engine, reasons of a refusal, and how a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MAX_SLOTS: Final = 4096
MAX_MAPS: Final = 8
MAX_SUBPROGS: Final = 16
MAX_CALL_DEPTH: Final = 8
STACK_SIZE: Final = 512
MAX_PROCESSED: Final = 200_000
REASON_SIZE: Final = 512
MAP_NAME_SIZE: Final = 16
MAX_VALUE_SIZE: Final = 65_536
MAX_ENTRIES: Final = 1 << 20
TRACE_FORMAT_MAX: Final = 128
TRACE_TEXT_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit with its C name and comment."""

    name: str
    value: int
    comment: str = ""


LIMITS: Final = (
    Limit("BPF_MAX_SLOTS", MAX_SLOTS, "slots of 8 bytes in a program"),
    Limit("BPF_MAX_MAPS", MAX_MAPS, "maps of a program"),
    Limit("BPF_MAX_SUBPROGS", MAX_SUBPROGS, "functions of a program, including its entry"),
    Limit("BPF_MAX_CALL_DEPTH", MAX_CALL_DEPTH, "frames of a call chain"),
    Limit("BPF_STACK_SIZE", STACK_SIZE, "bytes, shared by all frames of a call chain, as in Linux"),
    Limit("BPF_MAX_PROCESSED", MAX_PROCESSED, "instructions that the verifier walks over all paths"),
    Limit("BPF_REASON_SIZE", REASON_SIZE, "bytes of a refusal's text, including the terminating zero"),
    Limit("BPF_MAP_NAME_SIZE", MAP_NAME_SIZE, "bytes of a map's name, including the terminating zero"),
    Limit("BPF_MAX_VALUE_SIZE", MAX_VALUE_SIZE, "bytes of a map's value"),
    Limit("BPF_MAX_ENTRIES", MAX_ENTRIES, "entries of a map"),
    Limit(
        "BPF_TRACE_FORMAT_MAX", TRACE_FORMAT_MAX, "bytes that a helper reads with a size given by the program"
    ),
    Limit("BPF_TRACE_TEXT_MAX", TRACE_TEXT_MAX, "bytes of one trace text"),
)


class Refusal(IntEnum):
    """Why the verifier refuses (`enum bpf_refusal`)."""

    ACCEPTED = 0
    BAD_ENCODING = 1
    BAD_JUMP = 2
    BAD_REGISTER = 3
    UNINITIALISED = 4
    BAD_ACCESS = 5
    BAD_POINTER_ARITHMETIC = 6
    BAD_HELPER = 7
    BAD_RETURN = 8
    BAD_CALL = 9
    STACK_TOO_DEEP = 10
    INFINITE_LOOP = 11
    TOO_COMPLEX = 12
    POINTER_LEAK = 13
    BAD_MAP = 14
    UNSUPPORTED = 15


class RunEnd(IntEnum):
    """How an interpretation ended (`enum bpf_interp_end`)."""

    OK = 0
    OUT_OF_BOUNDS = 1
    OUT_OF_FUEL = 2
    BAD_INSN = 3
    BAD_CALL = 4
