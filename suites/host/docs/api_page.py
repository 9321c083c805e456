"""docs/api.md out of the docstrings of `assay_lab`: `python -m suites.host.docs.api_page`, and a test holds the page equal."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from types import ModuleType
from typing import Final

import assay_lab
import assay_lab.drivers
import assay_lab.robot
from contracts.root import ROOT

PAGE: Final = ROOT / "docs" / "api.md"
_HEAD: Final = """# API

The names that suites, drivers and Robot Framework import. `.venv/bin/python -m suites.host.docs.api_page` generates
this page from the docstrings; a test checks it.
"""
_PARTS: Final = (
    (assay_lab, "What suites import"),
    (assay_lab.drivers, "What a driver of a lab's own imports"),
    (assay_lab.robot, "What Robot Framework imports"),
)


def page() -> str:
    """The text of docs/api.md."""
    return "\n".join([_HEAD, *(_part(module, title) for module, title in _PARTS)])


def _part(module: ModuleType, title: str) -> str:
    names = sorted(module.__all__)
    lines = [f"## {title}", "", f"From `{module.__name__}`.", ""]
    for name in names:
        lines += _entry(name, getattr(module, name))
    return "\n".join(lines)


def _entry(name: str, value: object) -> list[str]:
    """A name's heading, its signature, its docstring; of a class its public methods too."""
    lines = [f"### {name}", ""]
    signature = _signature(value)
    if signature and not (inspect.isclass(value) and issubclass(value, Enum | BaseException)):
        lines += ["```python", f"{name}{signature}", "```", ""]
    lines += [*_text(value), ""]
    if inspect.isclass(value) and issubclass(value, Enum):
        lines += [f"Members: {', '.join(f'`{member.name}`' for member in value)}.", ""]
    elif inspect.isclass(value):
        for method, what in sorted(vars(value).items()):
            inner = getattr(what, "__func__", getattr(what, "fget", what))
            if method.startswith("_") or not inspect.isfunction(inner):
                continue
            said = " ".join(_text(inner)) or ""
            call = "" if isinstance(what, property) else _signature(inner)
            lines += [f"- `{method}{call}`: {said}"]
        lines += [""] if lines[-1] else []
    return lines


def _signature(value: object) -> str:
    try:
        text = str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    text = re.sub(r"(: |-> )(['\"])(.*?)\2(?=[,)= ]|$)", r"\1\3", text)  # annotations are texts
    text = re.sub(r"<function [^>]*>? at 0x[0-9a-f]+>|<factory>", "...", text)
    text = re.sub(r"PosixPath\('([^']*)'\)", r"Path('\1')", text.replace(f"{ROOT}/", ""))
    return text.replace("(self, ", "(").replace("(self)", "()")


def _text(value: object) -> list[str]:
    return (inspect.getdoc(value) or "").splitlines()


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
