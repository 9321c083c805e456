"""Which test a worker runs next: kinds are pools, places their capacity, and nobody waits while there is work to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

UNKNOWN_S: Final = 1.0  # assumed of a test that never ran here, while no other has
_ALIKE_BELOW_S: Final = 0.5  # shorter tests stay in the order of collection, which spares module fixtures


@dataclass(frozen=True, slots=True)
class Work:
    """One test as a scheduler sees it: its kind of board (none: ""), the image on it, how many places it takes.

    Tests of one `module` share what is costly to set up (a compiled program, a model), once a worker that has any.
    """

    kind: str = ""
    image: str = ""
    places: int = 0
    duration_s: float = UNKNOWN_S
    module: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Places of one kind: those this run holds or could take now, and those that others hold or have reserved.

    With none of either, its tests cannot wait for anything: they say so at once, whoever runs them.
    """

    usable: int
    foreign: int = 0


class Workload:
    """The tests of a run that no worker has been given yet, and who has which.

    A worker stays with its kind while that has work. Then it goes where most work is left a worker and a place is
    free; a kind whose places others hold comes last, and one worker waits for it. A test of two places leaves its
    kind one worker short until it is done, so that the second place is there when it is asked for. Tests without a
    board go by modules: a worker ends the one it is at, and takes one that no other worker is at, while there are any.
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
        """How many tests no worker has been given."""
        return sum(map(len, self._pools.values()))

    def given(self, worker: str) -> Sequence[int]:
        """What `worker` has been given and has not completed, in its order."""
        return tuple(self._given.get(worker, ()))

    def take(self, worker: str) -> int | None:
        """The next test for `worker`, given to it; None when none can run now without a wait for another worker."""
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
        """`worker` is through with that test."""
        self._given[worker].remove(index)

    def leave(self, worker: str, unrun: Collection[int]) -> None:
        """`worker` is gone; those tests of its own that it has not begun are anybody's again."""
        self._given.pop(worker, None)
        self._home.pop(worker, None)
        self._module.pop(worker, None)
        for index in unrun:
            self._pools[self.works[index].kind].append(index)
            self._pools[self.works[index].kind].sort(key=self._rank.__getitem__)

    def _others(self, kind: str, worker: str) -> int:
        """How many workers but this one have a test of `kind` before them."""
        return sum(
            any(self.works[index].kind == kind for index in given)
            for other, given in self._given.items()
            if other != worker
        )

    def _room(self, kind: str, places: int) -> float:
        """For how many workers the kind has room, if it has that many places."""
        if not kind:
            return math.inf
        pairs = any(self.works[index].places > 1 for index in self._pools[kind]) or any(
            self.works[index].places > 1 and self.works[index].kind == kind
            for given in self._given.values()
            for index in given
        )
        return max(places - pairs, min(places, 1))

    def _choices(self, worker: str) -> list[str]:
        """Kinds that `worker` may take a test of, the best one first."""
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
                continue  # one worker is enough to wait, and to run the tests once it has a place
            home = kind == self._home.get(worker)
            if home and self._given.get(worker):
                waits = False  # whoever waits for a kind has no use for other work before it got its place
            # All its places together need longer than everybody's share: what is begun late there ends last.
            critical = left_s[kind] / max(room, 1) >= fair_s
            ranked.append(((waits, not home, not critical, -left_s[kind] / (others + 1)), kind))
        return [kind for _rank, kind in sorted(ranked, key=lambda choice: choice[0])]

    def _next_of(self, kind: str, worker: str) -> int | None:
        """The pool's first test for `worker`: one worker at a time has tests of two places, where there are any."""
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
            able,  # in order of rank: min() gives the first of the best
            key=lambda index: (self.works[index].module != own, self.works[index].module in others),
        )


def _size(duration_s: float) -> int:
    """Long tests first, by powers of two, so that none is alone at the end; all short ones are alike."""
    return max(0, math.ceil(math.log2(max(duration_s, 1e-9) / _ALIKE_BELOW_S)))
