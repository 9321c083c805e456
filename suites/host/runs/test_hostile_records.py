"""Records that are foreign, damaged or hostile: exit 4 with the file's name and why, soon and in little memory."""

from __future__ import annotations

import copy
import json
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.program import Hook, Program
from contracts.trace import Trace, TracePacket
from harness.bpf.asm import assemble, exit_, mov64
from harness.bpf.seal import seal
from harness.channel.traces import pack_trace
from harness.cli import app as cli
from harness.config.json_file import parse_json
from harness.config.keys import load_key

SECONDS: Final = 10.0
"""Within which every command ends, whatever the file holds."""
MEMORY: Final = 1 << 30
"""Bytes that a command may take beyond what its process has."""
DEEP: Final = 10_000

GOOD, BAD = "20260101-000001-0001", "20260101-000002-0002"

RecordRun = Callable[..., Path]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path has little room
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def enormous(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


FILES: Final[dict[str, Callable[[Path], Any]]] = {
    "a pipe": fifo,
    "a folder": Path.mkdir,
    "a socket": unix_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a file of a tebibyte": enormous,
}

TEXTS: Final[dict[str, bytes]] = {
    "nothing": b"",
    "half of a record": b'{"schema": 1, "run": {"name": "x", "boa',
    "another program's JSON": b'{"version": "3.2.1", "results": [{"ok": true}]}',
    "a list": b"[1, 2]",
    "a text": b'"run"',
    "null": b"null",
    "an empty object": b"{}",
    "lists in lists": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "lists in lists that Python takes": b"[" * 500 + b"]" * 500,
    "open lists": b"[" * 5_000_000,
    "very many values": b"[" + b"0," * 9_000_000 + b"0]",
    "no UTF-8": b'{"run": "\xff\xfe"}',
    "UTF-16": '{"run": {}}'.encode("utf-16"),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "quotation marks": b'"\\' * 500_000,
}

VALUES: Final[dict[str, str]] = {
    "a number of 5,000 digits": "9" * 5_000,
    "a number of 80 bits": str(1 << 80),
    "a number beyond a float": "1e999",
    "NaN": "NaN",
    "minus infinity": "-Infinity",
    "a text": '"seven"',
    "a list": "[[[]]]",
    "null": "null",
    "true of a number": '{"a": true}',
    "a key twice": '{"a": 1, "a": 2}',
}


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Bound what this process may take."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def assay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """The command line, in this process; a traceback that a user would see fails the test."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["assay", *arguments, "--results", str(tmp_path / "results")])
        began = time.monotonic()
        code = cli.main()
        assert time.monotonic() - began < SECONDS, arguments
        said = capsys.readouterr()
        return code, (said.out + said.err).replace("\n", "")

    return call


Assay = Callable[..., tuple[int, str]]


def every_reader_refuses(assay: Assay, record: Path) -> None:
    """Each command that reads the record of BAD alone ends with 4 and names it; those over all runs leave it out."""
    readers: list[tuple[str, ...]] = [
        ("compare", GOOD, BAD),
        ("compare", BAD, "last"),
        ("compare", str(record), GOOD),
        ("baseline", "write", BAD),
        ("replay", BAD),
        ("report", BAD),
    ]
    for command in readers:
        code, text = assay(*command)
        assert code == 4, (command, text)
        assert "run.json" in text, command
    lists: list[tuple[str, ...]] = [
        ("history",),
        ("results", "list"),
        ("results", "prune", "--keep", "1", "--dry-run"),
    ]
    for command in lists:
        code, text = assay(*command)
        assert code == 0, command
        assert f"{BAD}/run.json" in text, command
        assert GOOD in text or command == ("history",), command


@pytest.mark.parametrize("kind", FILES)
def test_a_record_that_is_no_ordinary_file_is_refused_by_every_reader(
    tmp_path: Path, record_run: RecordRun, assay: Assay, kind: str
) -> None:
    record_run(GOOD)
    record = tmp_path / "results" / BAD / "run.json"
    record.parent.mkdir()
    FILES[kind](record)
    every_reader_refuses(assay, record)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_is_no_record_is_refused_by_every_reader(
    tmp_path: Path, record_run: RecordRun, assay: Assay, kind: str
) -> None:
    record_run(GOOD)
    record = tmp_path / "results" / BAD / "run.json"
    record.parent.mkdir()
    record.write_bytes(TEXTS[kind])
    every_reader_refuses(assay, record)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("key", ["schema", "seed", "value", "virtual"])
def test_a_hostile_value_is_refused_with_its_place(
    record_run: RecordRun, assay: Assay, kind: str, key: str
) -> None:
    record_run(GOOD)
    record = record_run(BAD) / "run.json"
    document = json.loads(record.read_text())
    mark = "the hostile value"
    if key == "schema":
        document["schema"] = mark
    elif key == "seed":
        document["run"]["seed"] = mark
    elif key == "value":
        document["boards"][1]["stages"][2]["value"] = mark
    else:
        document["boards"][1]["situations"][3]["virtual"]["verify"] = [1.0, mark]
    place = {"schema": "schema", "seed": "run.seed", "value": "boards.1.stages.2.value",
             "virtual": "boards.1.situations.3.virtual.verify.1"}[key]  # fmt: skip
    record.write_text(json.dumps(document).replace(json.dumps(mark), VALUES[kind]))
    if (key, kind) == ("value", "null"):  # nothing was measured
        return
    for command in (("compare", GOOD, BAD), ("baseline", "write", BAD), ("replay", BAD)):
        code, text = assay(*command)
        assert code == 4, (command, text)
        assert str(record) in text
        assert place in text or "the key 'a' twice" in text
    assert assay("report", BAD)[0] == 0  # it shows what can be shown
    assert assay("history")[0] == 0


@pytest.mark.parametrize("kind", FILES)
def test_a_history_that_is_no_file_ends_with_4_and_its_name(
    tmp_path: Path, record_run: RecordRun, assay: Assay, kind: str
) -> None:
    record_run(GOOD)
    path = tmp_path / "results" / "history.sqlite"
    FILES[kind](path)
    code, text = assay("history")
    assert code == (75 if kind == "a folder" else 4), (
        text
    )  # a folder of that name is one that cannot be written
    assert str(path) in text
    assert assay("report", GOOD)[0] == 0


def test_records_of_a_run_without_an_end_may_be_pipes_or_nonsense(
    tmp_path: Path, record_run: RecordRun, assay: Assay
) -> None:
    record_run(GOOD)
    for number, (kind, make) in enumerate(FILES.items()):
        for name in ("records.jsonl", "transcript.jsonl"):
            folder = tmp_path / "results" / f"20260102-00000{number}-0000" / "qemu-virt"
            folder.mkdir(parents=True, exist_ok=True)
            make(folder / name)
        assert assay("report", folder.parent.name)[0] in (0, 4), kind
    code, _ = assay("results", "list")
    assert code == 0


@pytest.mark.parametrize(
    "name", ["x" * 5_000, "a/" * 3_000, "\n", "%", ".", "..", "-", "/", "/dev/zero", "/proc/self/mem"]
)
def test_a_name_that_is_no_runs_name_is_refused(record_run: RecordRun, assay: Assay, name: str) -> None:
    record_run(GOOD)
    for command in ("compare", "replay", "report"):
        code, text = assay(command, *([GOOD] if command == "compare" else []), "--", name)
        assert code == 4, (command, text)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value of a document, containers included."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["x" * 100_000, "\ud800", "\x00", "\x1b[31m", "[bold]", "../../etc/passwd", -1, 1 << 62, 1e308, -0.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize("session", [False, True], ids=["run", "session"])
def test_no_change_of_a_record_is_worth_a_traceback(
    record_run: RecordRun, record_session: RecordRun, assay: Assay, session: bool
) -> None:
    make = record_session if session else record_run
    make(GOOD, kinds=["qemu-virt"])
    record = make(BAD, kinds=["qemu-virt"]) / "run.json"
    if not session:  # as small as it may be: each example is read five times
        document = json.loads(record.read_text())
        document["boards"][0]["situations"] = document["boards"][0]["situations"][:3]
        record.write_text(json.dumps(document))
    whole = json.loads(record.read_text())
    places = list(leaves(whole))

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(places), ANYTHING, st.booleans())
    def changed(place: tuple[Any, ...], value: Any, gone: bool) -> None:
        document = copy.deepcopy(whole)
        if place:
            part = document
            for step in place[:-1]:
                part = part[step]
            if gone:
                del part[place[-1]]
            else:
                part[place[-1]] = value
        else:
            document = value
        record.write_text(json.dumps(document))
        for command in (("compare", GOOD, BAD), ("compare", BAD, GOOD)):
            assert assay(*command)[0] in (0, 1, 4, 76), command
        assert assay("history")[0] == 0
        assert assay("results", "list")[0] == 0
        assert assay("report", BAD)[0] in (0, 4)
        if not session:  # the folder holds no kernel: nothing is booted
            assert assay("replay", BAD)[0] in (4, 1)
        (record.parent.parent / "history.sqlite").unlink()

    changed()


@settings(max_examples=300)
@given(
    st.binary(max_size=200)
    | st.text(alphabet='[]{}",:\\u0123456789eE+-.nulltruefase \n', max_size=60).map(str.encode)
)
def test_the_reader_raises_a_value_error_or_gives_what_can_be_written_again(data: bytes) -> None:
    for lenient in (False, True):
        try:
            document = parse_json(data, lenient=lenient)
        except ValueError:
            continue
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode("utf-8")


def whole_folder(record: Path) -> None:
    """Lay beside a run's record what a replay needs: kernels, traces, images."""
    program = Program("p", Hook.NET_RX, assemble([mov64(0, 2), exit_()]))
    trace = pack_trace(Trace((TracePacket(0, bytes(60)), TracePacket(1_000, bytes(61)))))
    for board in json.loads(record.read_text())["boards"]:
        home = record.parent / board["kind"]
        home.mkdir()
        for name in ("kernel.elf", "kernel.img"):
            (home / name).write_bytes(b"kernel " + bytes.fromhex(board["build_id"]))
        for situation in board["situations"]:
            place = home / f"{situation['index']:02d}"
            place.mkdir()
            for name in ("workload.trace", "trial.trace"):
                (place / name).write_bytes(trace)
            (place / "attempt1.abxt").write_bytes(seal(program, load_key()))


DAMAGES: Final[dict[str, Callable[[Path], Any]]] = {
    "gone": Path.unlink,
    "a pipe": lambda path: [act(path) for act in (Path.unlink, fifo)],
    "of a tebibyte": lambda path: [act(path) for act in (Path.unlink, enormous)],
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "another file": lambda path: path.write_bytes(bytes(range(256)) * 16),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_replay_looks_at_every_file_before_it_leases_a_board(
    record_run: RecordRun, assay: Assay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    record = record_run(BAD, kinds=["qemu-virt"]) / "run.json"
    whole_folder(record)
    for name in ("kernel.elf", "kernel.img", "07/workload.trace", "20/trial.trace", "03/attempt1.abxt"):
        path = record.parent / "qemu-virt" / name
        kept = path.read_bytes()
        DAMAGES[kind](path)
        code, text = assay("replay", BAD)
        assert code == 4, text
        assert str(path) in text
        path.unlink(missing_ok=True)
        path.write_bytes(kept)
    assert not (tmp_path / "leases").exists()
