"""`assay_lab`: its list of names is complete, each name is documented, and importing it is cheap."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

import assay_lab
import assay_lab._names
import assay_lab.drivers
import assay_lab.robot

MODULES: Final = (assay_lab, assay_lab.drivers, assay_lab.robot)
# Modules that a test file does not load unless it imports them itself: a model, an assembler, a terminal, a report.
HEAVY: Final = (
    "capstone",
    "hypothesis",
    "jinja2",
    "llama_cpp",
    "numpy",
    "pytest",
    "qemu",
    "rich",
    "robot",
    "typer",
)


def imported(module: ModuleType) -> list[str]:
    """The names that a module binds by `from ... import`, also in a block; without those of functions."""
    source = assay_lab._names.__file__ if module is assay_lab else module.__file__
    assert source is not None
    due: list[ast.stmt] = list(ast.parse(Path(source).read_text()).body)
    names: list[str] = []
    while due:
        node = due.pop()
        if isinstance(node, ast.If):
            due += [*node.body, *node.orelse]
        elif isinstance(node, ast.ImportFrom) and node.module not in ("__future__", "typing"):
            names += [alias.asname or alias.name for alias in node.names]
    return names


def undocumented(value: object) -> list[str]:
    """The parts of a class, function or module without a docstring."""
    if not isinstance(value, type):
        return [] if getattr(value, "__doc__", None) else ["itself"]
    own = vars(value).get("__doc__") or ""
    without = ["itself"] if not own or own.startswith(f"{value.__name__}(") else []  # a dataclass writes one
    for name, member in vars(value).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function) and not function.__doc__:
            without.append(name)
    return without


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__))
def test_a_module_lists_what_it_has(module: ModuleType) -> None:
    assert sorted(module.__all__) == sorted(imported(module))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__))
def test_every_name_and_every_method_is_documented(module: ModuleType) -> None:
    values = {name: getattr(module, name) for name in module.__all__ if module is not assay_lab.drivers}
    assert {name: without for name, value in values.items() if (without := undocumented(value))} == {}


@pytest.mark.parametrize("name", ["Console", "Power", "Boot", "Port", "Options"])
def test_what_a_driver_must_have_is_documented(name: str) -> None:
    assert undocumented(getattr(assay_lab.drivers, name)) == []


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'assay_lab' has no attribute 'Bord'"):
        getattr(assay_lab, "Bord")  # noqa: B009  # mypy knows that it is not there


def loaded_by(statement: str, *modules: str) -> list[str]:
    """Which of these modules a new process has loaded after the statement."""
    script = f"import json, sys; {statement}; print(json.dumps([name for name in {modules} if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    names: list[str] = json.loads(done.stdout)
    return names


def test_importing_it_loads_no_library_that_a_suite_may_do_without() -> None:
    assert loaded_by("from assay_lab import Board, seal, compile_program", *HEAVY) == []
    assert loaded_by("from assay_lab import open_writer", *HEAVY) == ["numpy"]
    assert loaded_by("from assay_lab import TestBudgets", *HEAVY) == ["pytest"]


def test_by_itself_it_loads_nothing() -> None:
    assert loaded_by("import assay_lab", "harness", "contracts", "pydantic") == []
    assert loaded_by("import assay_lab; dir(assay_lab)", "harness") == ["harness"]


def test_a_star_brings_what_is_listed() -> None:
    names: dict[str, object] = {}
    exec("from assay_lab import *", names)
    assert set(assay_lab.__all__) == set(names) - {"__builtins__"}
    assert set(assay_lab.__all__) <= set(dir(assay_lab))


def test_a_name_is_the_same_object_as_where_it_is_defined() -> None:
    for name in ("Board", "seal", "InfraError", "open_writer", "TestBudgets"):
        value = getattr(assay_lab, name)
        assert getattr(importlib.import_module(value.__module__), name) is value
