"""`assay` as a person types it, with leases of the test's own, and a program to load."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from contracts.root import ROOT
from harness.cli import app

COUNT = """\
#include "assay.h"

enum kind { OTHER, FLOOD };
struct talk { u64 packets; u32 bytes; enum kind kind; };
HASH(talkers, u32, struct talk, 64);

SEC("net_rx") int count(struct xdp_md *ctx)
{
    u8 *data = (u8 *)(u64)ctx->data, *end = (u8 *)(u64)ctx->data_end;
    if (data + 34 > end)
        return XDP_PASS;
    u32 protocol = data[23];
    struct talk *talk = bpf_map_lookup_elem(&talkers, &protocol);
    if (talk) {
        talk->packets++;
        talk->kind = FLOOD;
    } else {
        struct talk first = {1, 0, OTHER};
        bpf_map_update_elem(&talkers, &protocol, &first, BPF_ANY);
    }
    return protocol == 17 ? XDP_DROP : XDP_PASS;
}
"""


@dataclass(frozen=True)
class Bench:
    """A person's folder and shell."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ASSAY_LAB"))
        }
        return kept | {"ASSAY_LEASES": str(self.folder / "leases"), "COLUMNS": "160"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=ROOT, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def assay(self, *arguments: str, code: int = 0, typed: str = "") -> str:
        """Run a command; its output, and its messages when it was to fail.

        In this process, which saves the half second that an interpreter takes; in its own where something is typed.
        """
        ended, printed, told = self._in_its_own(arguments, typed) if typed else self._here(arguments)
        assert ended == code, printed + told
        assert "Traceback" not in printed + told
        return printed if code == 0 else printed + told

    def _here(self, arguments: Sequence[str]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.environment, clear=True),
            patch.object(sys, "argv", ["assay", *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = app.main()
        return code, out.getvalue(), err.getvalue()

    def _in_its_own(self, arguments: Sequence[str], typed: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=ROOT, env=self.environment, text=True, capture_output=True, timeout=100, check=False,
            input=typed,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self.assay(*arguments, "--json"))

    def held(self, place: str) -> dict[str, Any] | None:
        """Who holds a place, as `assay lease list` says it."""
        (state,) = (
            row for row in self.json("lease", "list", "--board", "qemu-virt") if row["place"] == place
        )
        holder: dict[str, Any] | None = state["holder"]
        return holder
