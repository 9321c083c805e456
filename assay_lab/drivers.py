"""What a driver of a lab's own is written against: its options, and the protocols of consoles, switches and boots."""

from __future__ import annotations

from targets.options import Command, LocatedPath, Options, Pause, Seconds
from targets.protocols import Boot, Console, Port, Power

__all__ = ["Boot", "Command", "Console", "LocatedPath", "Options", "Pause", "Port", "Power", "Seconds"]
