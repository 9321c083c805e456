"""`assay config`: checks every file of lab-config/ before a run needs it; prints schemas for editors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from rich.console import Console

from ai.scenarios import families
from contracts.errors import ConfigError, did_you_mean
from harness.boards.files import BoardFile, LabFile, form_of
from harness.boards.registry import BOARDS, LABS, load_board, load_boards, load_lab
from harness.config.keys import DEVELOPMENT_KEY, load_key
from harness.config.strict import every_error, keys_of, place_of
from harness.judge.budgets import DEFAULT_BUDGETS, BudgetFile, load_budgets
from harness.kernel.golden import GOLDEN, MANIFEST, GoldenFile, check_golden

SCHEMAS: Final[dict[str, TypeAdapter[Any]]] = {
    "board": TypeAdapter(BoardFile),
    "budgets": TypeAdapter(BudgetFile),
    "lab": TypeAdapter(LabFile),
}
_BOARD_KEYS: Final = frozenset({"kind", "places"})
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def lab_files() -> list[Path]:
    """The files that `assay config check` checks by default: boards, labs, budgets, golden images, keys."""
    keys = sorted(DEVELOPMENT_KEY.parent.glob("*.key"))
    places = [*sorted(BOARDS.glob("*.yaml")), *sorted(LABS.glob("*.yaml"))]
    return [*places, DEFAULT_BUDGETS, GOLDEN / MANIFEST, *keys]


def check_file(path: Path) -> list[ConfigError]:
    """All mistakes in one file.

    Its contents determine its type: `budgets`, `images` (golden ones, which are also checked), a board, or a lab if it
    has `places` and no `kind`. The name determines it for keys (`*.key`), and if the contents do not.
    """
    if path.suffix == ".key":
        return _raised(load_key, path)
    keys = keys_of(path)
    if "budgets" in keys or (not keys & _BOARD_KEYS and path.name.startswith("budgets")):
        return every_error(path, BudgetFile) or _raised(load_budgets, path)
    if "images" in keys or path.name == MANIFEST:
        boards = load_boards() if path.parent.resolve() == GOLDEN else []
        return every_error(path, GoldenFile) or check_golden(path, boards)
    form = form_of(path)
    if form is LabFile:
        return every_error(path, LabFile) or _raised(load_lab, path)
    return every_error(path, form) or _raised(load_board, path) or _raised(_known_scenario, path)


def _raised(load: Any, path: Path) -> list[ConfigError]:
    try:
        load(path)
    except ConfigError as error:
        return [error]
    return []


def _known_scenario(path: Path) -> None:
    """Check a board file's scenario, which is plain text there: only `ai` knows the scenarios."""
    scenario, known = load_board(path).scenario, families()
    if scenario is not None and scenario not in known:
        raise ConfigError(
            f"{place_of(path, 'scenario')}: no scenario {scenario!r}{did_you_mean(scenario, known)}",
            expected=f"one of {', '.join(known)}",
            seen=scenario,
            do="correct the value",
        )


def check(console: Console, files: Sequence[Path]) -> int:
    """Print `ok` or all mistakes for each file. Returns 0, or 4 if there is a mistake."""
    wrong = 0
    for path in files or lab_files():
        errors = check_file(path)
        wrong += len(errors)
        if not errors:
            console.print(f"ok    {path}", soft_wrap=True, markup=False)
        for error in errors:
            console.print(f"wrong {error}", soft_wrap=True, markup=False)
    if wrong:
        todo = "1 mistake: correct it" if wrong == 1 else f"{wrong} mistakes: correct them"
        console.print(f"{todo}, then run `assay config check` again")
    return ConfigError.exit_code if wrong else 0


def schema(name: str) -> str:
    """The JSON Schema of a type of file, as text. Raises ConfigError for an unknown type."""
    model = SCHEMAS.get(name)
    if model is None:
        raise ConfigError(
            f"no schema {name!r}{did_you_mean(name, list(SCHEMAS))}",
            expected=f"one of {', '.join(SCHEMAS)}",
            seen=name,
            do="name one of them",
        )
    return json.dumps({"$schema": _DIALECT, **model.json_schema(by_alias=True)}, indent=2)
