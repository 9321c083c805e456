"""`assay bpf` on files that are no program: a sentence, never a traceback."""

from __future__ import annotations

from pathlib import Path

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
