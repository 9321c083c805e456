"""The scheduler towards xdist's workers: who is told to end, and who has to stay."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.pytest_lab.scheduling import BoardScheduling
from harness.pytest_lab.workload import Capacity, Work


class Worker:
    """One worker as the scheduler sees it: it gets tests, and may be told to end."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        assert not self.shutting_down, f"{self.gateway.id} is given {indices} after it was told to end"

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.mark.parametrize("count", [1, 2, 4])
def test_places_that_others_take_for_a_while_leave_no_test_without_a_worker(
    pytestconfig: pytest.Config, count: int
) -> None:
    places = {"virt": Capacity(4)}
    scheduler = BoardScheduling(
        pytestconfig,
        count,
        lambda collection: [Work("virt", places=1) for _ in collection],
        lambda kind, _workers: places[kind],
    )
    collection = [f"test_{number}" for number in range(20)]
    workers = [Worker(f"gw{number}") for number in range(count)]
    for worker in workers:
        scheduler.add_node(cast("Any", worker))
        scheduler.add_node_collection(cast("Any", worker), collection)
    scheduler.schedule()
    places["virt"] = Capacity(1, 3)  # other processes now hold three of the four places

    def given(worker: Worker) -> list[int]:
        return list(scheduler._given(cast("Any", worker)))

    def can_run(worker: Worker) -> bool:
        """A worker of xdist starts a test when it knows the next one, or that there is none."""
        return len(given(worker)) > 1 or (worker.shutting_down and bool(given(worker)))

    done = 0
    while workers:
        able = [worker for worker in workers if can_run(worker)]
        assert able, "the workers wait for each other"
        worker = max(able, key=lambda each: len(given(each)))  # all come to their last test together
        scheduler.mark_test_complete(cast("Any", worker), given(worker)[0])
        done += 1
        for ended in [worker for worker in workers if worker.shutting_down and not given(worker)]:
            workers.remove(ended)
            scheduler.remove_node(cast("Any", ended))
    assert done == len(collection)
