"""The names of `assay_lab`, imported from their modules. `assay_lab` loads this module when a name is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai.scenarios import Situation, situation
from contracts.board import BoardSpec, Place
from contracts.diagnosis import Diagnosis, Generated, Refusal, TrialObservation, TrialResult
from contracts.errors import (
    AssayError,
    BoardLost,
    BudgetExceeded,
    BuildError,
    Cause,
    ChannelError,
    ConfigError,
    InfraError,
    KernelError,
    KernelFault,
    MachineBusy,
    ModelError,
    ProgramRejected,
    RequestRefused,
    SetupError,
)
from contracts.measurement import Budget, Clock, Direction, Measurement, Samples, Stat, Verdict
from contracts.program import Hook, MapDef, MapFlags, MapType, Program
from contracts.telemetry import Telemetry, TopPort, TopSource
from contracts.trace import Trace, TracePacket
from contracts.wire.events import CommitEvent, Event, FaultEvent, LogEvent, RollbackCause, RollbackEvent
from contracts.wire.frames import Status
from contracts.wire.image import ImageFlag, ImageKind
from contracts.wire.live import (
    LoadResponse,
    Provocation,
    ReplayResponse,
    ResultRecord,
    RunMode,
    RunResponse,
    SwapResponse,
    TrialResponse,
)
from contracts.wire.session import BoardFlag, HelloResponse, StatusResponse
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board, open_board
from harness.boards.registry import select as select_boards
from harness.boards.registry import select_one as select_board
from harness.boards.serial_line import NotReceived, SerialLine
from harness.bpf import asm
from harness.bpf.compile import CompiledObject
from harness.bpf.seal import SealedImage, program_id, seal, unseal
from harness.channel.captures import read_capture
from harness.channel.client import ChannelClient
from harness.channel.requester import ReceivedEvent, Silent
from harness.config.keys import LabKey, load_key
from harness.judge.budgets import Budgets, Judged, StageBudget
from harness.judge.stopwatch import Stopwatch
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage
from harness.lease import Lease, LeaseLost, NoneUsable, acquire
from harness.loop.pipeline import (
    Adaptation,
    Attempt,
    Loaded,
    Writer,
    adapt,
    compile_program,
    deploy,
    execute_and_watch,
    guest_clock,
    load,
    observe,
    prepare,
    run_trial,
)

if TYPE_CHECKING:
    from harness.loop.writer import open_writer
    from harness.pytest_lab.fixtures import TestBudgets
else:

    def __getattr__(name: str) -> object:
        """`open_writer` needs numpy and `TestBudgets` pytest: only a suite that uses them loads those."""
        if name == "open_writer":
            from harness.loop.writer import open_writer

            return open_writer
        if name == "TestBudgets":
            from harness.pytest_lab.fixtures import TestBudgets

            return TestBudgets
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Adaptation",
    "AssayError",
    "Attempt",
    "BlobKind",
    "Board",
    "BoardFlag",
    "BoardLost",
    "BoardSpec",
    "Budget",
    "BudgetExceeded",
    "Budgets",
    "BuildError",
    "Cause",
    "ChannelClient",
    "ChannelError",
    "Clock",
    "CommitEvent",
    "CompiledObject",
    "ConfigError",
    "Diagnosis",
    "Direction",
    "Event",
    "FaultEvent",
    "Generated",
    "HelloResponse",
    "Hook",
    "ImageFlag",
    "ImageKind",
    "InfraError",
    "Judged",
    "KernelError",
    "KernelFault",
    "KernelImage",
    "LabKey",
    "Lease",
    "LeaseLost",
    "LoadResponse",
    "Loaded",
    "LogEvent",
    "MachineBusy",
    "MapDef",
    "MapFlags",
    "MapType",
    "Measurement",
    "ModelError",
    "NoneUsable",
    "NotReceived",
    "Place",
    "Program",
    "ProgramRejected",
    "Provocation",
    "ReceivedEvent",
    "Refusal",
    "ReplayResponse",
    "RequestRefused",
    "ResultRecord",
    "RollbackCause",
    "RollbackEvent",
    "RunMode",
    "RunResponse",
    "Samples",
    "SealedImage",
    "SerialLine",
    "SetupError",
    "Silent",
    "Situation",
    "StageBudget",
    "Stat",
    "Status",
    "StatusResponse",
    "Stopwatch",
    "SwapResponse",
    "Telemetry",
    "TestBudgets",
    "TopPort",
    "TopSource",
    "Trace",
    "TracePacket",
    "TrialObservation",
    "TrialResponse",
    "TrialResult",
    "Verdict",
    "Writer",
    "acquire",
    "adapt",
    "asm",
    "compile_program",
    "deploy",
    "execute_and_watch",
    "guest_clock",
    "kernel_for",
    "load",
    "load_key",
    "observe",
    "open_board",
    "open_writer",
    "prepare",
    "program_id",
    "read_capture",
    "run_trial",
    "seal",
    "select_board",
    "select_boards",
    "situation",
    "unseal",
]
