"""pytest-xdist's scheduler for a lab: a worker stays with one board type, places are capacity (`workload`)."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import pytest

from harness.pytest_lab.chosen import specs_of
from harness.pytest_lab.durations import known_durations
from harness.pytest_lab.state import BOARD_FIXTURES, board_fixtures, is_worker, kind_of, lab_of
from harness.pytest_lab.workers import worker_process
from harness.pytest_lab.workload import UNKNOWN_S, Capacity, Work, Workload

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from contracts.board import BoardSpec

MIN_PENDING: Final = 2  # a worker starts a test when it knows the next one, or that there is none
_LOOK_S: Final = 0.2  # how long the known state of a board type's places stays valid
_FOLDER: Final = pytest.StashKey[Path]()
_GIVEN: Final = "assay_collection"


class BoardScheduling:
    """Gives tests to workers as `harness.pytest_lab.workload` decides, two at a time; one scheduler per session.

    `workers` are expected at the start; no test runs before all have collected, with the same result. A worker
    without a test stays idle while tests of other workers are not assigned yet, and is shut down after that.
    """

    def __init__(
        self,
        config: pytest.Config,
        workers: int,
        works: Callable[[Sequence[str]], Sequence[Work]],
        capacity: Callable[[str, Sequence[int]], Capacity],
    ) -> None:
        self.config = config
        self.begun: set[str] = set()
        """Tests that a worker has started, by id."""
        self.ended: set[str] = set()
        """Tests whose last report has arrived, by id."""
        self.interrupted: set[WorkerController] = set()
        """Workers that were interrupted: their tests are not retried."""
        self.broken = 0
        """Files that could not be collected."""
        self._expected = workers
        self._works = works
        self._capacity = capacity
        self._nodes: dict[WorkerController, list[str] | None] = {}
        self._collected = 0
        self._collection: list[str] | None = None
        self._workload = Workload((), self._capacity_now)

    @property
    def nodes(self) -> list[WorkerController]:
        """Running workers."""
        return list(self._nodes)

    @property
    def collection_is_completed(self) -> bool:
        """Whether all started workers have collected."""
        return self._collected >= self._expected

    @property
    def tests_finished(self) -> bool:
        """Whether no worker will get another test; each may still run its last one."""
        if not self.collection_is_completed or self._workload.left:
            return False
        return all(len(self._given(node)) < MIN_PENDING for node in self._nodes)

    @property
    def has_pending(self) -> bool:
        """Whether tests remain to be run."""
        return bool(self._workload.left) or any(self._given(node) for node in self._nodes)

    def add_node(self, node: WorkerController) -> None:
        """A worker has started and will collect."""
        self._nodes[node] = None

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected. A late worker with a different collection is not used."""
        self._collected += 1
        self._nodes[node] = list(collection)
        if self._collection is not None and self._nodes[node] != self._collection:
            self._differs(node, self._collection)
            self._nodes[node] = None
            node.shutdown()

    def schedule(self) -> None:
        """Assign tests: first when all workers have collected, then whenever a new worker has."""
        if self._collection is None:
            first, *others = (node for node, collection in self._nodes.items() if collection is not None)
            collection = self._nodes[first] or []
            different = [node for node in others if self._nodes[node] != collection]
            for node in different:
                self._differs(node, collection)
            self._collection = collection
            broken = self.broken - len(different)
            if broken and not self.config.getoption("continue_on_collection_errors"):
                self._stop(f"{broken} errors during collection")  # same as pytest without workers
            elif not different:
                self._workload = Workload(self._works(collection), self._capacity_now)
        self._feed()

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:  # noqa: ARG002
        """A worker has finished a test and starts its next one. One that was given up may still say so."""
        if node not in self._nodes:
            return
        self._workload.completed(node.gateway.id, item_index)
        self._feed()

    def mark_test_pending(self, item: str) -> None:
        """Not supported: a test that was started has its verdict; the worker retries it itself and reports once."""
        raise NotImplementedError(f"{item} is not rerun: it has its verdict")

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Not supported: this scheduler never takes tests back from a worker."""
        raise NotImplementedError(f"{node.gateway.id} returned tests without a request: {indices}")

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker is gone. Returns the test that it was running; its other tests are assigned again.

        Raises KeyError for a worker that never started.
        """
        del self._nodes[node]
        given = self._given(node)
        collection = self._collection or []
        unrun = [index for index in given if collection[index] not in self.begun]
        in_hand = [collection[index] for index in given if collection[index] in self.begun - self.ended]
        self._workload.leave(node.gateway.id, () if node in self.interrupted else unrun)
        self._feed()
        return in_hand[0] if in_hand and node not in self.interrupted else None

    def _given(self, node: WorkerController) -> Sequence[int]:
        return self._workload.given(node.gateway.id)

    def _capacity_now(self, kind: str) -> Capacity:
        return self._capacity(kind, [worker_pid(node) for node in self._nodes])

    def _feed(self) -> None:
        """Assign tests to every worker; one that gets no more runs its last test and exits, or stays idle."""
        able = [node for node, known in self._nodes.items() if known is not None and not node.shutting_down]
        for pending in range(MIN_PENDING):
            for node in able:
                if len(self._given(node)) != pending:
                    continue
                index = self._workload.take(node.gateway.id)
                if index is not None:
                    node.send_runtest_some([index])
        for node in able:
            given = len(self._given(node))
            stands_by = given == 0 and self._workload.left > 0
            if given < MIN_PENDING and not stands_by and not self._is_last(node):
                node.shutdown()

    def _is_last(self, node: WorkerController) -> bool:
        """Whether tests are left that only `node` can still take: others may hold every place just now.

        It keeps its test in hand until the others have finished theirs; then nothing but it can wait for a place.
        """
        others = (other for other in self._nodes if other is not node and not other.shutting_down)
        return self._workload.left > 0 and next(others, None) is None

    def _stop(self, why: str) -> None:
        session = self.config.pluginmanager.getplugin("dsession")
        if session is not None:
            session.shouldstop = why

    def _differs(self, node: WorkerController, collection: Sequence[str]) -> None:
        from xdist.report import report_collection_diff

        text = report_collection_diff(
            list(collection), self._nodes[node] or [], "the first worker", node.gateway.id
        )
        report = pytest.CollectReport(
            nodeid=node.gateway.id,
            outcome="failed",
            longrepr=text or "different tests were collected",
            result=[],
        )
        self.config.hook.pytest_collectreport(report=report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count files that could not be collected."""
        self.broken += report.failed

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Record that a worker has started this test."""
        self.begun.add(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record that this test has its verdict: a worker that dies after this, even in this test, does not change it."""
        if report.when == "teardown":
            self.ended.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """Distinguish a worker that was interrupted from one that died."""
        told = getattr(node, "workeroutput", None) or {}
        if error == "keyboard-interrupt" or told.get("assay_interrupted") or told.get("assay_exit"):
            self.interrupted.add(node)


def worker_pid(node: WorkerController) -> int:
    """The worker's process; 0 for one on another machine."""
    process = worker_process(node)
    return process.pid if process is not None else 0


class LivePlaces:
    """The current number of places per board type, for a run with known worker process ids."""

    def __init__(self, specs: Sequence[BoardSpec], unusable: Collection[str]) -> None:
        self._specs = {spec.kind: spec for spec in specs}
        self._unusable = unusable
        self._seen: dict[str, tuple[float, Capacity]] = {}

    def __call__(self, kind: str, workers: Sequence[int]) -> Capacity:
        """Places that a worker of this run holds or could lease, and those that others hold or have reserved."""
        spec = self._specs.get(kind)
        if spec is None or kind in self._unusable:
            return Capacity(0)
        now = time.monotonic()
        at, seen = self._seen.get(kind, (-_LOOK_S, Capacity(0)))
        if now - at >= _LOOK_S:
            seen = self._look(spec, workers)
            self._seen[kind] = (now, seen)
        return seen

    def _look(self, spec: BoardSpec, workers: Sequence[int]) -> Capacity:
        from contracts.errors import InfraError
        from harness.lease import states

        try:
            found = [state for state in states(spec) if state.state != "quarantined"]
        except InfraError:  # the test that acquires the lease reports it
            return Capacity(spec.instances)
        usable = sum(
            state.holder.pid in workers if state.holder is not None else state.usable for state in found
        )
        return Capacity(usable, len(found) - usable)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker where to write what its tests need; the controller does not collect."""
    config = node.config
    if _FOLDER not in config.stash:
        config.stash[_FOLDER] = Path(tempfile.mkdtemp(prefix="assay-collection-"))
    node.workerinput[_GIVEN] = str(config.stash[_FOLDER])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """In a worker: write what each test needs, before xdist reports the tests to the controller."""
    if not is_worker(session.config):
        return
    told: dict[str, str] = session.config.workerinput  # type: ignore[attr-defined]
    needs = {item.nodeid: _needs(item) for item in session.items if kind_of(item)}
    path = Path(told[_GIVEN]) / f"{told['workerid']}.json"
    path.write_text(json.dumps(needs), encoding="utf-8")


def _needs(item: pytest.Item) -> tuple[str, str, int]:
    """Board type, image and places of a board test. A test without a board fixture may open a board itself."""
    fixtures = list(board_fixtures(item))
    image = BOARD_FIXTURES[fixtures[0]] if fixtures else ""
    return kind_of(item) or "", image, 2 if "board_pair" in fixtures else 1


def read_works(folder: Path, durations: dict[str, float], collection: Sequence[str]) -> list[Work]:
    """What a worker wrote about its collection, with durations of earlier runs.

    A worker on another machine writes to a folder that is not visible here: its tests then have no board type.
    """
    needs: dict[str, tuple[str, str, int]] = {}
    for path in sorted(folder.glob("*.json")):
        needs = json.loads(path.read_text(encoding="utf-8"))
        break
    usual_s = median(durations.values()) if durations else UNKNOWN_S
    works = []
    for nodeid in collection:
        kind, image, places = needs.get(nodeid, ("", "", 0))
        module = "" if kind else nodeid.partition("::")[0]
        works.append(Work(kind, image, places, durations.get(nodeid, usual_s), module))
    return works


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BoardScheduling | None:
    """Assay's scheduler for `-n` and `--dist=load`; any other `--dist` uses xdist's."""
    _ = log
    if config.getoption("dist") != "load":
        return None
    from xdist.workermanage import parse_tx_spec_config

    durations = known_durations(config)
    scheduler = BoardScheduling(
        config,
        len(parse_tx_spec_config(config)),
        lambda collection: read_works(config.stash[_FOLDER], durations, collection),
        LivePlaces(specs_of(config), lab_of(config).unusable),
    )
    config.pluginmanager.register(scheduler, "assay-scheduler")
    return scheduler


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the workers' files."""
    if _FOLDER in config.stash:
        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
