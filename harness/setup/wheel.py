"""The build backend: a wheel whose one top-level package is `assay_lab` (docs/decisions/wheel.md).

The folders of the repository become `assay_lab/_parts`, with the same layout, and the names of their modules get that
prefix. Everything else, in particular the editable install of a checkout, is done by setuptools.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
)

from contracts.errors import SetupError
from contracts.root import ROOT

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

PREFIX: Final = "assay_lab._parts"
PACKAGES: Final = ("ai", "contracts", "harness", "targets")
_DATA: Final = ("docs/schemas", "firmware", "lab-config", "robot")
_LOCK: Final = "requirements-sdist.lock"  # C sources for the kernel build
_BESIDE: Final = ("LICENSE", "README.md", "pyproject.toml")
_NAMING: Final = frozenset({".build", ".py", ".resource", ".robot", ".toml"})
# A possible module name: in an import, a string or prose. It is one if the file exists.
_NAMED: Final = re.compile(rf"(?<![\w./-])({'|'.join(PACKAGES)})\.([A-Za-z]\w*)")
_IMPORTED: Final = re.compile(rf"^(\s*from )({'|'.join(PACKAGES)})(?= import )", re.MULTILINE)


def moved(text: str, root: Path = ROOT) -> str:
    """The text with every name of a module below `root` replaced by its name in the wheel."""

    def name(found: re.Match[str]) -> str:
        place = root / found[1] / found[2]
        return f"{PREFIX}.{found[0]}" if place.is_dir() or place.with_suffix(".py").is_file() else found[0]

    return _IMPORTED.sub(rf"\1{PREFIX}.\2", _NAMED.sub(name, text))


def stage(into: Path, root: Path = ROOT) -> None:
    """Write to `into` what setuptools builds the wheel from. Raises SetupError for a module that cannot be moved."""
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(root / "assay_lab", into / "assay_lab", ignore=left_out)
    for folder in (*PACKAGES, *_DATA):
        shutil.copytree(root / folder, into / "assay_lab" / "_parts" / folder, ignore=left_out)
    shutil.copy2(root / _LOCK, into / "assay_lab" / "_parts" / _LOCK)
    for name in _BESIDE:
        shutil.copy2(root / name, into / name)
    for path in [path for path in into.rglob("*.*") if path.suffix in _NAMING]:
        text = moved(path.read_text(encoding="utf-8"), root)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".py":
            _check(path.relative_to(into), text)
    (into / "assay_lab" / "_parts" / "__init__.py").write_text('"""The repository\'s folders."""\n', "utf-8")


def _check(path: Path, text: str) -> None:
    """Reject code that names a package other than by `from ... import`: its new name would be another expression."""
    for node in ast.walk(ast.parse(text, str(path))):
        plain = isinstance(node, ast.Import) and any(
            alias.name.split(".")[0] in PACKAGES or alias.name.startswith(PREFIX) for alias in node.names
        )
        if plain or (isinstance(node, ast.Name) and node.id == PREFIX.split(".")[0]):
            raise SetupError(
                f"{path}:{getattr(node, 'lineno', 0)} cannot be moved into the wheel",
                expected=f"`from PACKAGE import NAME`, and no variable called {', '.join(PACKAGES)}",
                seen=ast.unparse(node),
                do="use that form; docs/decisions/wheel.md explains why",
            )


@contextmanager
def _staged() -> Iterator[None]:
    """Makes a staged copy the current folder: setuptools reads the project from there."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="assay-wheel-") as name:
        stage(Path(name), before)
        os.chdir(name)
        try:
            yield
        finally:
            os.chdir(before)


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,  # noqa: ARG001  # PEP 517: may be ignored
) -> str:
    """PEP 517: build the wheel into a folder; returns its file name."""
    out = Path(wheel_directory).resolve()
    with _staged():
        file: str = build_meta.build_wheel(str(out), config_settings)
    return file


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: dict[str, Any] | None = None
) -> str:
    """PEP 517: the wheel's .dist-info, with the new names of the entry points."""
    out = Path(metadata_directory).resolve()
    with _staged():
        folder: str = build_meta.prepare_metadata_for_build_wheel(str(out), config_settings)
    return folder


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:  # noqa: ARG001
    """PEP 517: refused. A source distribution would be a clone: it needs firmware, suites and set-up."""
    raise SetupError(
        "Assay has no source distribution",
        expected="a wheel, or a clone",
        seen=f"an sdist requested in {sdist_directory}",
        do="pip wheel --no-deps . (with `build`: python -m build --wheel)",
    )
