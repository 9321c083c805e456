"""A lock file: one holder, a fair queue, and waits that end cleanly."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.root import ROOT
from harness.machine.file_lock import GivenUp, file_lock

HOLDER = """
import sys, time
from pathlib import Path
from harness.machine.file_lock import file_lock
path, count = Path(sys.argv[1]), Path(sys.argv[1] + ".count")
print("up", flush=True)
while True:
    with file_lock(path, 60):
        count.open("a").write("x")
        time.sleep(0.005)
"""


@contextlib.contextmanager
def holders(path: Path, number: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that take the lock again directly after releasing it; each hold writes a letter to a file."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(number):
            process = subprocess.Popen(
                [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            stack.enter_context(process.stdout)
            assert process.stdout.readline() == "up\n"
            made.append(process)
        yield made


def test_who_waits_is_not_passed_over_by_those_who_take_it_again_and_again(tmp_path: Path) -> None:
    path, count = tmp_path / "lock", tmp_path / "lock.count"
    with holders(path, 3):
        passed = []
        for _ in range(10):
            asked = count.stat().st_size if count.exists() else 0
            with file_lock(path, 60):
                passed.append(count.stat().st_size - asked)
    assert sum(passed) / len(passed) < 15, passed


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holders(path, 1) as (holder,):
        holder.kill()
        with file_lock(path, 30):
            pass


def test_one_who_gave_up_waiting_never_holds_it_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    said: list[str] = []
    with file_lock(path, 10):
        with pytest.raises(TimeoutError), file_lock(path, 0.05, waiting=lambda: said.append("waits")):
            pytest.fail("two hold it")
        with pytest.raises(GivenUp), file_lock(path, 60, give_up=lambda: True):
            pytest.fail("two hold it")
    assert said == ["waits"]
    for thread in threading.enumerate():
        if thread.name == "file-lock":
            thread.join(10)
            assert not thread.is_alive()
    with file_lock(path, 10, waiting=lambda: pytest.fail("somebody still holds it")):
        pass


def test_who_waits_for_a_lock_file_that_is_removed_takes_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    waits, held, end = threading.Event(), threading.Event(), threading.Event()

    def second() -> None:
        with file_lock(path, 30, waiting=waits.set):
            held.set()
            end.wait(30)

    thread = threading.Thread(target=second)
    with file_lock(path, 10):
        thread.start()
        assert waits.wait(10)
        path.unlink()
    assert held.wait(10)
    try:
        with pytest.raises(TimeoutError), file_lock(path, 0.05):
            pytest.fail("two hold it")
    finally:
        end.set()
        thread.join(10)


def test_a_link_in_a_folder_for_all_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / "lock").symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"), file_lock(tmp_path / "lock", 1):
        pass
    assert mine.read_text() == "precious"
