"""Checks commands in a text against the real command line: the command exists and has those options."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from typing import Any, Final

import typer

from contracts.root import ROOT
from suites.bench.__main__ import BENCHES

_LAUNCHERS: Final = ("./assay", "assay", ".venv/bin/assay")
_PYTESTS: Final = (".venv/bin/pytest", "pytest")
_ENDS: Final = {"&&", "||", ";", "|", ">", "2>&1", "&", "(", ")"}


def wrong_commands(lines: list[str]) -> list[str]:
    """What is wrong with the commands in these lines of shell, one message each. Words in capitals stand for values."""
    return [f"{line.strip()}: {why}" for line in lines for why in _wrong(line)]


def commands(line: str) -> list[list[str]]:
    """The `assay` and `pytest` commands of a line, as words; the launcher's name is the first."""
    line = re.sub(r"\$\{\{[^}]*\}\}|\$\{[^}]*\}|\$\w+|\$\([^)]*\)", "VALUE", line)
    line = re.sub(r"\[(-[^]]*)\]", r"\1", line)  # [--option] of a synopsis
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        words = list(lexer)
    except ValueError:  # an apostrophe: prose, not shell
        return []
    found: list[list[str]] = []
    current: list[str] | None = None
    for place, word in enumerate(words):
        if word in _ENDS:
            current = None
        elif current is not None:
            current.append(word)
        elif word in _LAUNCHERS + _PYTESTS and (place == 0 or not words[place - 1].startswith("-")):
            current = [word]
            found.append(current)
    return found


def _wrong(line: str) -> list[str]:
    out = []
    for launcher, *words in commands(line):
        if launcher in _PYTESTS:
            out += _wrong_pytest(words)
        elif words:
            out += _wrong_assay(words)
    return out


def _wrong_assay(words: list[str]) -> list[str]:
    if words[0] == "setup":  # the launcher's own command, which exists before the CLI
        return [] if len(words) == 1 else [f"setup takes no {words[1]}"]
    command: Any = _tree()
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        if words[0].isupper():
            return []
        if words[0] not in command.commands:
            return [f"no command {words[0]!r}, only {', '.join(command.commands)}"]
        command, words = command.commands[words[0]], words[1:]
    if command.name == "test":
        return _wrong_pytest(words)
    if command.name == "bench":
        return [f"no bench {word}" for word in words if word.islower() and word not in BENCHES]
    known = {"--help"} | {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    return [f"no option {word}" for word in _options(words) if word not in known]


def _wrong_pytest(words: list[str]) -> list[str]:
    known = _pytest_options()
    out = [f"pytest has no option {word}" for word in _options(words) if word not in known]
    paths = [word for word in words if word.startswith("suites/")]
    return out + [f"no file {path}" for path in paths if not (ROOT / path.split("::")[0]).exists()]


def _options(words: list[str]) -> list[str]:
    return [word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]


@functools.cache
def _tree() -> Any:
    from harness.cli.app import app

    return typer.main.get_command(app)


@functools.cache
def _pytest_options() -> frozenset[str]:
    text = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    listed = re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text)
    return frozenset(listed) | {"--junitxml"}  # the help lists only --junit-xml
