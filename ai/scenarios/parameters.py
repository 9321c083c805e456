"""The closed sets of choices that describe a situation, and the compositions that are held out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from itertools import product
from random import Random
from typing import Final

FAMILIES: Final = ("flood", "portscan", "hotport", "latency")

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "flood": ("source", "dest", "subnet", "pair", "dport"),
    "portscan": ("source", "dest", "subnet", "pair"),
    "hotport": ("dport", "sport", "source", "dest", "proto"),
    "latency": ("all", "source", "dest", "dport", "pair"),
}
FILTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "flood": ("any", "tcp", "udp", "icmp", "syn"),
    "portscan": ("any", "tcp", "udp", "syn"),
    "hotport": ("any", "tcp", "udp", "syn"),
    "latency": ("any", "tcp", "udp", "icmp", "syn"),
}
MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    "flood": ("packets", "bytes"),
    "portscan": ("ports", "hosts"),
    "hotport": ("packets", "bytes", "both"),
    "latency": ("gap",),
}
ACTIONS: Final = ("drop", "tx", "mark")
MIN_LENGTHS: Final = (0, 96, 128)
WINDOWS_MS: Final = (0, 10, 100, 1000)
LIMITS: Final[Mapping[str, tuple[int, ...]]] = {
    "packets": (8, 12, 16, 20, 24, 32),
    "bytes": (1024, 1536, 2048, 3072),
    "ports": (6, 8, 12, 16),
    "hosts": (6, 8, 12, 16),
}
ENTRIES: Final = (64, 128, 256, 512, 1024)
BUCKETS: Final = (16, 24, 32)
SCALES: Final = ("ns", "us", "ms")

LIMITING: Final = ("flood", "portscan")
"""Families that act on packets; the others only count."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a program for one situation has to do.

    `key` is what packets are grouped by, `filter` which packets count, `min_length` the minimum length (bytes on the
    wire, 0 for all), `measure` what is counted. `limit` (in units of `measure`), `window_ms` (0: no window) and
    `action` belong to `flood` and `portscan`; `scale` and `buckets` to `latency`; otherwise they are 0 or "".
    """

    family: str
    key: str
    filter: str
    min_length: int
    measure: str
    entries: int
    limit: int = 0
    window_ms: int = 0
    action: str = ""
    scale: str = ""
    buckets: int = 0

    def as_text(self) -> dict[str, str]:
        """The choices for a `Diagnosis`: every field except the family, as strings."""
        return {f.name: str(getattr(self, f.name)) for f in fields(self) if f.name != "family"}

    @classmethod
    def from_text(cls, family: str, text: Mapping[str, str]) -> Parameters:
        """The inverse of `as_text`. Raises ValueError for a missing field or a value outside the closed sets."""
        values: dict[str, str | int] = {"family": family}
        for field in fields(cls):
            if field.name == "family":
                continue
            if field.name not in text:
                raise ValueError(f"parameter {field.name!r} is missing; got {sorted(text)}")
            raw = text[field.name]
            values[field.name] = int(raw) if field.type == "int" else raw
        made = cls(**values)  # type: ignore[arg-type]
        made.check()
        return made

    def check(self) -> None:
        """Raises ValueError, naming the field, unless every choice is in its closed set."""
        if self.family not in FAMILIES:
            raise ValueError(f"family {self.family!r}; expected one of {FAMILIES}")
        limiting = self.family in LIMITING
        latency = self.family == "latency"
        allowed: dict[str, tuple[object, ...]] = {
            "key": KEYS[self.family],
            "filter": FILTERS[self.family],
            "measure": MEASURES[self.family],
            "min_length": MIN_LENGTHS,
            "entries": ENTRIES,
            "limit": LIMITS[self.measure] if limiting and self.measure in LIMITS else (0,),
            "window_ms": WINDOWS_MS if limiting else (0,),
            "action": ACTIONS if limiting else ("",),
            "scale": SCALES if latency else ("",),
            "buckets": BUCKETS if latency else (0,),
        }
        for name, choices in allowed.items():
            value = getattr(self, name)
            if value not in choices or type(value) is not type(choices[0]):  # 32.0 and True are not choices
                raise ValueError(
                    f"{self.family}: {name} is {getattr(self, name)!r}; expected one of {choices}"
                )
        if self.filter == "icmp" and self.key in ("dport", "sport"):
            raise ValueError(f"{self.family}: icmp has no ports, so key {self.key!r} groups nothing")
        if self.measure == "hosts" and self.key not in ("source", "subnet"):
            raise ValueError(
                f"{self.family}: key {self.key!r} names one host, so counting hosts says nothing"
            )

    @property
    def template(self) -> tuple[str, ...]:
        """The shape of the program's body: the unit of a whole-template hold-out."""
        windowed = "windowed" if self.window_ms else "total"
        return (self.family, self.key, self.measure, windowed if self.family in LIMITING else "")

    @property
    def composition(self) -> tuple[str, ...]:
        """The template with filter, length filter and action: the unit of a composition hold-out."""
        sized = "sized" if self.min_length else ""
        return (*self.template, self.filter, sized, self.action, self.scale)


