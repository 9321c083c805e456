"""The interface for a lab's own driver: its options, and the protocols of consoles, power switches and boot methods."""

from __future__ import annotations

from targets.options import Command, LocatedPath, Options, Pause, Seconds
from targets.protocols import Boot, Console, Port, Power

__all__ = ["Boot", "Command", "Console", "LocatedPath", "Options", "Pause", "Port", "Power", "Seconds"]
