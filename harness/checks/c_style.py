"""The C check of `assay lint`: the order of the firmware's folders, and the section "C style" of `firmware/README.md`.

Run as a script with the files to check (paths relative to the current folder). Prints `file:line: what` for each
finding; exits with 1 if there is one, else 0. It reads text, not types, so reviewers must check the rest.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
"""What each folder of `firmware/` may include besides itself. A folder that is missing here may not be included."""

PREFIXES: Final = ("handle_", "bpf_env_", "reply_", "board_")
"""Prefixes besides folder and file names: message handlers, functions that the engine and boards provide, replies."""

PRIMITIVES: Final = frozenset({"die", "format", "panic"})
"""Functions of the whole kernel with a short name."""

EXEMPT: Final = ("harness/bpf/include/",)
"""Checked only for the order of folders: the header of eBPF programs follows their style."""

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\[^\n]|\\\n)*", re.MULTILINE)
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(?![\w(])((?:[^\n\\]|\\[^\n]|\\\n)*)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)")
_TYPE = r"(?:const |volatile |static |unsigned )*(?:struct \w+|enum \w+|u?int\d+_t|u?intptr_t|size_t|bool|char|int|void)"
_POINTER = re.compile(rf"\b{_TYPE} ?\*+(?:const )?(\w+)(?=\s*[,;)=])")
_BARE = re.compile(rf"^( +){_TYPE} ?\**(\w+);$", re.MULTILINE)
_FUNCTION = re.compile(r"^([A-Za-z_][^;{}#]*\))\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_TOP = re.compile(
    r"^(?!static\b|extern\b|typedef\b|_Static_assert\b|__asm__\b)[A-Za-z_][^;{}#]*[;{]", re.MULTILINE
)
_TOKEN = re.compile(r"[A-Za-z_]\w*|[{}();:]")

_IN_CODE: Final = (
    (re.compile(r"\bsizeof\b(?!\()"), "sizeof takes parentheses: sizeof(x)"),
    (
        re.compile(r"\b(?:0[xX][0-9a-fA-F]+|\d+)(?!(?:u|ull|ll)\b)[uUlL]+\b|##\s*U?L+\b|\bU?INT64_C\b"),
        "the suffix of an unsigned constant is u or ull",
    ),
    (
        re.compile(r"^#define \w+ *\\\n[^\n]*[^\\\n]$", re.MULTILINE),
        "put the value on the line of its #define",
    ),
)
_SCAR = re.compile(rf"^ +{_TYPE} ?\**$", re.MULTILINE)


def findings(files: Mapping[str, str]) -> list[str]:
    """The findings in `files` (path to text), as `file:line: what`; empty if there are none."""
    found = [finding for path, text in files.items() for finding in _wrong_way(path, text)]
    ours = {path: text for path, text in files.items() if not path.startswith(EXEMPT)}
    found += [finding for path, text in ours.items() for finding in _Hand(path, text).findings()]
    return sorted(found + _circles(files) + _two_values(ours))


# ---- the order of folders ------------------------------------------------------------------------------------------


def _includes(text: str) -> Iterator[tuple[int, str]]:
    """Line number and name of every `#include "..."`."""
    for match in _INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start(1)) + 1, match.group(1)


def _folder(path: str) -> str | None:
    """The folder of `firmware/` that contains a file, or None."""
    parts = PurePosixPath(path).parts
    return parts[1] if len(parts) > 2 and parts[0] == "firmware" else None


def _wrong_way(path: str, text: str) -> Iterator[str]:
    own = _folder(path)
    if own is None:
        return
    if own not in BELOW:
        yield f"{path}:1: firmware/{own} is not in the order of folders: add it to {Path(__file__).name}"
        return
    for line, name in _includes(text):
        parts = PurePosixPath(name).parts
        if len(parts) > 1 and parts[0] != own and parts[0] not in BELOW[own]:
            below = ", ".join(BELOW[own]) or "no other folder"
            yield f"{path}:{line}: firmware/{own} may include {below}, not {name}"


def _circles(files: Mapping[str, str]) -> list[str]:
    """Headers that include themselves through others: each cycle once, at its first header by name."""
    graph: dict[str, list[str]] = {}
    for path, text in files.items():
        names = (name for _, name in _includes(text))
        near = ([f"firmware/{name}", str(PurePosixPath(path).parent / name)] for name in names)
        graph[path] = [target for pair in near for target in pair if target in files]
    found: list[str] = []
    done: set[str] = set()
    for start in sorted(graph):
        _walk(graph, start, [], done, found)
    return found


def _walk(
    graph: Mapping[str, Sequence[str]], at: str, trail: list[str], done: set[str], found: list[str]
) -> None:
    if at in trail:
        circle = trail[trail.index(at) :]
        found.append(f"{at}:1: headers in a cycle: {' -> '.join([*circle, at])}")
        return
    if at in done:
        return
    trail.append(at)
    for target in graph[at]:
        _walk(graph, target, trail, done, found)
    trail.pop()
    done.add(at)


# ---- C style -------------------------------------------------------------------------------------------------------


def _two_values(files: Mapping[str, str]) -> list[str]:
    """Macros without arguments that have different values in different files."""
    seen: dict[str, tuple[str, str]] = {}
    found: list[str] = []
    for path, text in files.items():
        if _folder(path) in (None, "boards"):
            continue
        code = _NOT_CODE.sub(_blank, text)
        for match in _DEFINE.finditer(code):
            name, value = match.group(1), " ".join(match.group(2).split())
            first, known = seen.setdefault(name, (path, value))
            if known != value and first != path:
                line = code.count("\n", 0, match.start(1)) + 1
                found.append(f"{path}:{line}: {name} has another value in {first}: rename it")
    return found


def _blank(match: re.Match[str]) -> str:
    """Spaces of the same length, over the same lines."""
    return re.sub(r"[^\n]", " ", match.group())


@dataclass(slots=True)
class _Branch:
    """One condition and its body: its start, whether it has braces, whether it needs them."""

    at: int
    braced: bool
    needs: bool


class _Hand:
    """One file and the rules. `code` is without comments and strings, `plain` also without directives."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self.code = _NOT_CODE.sub(_blank, text)
        self.plain = _DIRECTIVE.sub(_blank, self.code)
        self.tokens = [(match.group(), match.start()) for match in _TOKEN.finditer(self.plain)]
        self.found: list[str] = []

    def findings(self) -> list[str]:
        for pattern, what in _IN_CODE:
            for match in pattern.finditer(self.code):
                self._say(match.start(), what)
        for match in _SCAR.finditer(self.plain):
            self._say(match.end(), "a type is alone on its line: put the comment above the declaration")
        for function in _FUNCTION.finditer(self.plain):
            self._null(function)
            self._first_use(function)
        self._all_braces()
        if _folder(self.path) is not None:
            self._names()
            self._guard()
        return self.found

    def _say(self, offset: int, what: str) -> None:
        self.found.append(f"{self.path}:{self._line(offset)}: {what}")

    def _line(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def _null(self, function: re.Match[str]) -> None:
        head, body = function.groups()
        for name in {match.group(1) for match in _POINTER.finditer(head + "\n" + body)}:
            bare = rf"(?<![\w>.*&]){name}"
            ends = r"(?= &&| \|\||\)[^;]|\);)"
            test = rf"{bare} [!=]= 0\b|!{name}\b(?![\[(.-])|\b(?:if|while) \({name}\b{ends}|(?:&&|\|\|) {name}\b{ends}"
            for match in re.finditer(test, body):
                self._say(function.start(2) + match.start(), f"compare the pointer {name} with NULL")
        if re.search(r"\*\w+$", _ATTRIBUTE.sub("", head).split("(")[0]):
            for match in re.finditer(r"\breturn 0;", body):
                self._say(function.start(2) + match.start(), "return NULL: the function's value is a pointer")

    def _first_use(self, function: re.Match[str]) -> None:
        body = function.group(2)
        for match in _BARE.finditer(body):
            indent, name = match.groups()
            rest = body[match.end() :]
            use = re.search(rf"\b{name}\b", rest)
            if use and re.match(rf"{indent}{name} = ", rest[rest.rfind("\n", 0, use.start()) + 1 :]):
                self._say(
                    function.start(2) + match.end() - 1, f"declare {name} where it gets its first value"
                )

    def _names(self) -> None:
        """A name that is not static starts with the name of its folder, its file, or a header of its folder."""
        parts = PurePosixPath(self.path)
        if parts.suffix != ".c" or parts.parts[1] == "libc":
            return
        folder = parts.parts[1]
        headers = [name for _, name in _includes(self.text) if name.startswith(f"{folder}/")]
        if folder == "bpf":  # its files are also built for the host, and include each other by file name only
            headers += [name for _, name in _includes(self.text) if "/" not in name]
        stems = {PurePosixPath(name).stem.split("_")[0].removesuffix("s") for name in [self.path, *headers]}
        for match in _TOP.finditer(self.plain):
            declaration = match.group()
            bare = _ATTRIBUTE.sub("", declaration)
            is_function = "(" in bare.split("=")[0]
            if re.search(r"\bweak\b", declaration) or re.match(
                r"(?:struct|enum|union) \w*\s*\{", declaration
            ):
                continue
            if is_function and declaration.endswith(";"):
                continue
            name = re.match(r".*?(\w+)\s*[(\[=;{]", bare, re.DOTALL)
            if name is None or name.group(1).isupper() or name.group(1) in PRIMITIVES:
                continue
            if not name.group(1).startswith((parts.parts[1], *PREFIXES, *stems)):
                what = (
                    f"{name.group(1)} is not static and does not start with {parts.parts[1]} or {parts.stem}"
                )
                self._say(match.start(), what)

    def _guard(self) -> None:
        parts = PurePosixPath(self.path)
        if parts.suffix != ".h" or parts.parts[1] == "boards":
            return
        wanted = "ASSAY_" + "_".join((parts.parts[1], parts.stem)).upper() + "_H"
        if f"\n#ifndef {wanted}\n#define {wanted}\n" not in f"\n{self.text}":
            self._say(0, f"the include guard must be {wanted}")

    # Braces: parses statements only as far as needed to find the start and end of each body.

    def _all_braces(self) -> None:
        at = 0
        while at < len(self.tokens):
            word, offset = self.tokens[at]
            opens_function = word == "{" and self.plain[:offset].endswith(")\n")
            at = self._statement(at) if opens_function else at + 1

    def _statement(self, at: int) -> int:
        """The token after the statement that starts at `at`."""
        word = self.tokens[at][0]
        if word == "{":
            at += 1
            while at < len(self.tokens) and self.tokens[at][0] != "}":
                at = self._statement(at)
            return at + 1
        if word == "if":
            return self._chain(at)
        if word in ("for", "while"):
            after, branch = self._branch(at, self._closed(at + 1))
            self._judge([branch])
            return after
        if word == "switch":
            return self._statement(self._closed(at + 1))
        if word == "do":
            return self._simple(self._statement(at + 1))
        if word in ("case", "default") or self._is_label(at):
            while self.tokens[at][0] != ":":
                at += 1
            return at + 1
        return self._simple(at)

    def _is_label(self, at: int) -> bool:
        following = self.tokens[at + 1][0] if at + 1 < len(self.tokens) else ""
        offset = self.tokens[at][1]
        alone = self.plain.rfind("\n", 0, offset) + 1 == offset
        return following == ":" and alone

    def _simple(self, at: int) -> int:
        """The position after the `;` outside brackets."""
        depth = 0
        while at < len(self.tokens):
            word = self.tokens[at][0]
            depth += (word in "({") - (word in ")}")
            at += 1
            if word == ";" and depth == 0:
                break
        return at

    def _closed(self, at: int) -> int:
        """The position after the parenthesis that closes the one at `at`."""
        depth = 0
        while at < len(self.tokens):
            word = self.tokens[at][0]
            depth += (word == "(") - (word == ")")
            at += 1
            if depth == 0:
                break
        return at

    def _chain(self, at: int) -> int:
        branches: list[_Branch] = []
        while True:
            at, branch = self._branch(at, self._closed(at + 1))
            branches.append(branch)
            if at >= len(self.tokens) or self.tokens[at][0] != "else":
                break
            if self.tokens[at + 1][0] == "if":
                at += 1
                continue
            at, branch = self._branch(at, at + 1)
            branches.append(branch)
            break
        self._judge(branches)
        return at

    def _branch(self, keyword: int, body: int) -> tuple[int, _Branch]:
        """The branch whose body starts at token `body`, and the token after it."""
        if body >= len(self.tokens):
            return body, _Branch(self.tokens[keyword][1], braced=True, needs=True)
        first = self._line(self.tokens[keyword][1])
        head = self._line(self.tokens[body - 1][1])
        braced = self.tokens[body][0] == "{"
        after = self._statement(body)
        last = self._line(self.tokens[after - 1][1]) - braced
        return after, _Branch(self.tokens[keyword][1], braced, needs=first != head or last - head != 1)

    def _judge(self, branches: Sequence[_Branch]) -> None:
        needs = any(branch.needs for branch in branches)
        for branch in branches:
            if needs and not branch.braced:
                self._say(branch.at, "braces: a body or a condition here has more than one line")
            if not needs and branch.braced:
                self._say(branch.at, "no braces: every body here is one line")


def main(paths: Sequence[str]) -> int:
    """Check the named files; 1 if there is a finding, else 0."""
    found = findings({path: Path(path).read_text("utf-8") for path in paths})
    sys.stdout.writelines(f"{finding}\n" for finding in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
