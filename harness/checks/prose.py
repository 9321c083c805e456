"""The prose check of `assay lint`: phrases that read as translated, in docs, messages, docstrings and comments.

Run as a script with the files to check. Prints `file:line: "phrase": use ...` for each finding; exits with 1 if there is
one, else 0. The list holds phrases that were found in this repository, so it is a guard and not a style guide.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

ENDINGS: Final = (
    ".py", ".md", ".c", ".h", ".S", ".yaml", ".yml", ".toml", ".jinja", ".robot", ".resource",
    ".sh", ".build", "Jenkinsfile",
)  # fmt: skip
"""Files with prose, by the end of their names."""
PHRASES: Final = {
    r"whose move": "who has to act",
    r"(?:kernel|files?|lines?|limit|image) (?:is|are|was|were) laid\b": "install",
    r"\blays? (?:a|the|files|its|their) (?:kernel|image)": "install",
    r"(?:is|are) meant from": "relative to",
    r"stands? over\b": "overrides",
    r"turns? no trend|trend round": "reorders",
    r"beyond help": "unresponsive",
    r"(?:is|are) told (?:of|from)\b|\btold of in\b|\btells? of\b": "described in, distinguished from",
    r"went (?:away )?by itself": "ended",
    r"(?:is|are) minded": "respected",
    r"\bmend(?:s|ed|ing)?\b": "correct, repair",
    r"\b(?:makes?|making) room there": "removes, frees",
    r"is no matter": "does not matter",
    r"as a test is handed it|\bhanded it\b": "as a test gets it",
    r"an orderly end": "a clean shutdown",
    r"runs were begun": "runs were started",
    r"(?:is|was|are) let go\b|\blets? go of\b": "release",
    r"gives? up on": "times out",
    r"(?:can|could|may) be had\b|\bto be had\b|\bhad again\b": "available, reproduced",
    r"what was seen of one": "what was seen",
    r"left nothing whole": "left no complete output",
    r"in the stead of|in its stead": "instead of",
    r"comes? to (?:its|an) end": "ends",
    r"under way": "in progress",
    r"come what may": "always",
    r"(?:is|are|was|were) held to\b": "checked against",
    r"nobody had\b": "",
    r"what (?:it|he|they) (?:is|are) to (?:do|be)\b": "",
    r"a session of tests": "a test session",
    r"\bone a (?:line|kind|board|module|row)\b": "per",
    r"\b(?:line|row|file|folder|process|verdict) a (?:kind|board|test|step|run|place)\b": "per",
    r"is the lab's fault|the lab's own fault": "a lab fault",
}
"""Regular expressions for text in lower case, with what to write instead; empty: rewrite the sentence."""
_FOUND: Final = {re.compile(phrase): instead for phrase, instead in PHRASES.items()}


def findings(files: Mapping[str, str]) -> Iterator[str]:
    """Each phrase found in `files` (path to text), with its location and what to use instead."""
    for path, text in files.items():
        lower = text.lower()
        for phrase, instead in _FOUND.items():
            for match in phrase.finditer(lower):
                line = lower.count("\n", 0, match.start()) + 1
                advice = f"use: {instead}" if instead else "rewrite the sentence"
                yield f'{path}:{line}: "{match[0]}": {advice}'


def main(paths: Sequence[str]) -> int:
    """Check the named files that have prose; 1 if there is a finding, else 0."""
    own = Path(__file__).resolve()
    read = [path for path in paths if path.endswith(ENDINGS) and Path(path).resolve() != own]
    found = list(findings({path: Path(path).read_text("utf-8") for path in read}))
    sys.stdout.writelines(f"{finding}\n" for finding in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
