"""The C check of `assay lint`: which folder of `firmware/` may include which, and no circle of headers.

Run as a script with the files to check (paths relative to the current folder). Prints `file:line: what` for each
finding and exits 1 when there was one, else 0. `firmware/README.md` states the same rules for people.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

BELOW: Final[Mapping[str, tuple[str, ...]]] = {
    "libc": (),
    "arch": (),
    "bpf": (),
    "traffic": (),
    "drivers": ("arch",),
    "boards": ("arch", "drivers"),
    "kernel": ("arch", "drivers"),
    "channel": ("arch", "drivers", "kernel"),
    "live": ("arch", "bpf", "channel", "drivers", "kernel", "traffic"),
}
"""What each folder of `firmware/` may include beside itself. A folder that is missing here may not be included."""

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def findings(files: Mapping[str, str]) -> list[str]:
    """What is wrong with `files` (path to text), as `file:line: what`; empty when nothing is."""
    found = [finding for path, text in files.items() for finding in _wrong_way(path, text)]
    return sorted(found + _circles(files))


def _includes(text: str) -> Iterator[tuple[int, str]]:
    """Line number and name of every `#include "..."`."""
    for match in _INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start(1)) + 1, match.group(1)


def _folder(path: str) -> str | None:
    """The folder of `firmware/` that a file lies in, or None."""
    parts = PurePosixPath(path).parts
    return parts[1] if len(parts) > 2 and parts[0] == "firmware" else None


def _wrong_way(path: str, text: str) -> Iterator[str]:
    own = _folder(path)
    if own is None:
        return
    if own not in BELOW:
        yield f"{path}:1: firmware/{own} has no place in the order of folders: give it one in {Path(__file__).name}"
        return
    for line, name in _includes(text):
        parts = PurePosixPath(name).parts
        if len(parts) > 1 and parts[0] != own and parts[0] not in BELOW[own]:
            below = ", ".join(BELOW[own]) or "no other folder"
            yield f"{path}:{line}: firmware/{own} may include {below}, not {name}"


def _circles(files: Mapping[str, str]) -> list[str]:
    """Headers that include themselves through others: each circle once, at its first header by name."""
    graph: dict[str, list[str]] = {}
    for path, text in files.items():
        names = (name for _, name in _includes(text))
        near = ([f"firmware/{name}", str(PurePosixPath(path).parent / name)] for name in names)
        graph[path] = [target for pair in near for target in pair if target in files]
    found: list[str] = []
    done: set[str] = set()
    for start in sorted(graph):
        trail: list[str] = []
        _walk(graph, start, trail, done, found)
    return found


def _walk(
    graph: Mapping[str, Sequence[str]], at: str, trail: list[str], done: set[str], found: list[str]
) -> None:
    if at in trail:
        circle = trail[trail.index(at) :]
        found.append(f"{at}:1: headers in a circle: {' -> '.join([*circle, at])}")
        return
    if at in done:
        return
    trail.append(at)
    for target in graph[at]:
        _walk(graph, target, trail, done, found)
    trail.pop()
    done.add(at)


def main(paths: Sequence[str]) -> int:
    """Check the files named; 1 when something is wrong with one of them, else 0."""
    found = findings({path: Path(path).read_text("utf-8") for path in paths})
    sys.stdout.writelines(f"{finding}\n" for finding in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
