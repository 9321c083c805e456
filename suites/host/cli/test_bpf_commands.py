"""`assay bpf` on invalid files: a message, never a traceback."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import dpkt
import pytest

from harness.cli import app as cli


def assay(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["assay", *arguments])
    return cli.main()


@pytest.mark.parametrize("command", ["verify", "disasm"])
def test_a_source_that_is_not_text_ends_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    path = tmp_path / "object.c"
    path.write_bytes(b"\x7fELF\xff\xfe")
    assert assay(monkeypatch, "bpf", command, str(path)) == 4
    assert "is not C source" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["-5", "99999999999"])
def test_a_memory_of_no_possible_size_ends_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, size: str
) -> None:
    path = tmp_path / "program.c"
    path.write_text("")
    assert assay(monkeypatch, "bpf", "verify", "--memory", size, str(path)) == 4
    assert "--memory" in capsys.readouterr().err


PROGRAM = """\
#include "assay.h"
struct seen { u64 packets; u32 last; u8 mac[6]; };
HASH(sources, u32, struct seen, 8);
SEC("net_rx") int prog(struct xdp_md *ctx)
{
    u8 *data = (u8 *)(u64)ctx->data, *end = (u8 *)(u64)ctx->data_end;
    if (data + 34 > end)
        return XDP_ABORTED;
    u32 source = *(u32 *)(data + 26);
    struct seen *seen = bpf_map_lookup_elem(&sources, &source);
    struct seen first = {1, 60, {1, 2, 3, 4, 5, 6}};
    if (seen)
        seen->packets++;
    else
        bpf_map_update_elem(&sources, &source, &first, BPF_ANY);
    return XDP_TX;
}
SEC("test") u64 sum(u8 *memory, u64 size)
{
    return size < 2 ? 0 : memory[0] + memory[1];
}
"""
PACKET = bytes(26) + bytes([1, 0, 0, 0]) + bytes(30)


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "prog.c"
    path.write_text(PROGRAM)
    return str(path)


def test_a_program_runs_here_from_its_file_on_a_packet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    assert (
        assay(monkeypatch, "bpf", "run", program, "--program", "prog", "--packet", PACKET.hex(), "--json")
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["runs"][0]["verdict"] == "XDP_TX"
    assert 0 < told["runs"][0]["instructions"] <= told["wcet"]
    value = {"packets": 1, "last": 60, "mac": [1, 2, 3, 4, 5, 6]}
    assert told["maps"][0]["entries"] == [{"key": 1, "value": value}]
    assert assay(monkeypatch, "bpf", "run", program, "--program", "prog", "--packet", "00" * 20) == 0
    assert capsys.readouterr().out.startswith("XDP_ABORTED (r0 = 0), ")


def test_a_program_runs_here_on_a_whole_capture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, tmp_path: Path
) -> None:
    capture = tmp_path / "three.pcap"
    with capture.open("wb") as file:
        writer = dpkt.pcap.Writer(file)
        for _ in range(3):
            writer.writepkt(PACKET, 1.0)
    assert assay(monkeypatch, "bpf", "run", program, "--program", "prog", "--packet", f"@{capture}") == 0
    out = capsys.readouterr().out
    assert out.count("XDP_TX") == 3
    assert "1: {.packets = 3, .last = 60, .mac = {1, 2, 3, 4, 5, 6}}" in out


def test_a_test_program_runs_here_on_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    assert assay(monkeypatch, "bpf", "run", program, "--program", "sum", "--mem", "28 02") == 0
    assert capsys.readouterr().out.startswith("r0 = 0x2a, ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "holds several programs"),
        (["--program", "prg"], "did you mean 'prog'"),
        (["--program", "prog"], "--packet HEX, or --packet @FILE"),
        (["--program", "prog", "--mem", "00"], "seen: the other one"),
        (["--program", "prog", "--packet", "xyz"], "the input is not hexadecimal"),
        (["--program", "prog", "--packet", "@/nowhere/x.pcap"], "/nowhere/x.pcap is no capture"),
        (["--program", "prog", "--packet", "00", "--unverified"], "does not accept --unverified"),
    ],
)
def test_a_wrong_input_ends_with_4_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: str,
    arguments: list[str],
    told: str,
) -> None:
    assert assay(monkeypatch, "bpf", "run", program, *arguments) == 4
    assert told in capsys.readouterr().err


def test_hexadecimal_arguments_are_the_plugin_protocol_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add = "7110000000000000 9500000000000000"  # r0 = *(u8 *)(r1 + 0)
    assert assay(monkeypatch, "bpf", "run", "2a00", "--program", add) == 0
    assert capsys.readouterr().out == "2a\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("b700000007000000 9500000000000000\n"))
    assert assay(monkeypatch, "bpf", "run", "--unverified") == 0
    assert capsys.readouterr().out == "7\n"


def test_the_a64_of_a_program_stands_below_its_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    assert assay(monkeypatch, "bpf", "disasm", program, "--program", "prog", "--a64") == 0
    lines = capsys.readouterr().out.splitlines()
    (at,) = [n for n, line in enumerate(lines) if "u32 source = *(u32 *)(data + 26);" in line]
    assert "= *(u32 *)(r" in lines[at + 1]
    assert re.search(r"ffff8000010000[0-9a-f]{2}:  [0-9a-f]{8}  ldur? ", "\n".join(lines[at : at + 6]))
