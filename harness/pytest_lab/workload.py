"""Selects a worker's next test: board types are pools, places their capacity; no worker waits while tests can run."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

UNKNOWN_S: Final = 1.0  # assumed duration of a test without a recorded one
_ALIKE_BELOW_S: Final = 0.5  # shorter tests stay in collection order, which needs fewer module fixtures


@dataclass(frozen=True, slots=True)
class Work:
    """One test for the scheduler: its board type (none: ""), the image, and the number of places it needs.

    Tests of one `module` share expensive set-up (a compiled program, a model), once per worker that runs any of them.
    """

    kind: str = ""
    image: str = ""
    places: int = 0
    duration_s: float = UNKNOWN_S
    module: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Places of one board type: those that this run holds or can lease now, and those that others hold or reserved.

    If both are zero, its tests have nothing to wait for: they fail at once on any worker.
    """

    usable: int
    foreign: int = 0


class Workload:
    """The tests of a run that are not assigned yet, and the assigned tests per worker.

    A worker stays with its board type while that has tests. Then it moves to the board type with a free place and the
    most remaining work per worker. A board type whose places others hold comes last, and one worker waits for it. A
    test with two places reduces the workers of its board type by one until it ends, so that the second place is free
    when the test needs it. Tests without a board are grouped by module: a worker finishes its module, then takes one
    that no other worker runs, while there are any.
    """

    def __init__(self, works: Sequence[Work], capacity: Callable[[str], Capacity]) -> None:
        self.works = works
        self._capacity = capacity
        self._pools: dict[str, list[int]] = {}
        self._given: dict[str, list[int]] = {}
        self._home: dict[str, str] = {}
        self._module: dict[str, str] = {}
        images: dict[tuple[str, str], int] = {}
        for index, work in enumerate(works):
            images.setdefault((work.kind, work.image), len(images))
            self._pools.setdefault(work.kind, []).append(index)
        self._rank = [
            (work.places < 2, images[work.kind, work.image], -_size(work.duration_s), index)
            for index, work in enumerate(works)
        ]
        for pool in self._pools.values():
            pool.sort(key=self._rank.__getitem__)

    @property
    def left(self) -> int:
        """Number of unassigned tests."""
        return sum(map(len, self._pools.values()))

    def given(self, worker: str) -> Sequence[int]:
        """The assigned and unfinished tests of `worker`, in order."""
        return tuple(self._given.get(worker, ()))

    def take(self, worker: str) -> int | None:
        """Assign the next test to `worker`; None if none can run now without waiting for another worker."""
        for kind in self._choices(worker):
            index = self._next_of(kind, worker)
            if index is not None:
                self._pools[kind].remove(index)
                self._given.setdefault(worker, []).append(index)
                self._home[worker] = kind
                self._module[worker] = self.works[index].module
                return index
        return None

    def completed(self, worker: str, index: int) -> None:
        """`worker` has finished that test."""
        self._given[worker].remove(index)

    def leave(self, worker: str, unrun: Collection[int]) -> None:
        """`worker` is gone; its tests that have not started become unassigned."""
        self._given.pop(worker, None)
        self._home.pop(worker, None)
        self._module.pop(worker, None)
        for index in unrun:
            self._pools[self.works[index].kind].append(index)
            self._pools[self.works[index].kind].sort(key=self._rank.__getitem__)

    def _others(self, kind: str, worker: str) -> int:
        """Number of other workers with an assigned test of `kind`."""
        return sum(
            any(self.works[index].kind == kind for index in given)
            for other, given in self._given.items()
            if other != worker
        )

    def _room(self, kind: str, places: int) -> float:
        """How many workers the board type can use, with that many places."""
        if not kind:
            return math.inf
        pairs = any(self.works[index].places > 1 for index in self._pools[kind]) or any(
            self.works[index].places > 1 and self.works[index].kind == kind
            for given in self._given.values()
            for index in given
        )
        return max(places - pairs, min(places, 1))

    def _choices(self, worker: str) -> list[str]:
        """Board types that `worker` may take a test from, best first."""
        left_s = {
            kind: sum(self.works[index].duration_s for index in pool) for kind, pool in self._pools.items()
        }
        fair_s = sum(left_s.values()) / max(1, len(self._given))
        ranked: list[tuple[tuple[bool, bool, bool, float], str]] = []
        for kind, pool in self._pools.items():
            if not pool:
                continue
            others = self._others(kind, worker)
            capacity = self._capacity(kind) if kind else Capacity(0)
            sick = capacity.usable + capacity.foreign == 0
            room = math.inf if sick else self._room(kind, capacity.usable)
            waits = others >= room
            if waits and (others or not capacity.foreign):
                continue  # one worker is enough to wait, and to run the tests when it has a place
            home = kind == self._home.get(worker)
            if home and self._given.get(worker):
                waits = (
                    False  # a worker that waits for a board type takes no other test before it has a place
                )
            # All its places together need longer than an equal share: starting late there would end last.
            critical = left_s[kind] / max(room, 1) >= fair_s
            ranked.append(((waits, not home, not critical, -left_s[kind] / (others + 1)), kind))
        return [kind for _rank, kind in sorted(ranked, key=lambda choice: choice[0])]

    def _next_of(self, kind: str, worker: str) -> int | None:
        """The pool's first test for `worker`; only one worker at a time runs tests with two places."""
        paired = (
            kind != ""
            and self._capacity(kind) != Capacity(0)
            and any(
                self.works[index].places > 1 and self.works[index].kind == kind
                for other, given in self._given.items()
                if other != worker
                for index in given
            )
        )
        able = [index for index in self._pools[kind] if self.works[index].places < 2 or not paired]
        if not able or not self.works[able[0]].module:
            return able[0] if able else None
        own = self._module.get(worker)
        others = {module for other, module in self._module.items() if other != worker}
        return min(
            able,  # in order of rank: min() returns the first of the best
            key=lambda index: (self.works[index].module != own, self.works[index].module in others),
        )


def _size(duration_s: float) -> int:
    """Long tests first, by powers of two, so that none runs alone at the end; short tests all count the same."""
    return max(0, math.ceil(math.log2(max(duration_s, 1e-9) / _ALIKE_BELOW_S)))
