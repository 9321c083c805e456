"""Setting the wall clock back by hours during a lease has no effect."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from harness.lease import reservation, states

MakeSpec = Callable[..., BoardSpec]
StartHolder = Callable[..., Any]

HOURS_BACK = 5
# Changes the C library's time of day when the file exists; clocks since boot are unchanged.
SHIM = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static time_t back(void)
{
    const char *path = getenv("CLOCK_BACK");
    return path != NULL && access(path, F_OK) == 0 ? HOURS * 3600 : 0;
}
int clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && clock == CLOCK_REALTIME)
        out->tv_sec -= back();
    return result;
}
int gettimeofday(struct timeval *out, void *zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(SHIM)
    zig = Path(sysconfig.get_path("purelib")) / "ziglang" / "zig"
    library = folder / "clock.so"
    command = [str(zig), "cc", "-shared", "-fPIC", "-O1", f"-DHOURS={HOURS_BACK}"]
    subprocess.run([*command, str(folder / "clock.c"), "-o", str(library)], check=True, timeout=100)
    return library


def test_a_clock_set_back_in_mid_lease_changes_no_age_no_epoch_order_and_no_timeout(
    make_spec: MakeSpec, start_holder: StartHolder, shim: Path, tmp_path: Path
) -> None:
    spec = make_spec(2)
    back = tmp_path / "back"
    environment = {"LD_PRELOAD": str(shim), "CLOCK_BACK": str(back)}
    first = start_holder(spec, environment)
    before = first.said()
    wall_s = first.ask("wall")["wall_s"]
    reservation.reserve(spec.places[1], 3600)
    age_s = first.ask("since")["age_s"]
    back.touch()
    assert first.ask("wall")["wall_s"] < wall_s - (HOURS_BACK - 1) * 3600, "the clock went back"
    after = first.ask("since")
    assert 0 <= age_s <= after["age_s"] < 600
    assert after["silent_s"] < 600
    assert first.ask("check") == {"lost": ""}
    # Processes that start now also see the old time.
    stranger = {**environment, "ASSAY_USER": "somebody else"}
    late = start_holder(spec, stranger, timeout_s=0.2)
    assert "held" in late.said()["waiting"]
    refused = late.said()["error"]
    assert "within 0.2 s" in refused
    assert "for 59 min 5" in refused, "the reservation has the time left that it had"
    first.ask("release")
    assert start_holder(spec, stranger).said()["epoch"] > before["epoch"]
    assert states(spec)[1].state == "reserved"
