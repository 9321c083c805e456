"""A board kind as its file describes it, after validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class QemuSpec:
    """How to start the machine: QEMU machine and CPU names, RAM in MiB, cores, which kernel file form it boots."""

    machine: str
    cpu: str | None
    memory_mib: int
    cores: int
    boot: str  # "elf" or "img"
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """One kind of board. `firmware` names the folder of firmware/boards; `console` is "unix" or "pty" on QEMU."""

    kind: str
    firmware: str
    tags: tuple[str, ...]
    instances: int
    console: str
    baud: int
    boot_timeout_s: float
    request_timeout_s: float
    qemu: QemuSpec | None = None
    scenario: str | None = None
    capabilities: Mapping[str, bool] = field(default_factory=dict)
