"""Assignment of tests to workers: every rule holds in any order of ending tests and dying workers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.pytest_lab.workload import Capacity, Work, Workload

KINDS = ("", "virt", "rpi3", "rpi4")
WORK = st.builds(
    lambda kind, image, places, duration_s, module: Work(
        kind, image, places if kind else 0, duration_s, "" if kind else module
    ),
    st.sampled_from(KINDS),
    st.sampled_from(("release", "testing")),
    st.sampled_from((1, 1, 1, 2)),
    st.sampled_from((0.0, 0.1, 0.7, 3.0, 20.0)),
    st.sampled_from(("a.py", "b.py", "c.py")),
)
CAPACITY = st.builds(Capacity, st.integers(0, 4), st.integers(0, 2))


def of(count: int, kind: str, **more: object) -> list[Work]:
    return [Work(kind, places=1, **more)] * count  # type: ignore[arg-type]


def workload(works: list[Work], **places: int) -> Workload:
    return Workload(works, lambda kind: Capacity(places.get(kind, 1)))


def begun(workload: Workload, workers: list[str], capacities: dict[str, Capacity]) -> dict[str, set[str]]:
    """By board type with places: the workers whose tests need one of them."""
    out: dict[str, set[str]] = {}
    for worker in workers:
        for index in workload.given(worker):
            kind = workload.works[index].kind
            if kind and capacities[kind] != Capacity(0):
                out.setdefault(kind, set()).add(worker)
    return out


@settings(max_examples=300, deadline=None)
@given(
    st.lists(WORK, max_size=25),
    st.fixed_dictionaries(dict.fromkeys(KINDS[1:], CAPACITY)),
    st.integers(1, 5),
    st.data(),
)
def test_any_order_of_ends_and_deaths_gives_each_test_once_within_capacity_and_leaves_nobody_idle(
    works: list[Work], capacities: dict[str, Capacity], count: int, data: st.DataObject
) -> None:
    load = Workload(works, capacities.__getitem__)
    workers = [f"gw{number}" for number in range(count)]
    done: Counter[int] = Counter()
    for step in range(4 * len(works) + 10):
        for worker in workers:
            while len(load.given(worker)) < 2 and load.take(worker) is not None:
                pass
        occupied = begun(load, workers, capacities)
        for kind, holders in occupied.items():
            assert len(holders) <= max(capacities[kind].usable, 1)
            pairs = [
                w
                for w in holders
                if any(works[i].places > 1 and works[i].kind == kind for i in load.given(w))
            ]
            assert len(pairs) <= 1, "two workers may want the spare place at once"
            if pairs and capacities[kind].foreign == 0 and capacities[kind].usable > 1:
                assert len(holders) < capacities[kind].usable, "no spare place is left for a test of two"
        for worker in workers:
            if not load.given(worker):
                for index in (
                    set(range(len(works))) - done.keys() - {i for w in workers for i in load.given(w)}
                ):
                    kind = works[index].kind
                    places = capacities[kind].usable + capacities[kind].foreign if kind else 0
                    assert places, f"{worker} is idle while {works[index]} needs no place"
                    assert occupied[kind], f"{worker} is idle while nobody runs {kind}"
                    paired = any(works[i].places > 1 for w in occupied[kind] for i in load.given(w))
                    unrun_pairs = any(
                        w.places > 1 and w.kind == kind and not done[i] for i, w in enumerate(works)
                    )
                    full = len(occupied[kind]) >= capacities[kind].usable - unrun_pairs
                    assert full or (works[index].places > 1 and paired)
        busy = [worker for worker in workers if load.given(worker)]
        if not busy:
            break
        worker = data.draw(st.sampled_from(busy), label=f"step {step}")
        first, *rest = load.given(worker)
        done[first] += 1
        if data.draw(st.integers(0, 9), label="dies") == 0:
            load.leave(worker, rest)
            workers[workers.index(worker)] = f"{worker}+"
        else:
            load.completed(worker, first)
    assert done == Counter(range(len(works)))
    assert load.left == 0


def test_workers_spread_over_the_kinds_and_stay_with_theirs() -> None:
    load = workload([*of(6, "virt"), *of(6, "rpi3"), *of(6, "rpi4")], virt=4, rpi3=4, rpi4=4)
    firsts = {worker: load.take(worker) for worker in ("gw0", "gw1", "gw2")}
    kinds = {worker: load.works[index].kind for worker, index in firsts.items() if index is not None}
    assert sorted(kinds.values()) == ["rpi3", "rpi4", "virt"]
    for worker, index in firsts.items():
        for _ in range(5):
            assert index is not None
            load.completed(worker, index)
            index = load.take(worker)
            assert index is not None
            assert load.works[index].kind == kinds[worker]


def test_a_worker_whose_kind_is_done_goes_where_most_work_is_left() -> None:
    load = workload([*of(1, "virt"), *of(3, "rpi3"), *of(8, "rpi4"), *of(2, "")], virt=1, rpi3=4, rpi4=4)
    order = [load.works[index].kind for index in iter(lambda: load.take("gw0"), None)]
    assert order == [*["rpi4"] * 8, *["rpi3"] * 3, *[""] * 2, "virt"]


def test_a_kind_with_one_place_is_one_workers_and_the_others_stand_by() -> None:
    load = workload(of(4, "rpi3"), rpi3=1)
    assert load.take("gw0") is not None
    assert load.take("gw1") is None
    assert load.left == 3
    load.leave("gw0", load.given("gw0"))
    assert load.take("gw1") is not None


def test_a_kind_that_alone_takes_longer_than_a_fair_share_is_begun_first() -> None:
    load = workload([*of(60, "rpi3"), *of(100, "virt"), *of(80, "rpi4")], rpi3=1, virt=4, rpi4=4)
    kinds = []
    for worker in ("gw0", "gw1", "gw2", "gw3"):
        index = load.take(worker)
        assert index is not None
        kinds.append(load.works[index].kind)
    assert "rpi3" in kinds


def test_long_tests_come_first_within_an_image_and_short_ones_stay_in_order() -> None:
    seconds = (("release", 0.1), ("release", 9.0), ("release", 0.2), ("testing", 0.3), ("testing", 30.0))
    load = workload([Work("virt", image, 1, took_s) for image, took_s in seconds])
    assert list(iter(lambda: load.take("gw0"), None)) == [1, 0, 2, 4, 3]


def test_other_work_comes_before_a_kind_that_somebody_else_holds() -> None:
    held = {"virt": Capacity(0, 2), "rpi3": Capacity(1)}
    load = Workload([*of(9, "virt"), *of(2, "rpi3")], held.__getitem__)
    order = [load.works[index].kind for index in iter(lambda: load.take("gw0"), None)]
    assert order == ["rpi3"] * 2 + ["virt"] * 9


def test_a_kind_that_is_free_again_is_not_left_to_one_who_waits() -> None:
    held = {"virt": Capacity(0, 2), "rpi3": Capacity(0, 1)}
    load = Workload([*of(4, "virt"), *of(4, "rpi3")], held.__getitem__)
    waiting = load.take("gw0")
    assert waiting is not None
    kind = load.works[waiting].kind
    held |= {"virt": Capacity(2), "rpi3": Capacity(1)}
    index = load.take("gw0")
    assert index is not None
    assert load.works[index].kind == kind, "a test of another kind would wait with its worker"


@pytest.mark.parametrize("workers", [1, 4])
def test_a_kind_in_quarantine_holds_nobody_up(workers: int) -> None:
    load = workload(of(8, "virt"), virt=0)
    taken = [load.take(f"gw{number % workers}") for number in range(8)]
    assert None not in taken
    assert load.left == 0


def test_a_worker_ends_its_module_and_helps_with_anothers_only_at_the_end() -> None:
    works = [Work(module=module, duration_s=0.1) for module in ("a", "b", "c") for _ in range(2)]
    load = workload(works)
    taken = {worker: [load.take(worker) for _ in range(2)] for worker in ("gw0", "gw1")}
    assert taken == {"gw0": [0, 1], "gw1": [2, 3]}
    assert load.take("gw1") == 4, "the module that nobody is at"
    assert load.take("gw0") == 5, "nothing else is left"


def test_a_long_test_opens_its_module() -> None:
    works = [
        Work(module="a", duration_s=0.1),
        Work(module="b", duration_s=0.1),
        Work(module="b", duration_s=60),
    ]
    load = workload(works)
    assert [load.take("gw0"), load.take("gw1"), load.take("gw0")] == [2, 0, 1]