def _hash(words: tuple[str, ...]) -> int:
    return int.from_bytes(hashlib.sha256("/".join(words).encode()).digest()[:8], "big")


def held_out_template(parameters: Parameters) -> bool:
    """Whether training must never see this template: in each family, the one with the smallest hash.

    A key that only one template uses stays in training, so that training includes every word of the closed sets.
    """
    return parameters.template in _held_out_templates()


def held_out(parameters: Parameters) -> str:
    """The split that excludes these parameters from training: "template", "composition" (one in ten), or "" for none."""
    if held_out_template(parameters):
        return "template"
    return "composition" if _hash(("composition", *parameters.composition)) % 10 == 0 else ""


@cache
def _held_out_templates() -> frozenset[tuple[str, ...]]:
    shapes = list(templates())
    first: dict[str, tuple[str, ...]] = {}
    for parameters in shapes:
        if sum(other.key == parameters.key for other in shapes) < 2:
            continue  # the only use of a key: without it training would lack the word
        best = first.get(parameters.family)
        if best is None or _hash(parameters.template) < _hash(best):
            first[parameters.family] = parameters.template
    return frozenset(first.values())


def draw(family: str, rng: Random) -> Parameters:
    """One uniform draw of every choice of `family`; numbers come from their closed sets."""
    while True:
        limiting, latency = family in LIMITING, family == "latency"
        measure = rng.choice(MEASURES[family])
        made = Parameters(
            family=family,
            key=rng.choice(KEYS[family]),
            filter=rng.choice(FILTERS[family]),
            min_length=rng.choice(MIN_LENGTHS),
            measure=measure,
            entries=rng.choice(ENTRIES),
            limit=rng.choice(LIMITS[measure]) if limiting else 0,
            window_ms=rng.choice(WINDOWS_MS) if limiting else 0,
            action=rng.choice(ACTIONS) if limiting else "",
            scale=rng.choice(SCALES) if latency else "",
            buckets=rng.choice(BUCKETS) if latency else 0,
        )
        try:
            made.check()
        except ValueError:
            continue
        return made


def templates() -> Iterator[Parameters]:
    """One example of every template, in a fixed order."""
    for family in FAMILIES:
        limiting, latency = family in LIMITING, family == "latency"
        for key, measure, window in product(KEYS[family], MEASURES[family], (0, 100) if limiting else (0,)):
            made = Parameters(
                family=family,
                key=key,
                filter="any",
                min_length=0,
                measure=measure,
                entries=64,
                limit=LIMITS[measure][0] if limiting else 0,
                window_ms=window,
                action="drop" if limiting else "",
                scale="ns" if latency else "",
                buckets=16 if latency else 0,
            )
            try:
                made.check()
            except ValueError:
                continue
            yield made
