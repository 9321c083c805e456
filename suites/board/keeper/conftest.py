"""A bench for the tests of a file; whatever stays up is taken down at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from suites.board.keeper.bench import COUNT, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path
    (folder / "leases").mkdir()
    (folder / "count.c").write_text(COUNT)
    one = Bench(folder)
    yield one
    for socket in (folder / "leases").glob("*.up"):
        one.assay("down", socket.stem)
