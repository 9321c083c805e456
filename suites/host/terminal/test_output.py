"""Standard output that closes, fills up or is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.root import ROOT

WORKS = """
import sys
from harness.terminal.output import guard_output, keep_going
guard_output(only_lists=True)
keep_going()
from rich.console import Console
for number in range(3000):
    Console().print(f"line {number}")
print("and print", flush=True)
open(sys.argv[1], "w").write("worked to the end")
sys.exit(7)
"""
LISTS = WORKS.replace("keep_going()", "")


def run(text: str, redirection: str, done: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a program behind a shell's redirection."""
    found = subprocess.run(
        [
            "bash",
            "-c",
            f'"$0" -c "$1" "$2" {redirection}; exit ${{PIPESTATUS[0]}}',
            sys.executable,
            text,
            str(done),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return found.returncode, found.stdout, found.stderr


@pytest.mark.parametrize(
    "redirection", ["| head -1", ">&-", ">/dev/full", "2>&-", ">&- 2>&- <&-", ">/dev/full 2>/dev/full"]
)
def test_work_goes_on_and_ends_with_its_own_code(redirection: str, tmp_path: Path) -> None:
    done = tmp_path / "done"
    code, out, err = run(WORKS, redirection, done)
    assert (code, done.read_text()) == (7, "worked to the end")
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert out.startswith("line 0\n") == (redirection in ("| head -1", "2>&-"))


@pytest.mark.parametrize(
    ("redirection", "expected", "says"),
    [("| head -1", 141, ""), (">/dev/full", 75, "No space left on device"), (">&-", 7, ""), ("2>&-", 7, "")],
)
def test_a_list_whose_reader_is_gone_ends_quietly(
    redirection: str, expected: int, says: str, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    code, _, err = run(LISTS, redirection, done)
    assert code == expected
    assert done.exists() == (expected == 7)
    assert (says in err) if says else not err


def test_a_file_opened_later_does_not_get_the_number_of_a_closed_output(tmp_path: Path) -> None:
    text = WORKS.replace("from rich", "kept = open(sys.argv[1] + '.kept', 'w')\nfrom rich")
    code, _, _ = run(text, ">&- 2>&-", tmp_path / "done")
    assert code == 7
    assert not (tmp_path / "done.kept").read_text()


@pytest.mark.parametrize(
    ("arguments", "redirection", "expected"),
    [
        (["boards"], "| true", 141),
        (["boards"], ">&-", 0),
        (["boards"], "2>&-", 0),
        (["boards"], ">/dev/full", 75),
        (["--help"], "| true", 141),
        (["run", "--board", "nothing"], ">&- 2>&-", 4),
    ],
)
def test_every_command_starts_without_standard_output(
    arguments: list[str], redirection: str, expected: int
) -> None:
    command = f'sleep 0; "$0" -m harness.cli {" ".join(arguments)} {redirection}; exit ${{PIPESTATUS[0]}}'
    found = subprocess.run(
        ["bash", "-c", command, sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == expected, found.stderr
    assert "Traceback" not in found.stderr
