"""Two labs on one machine: their files may name one board differently, but only one of them can hold it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.board import BoardSpec, Place
from harness.boards.registry import select_one
from harness.lease import states
from harness.lease.place_state import strays

MakeSpec = Callable[..., BoardSpec]
StartHolder = Callable[..., Any]

LAB = """
schema: 1
places:
  rpi4:
    - name: {name}
      console: {console}
      power: {{hub: 1-1.4, port: 1}}
      boot: {{folder: {folder}}}
"""


def test_two_labs_that_want_one_board_by_two_names_meet_in_one_lock(
    tmp_path: Path, start_holder: StartHolder
) -> None:
    master, slave = os.openpty()
    try:
        labs = []
        for name in ("left", "bench-pi"):
            console = tmp_path / f"by-id-{name}"
            console.symlink_to(os.ttyname(slave))
            lab = tmp_path / f"{name}.yaml"
            lab.write_text(LAB.format(name=name, console=console, folder=tmp_path))
            labs.append(lab)
        first = start_holder(kind="rpi4", lab=str(labs[0]))
        assert first.said()["place"] == "left"
        second = start_holder(kind="rpi4", lab=str(labs[1]))
        why = second.said()["waiting"]
        assert "the only rpi4 is held: bench-pi by " in why
        assert f"pid {first.process.pid}" in why
        first.kill()
        assert second.said()["place"] == "bench-pi"
        (state,) = states(select_one("rpi4", lab=[labs[0]]))
        assert (state.place.name, state.state) == ("left", "held")
        assert state.holder is not None
        assert state.holder.place == "bench-pi"
    finally:
        os.close(master)
        os.close(slave)


def test_a_board_that_was_removed_from_the_lab_while_held_is_still_shown(
    make_spec: MakeSpec, start_holder: StartHolder
) -> None:
    spec = make_spec(2)
    holder = start_holder(spec)
    holder.said()
    smaller = make_spec(1, kind="other")
    (stray,) = strays([smaller])
    assert (stray.place.name, stray.kind, stray.state, stray.configured) == (
        "bench-0",
        "bench",
        "held",
        False,
    )
    assert f"pid {holder.process.pid}" in stray.owner
    holder.kill()
    assert strays([smaller]) == []


def test_the_real_path_of_a_device_is_what_is_locked(tmp_path: Path) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    link = tmp_path / "by-id"
    link.symlink_to(device)
    assert Place("a", str(device)).identity == Place("b", str(link)).identity != Place("a").identity
