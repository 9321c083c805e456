"""Records: their types, and what the writers write, match the committed schema."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from typing import Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from contracts import record
from contracts.measurement import Clock, Stat, Verdict
from contracts.root import ROOT

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "run.schema.json").read_text())
DEFS = SCHEMA["$defs"]
PLAIN = {str: {"string"}, int: {"integer"}, float: {"number"}, bool: {"boolean"}, type(None): {"null"}}

PARTS = [
    (record.Record, SCHEMA),
    (record.About, SCHEMA["properties"]["run"]),
    (record.CaseRow, DEFS["test"]),
    (record.CaseAttemptRow, DEFS["test"]["properties"]["attempts"]["items"]),
    (record.SpreadRow, DEFS["spread"]),
    (record.SoakRow, DEFS["soak"]),
    (record.FirstFailureRow, DEFS["soak"]["properties"]["first_failure"]),
    (record.BoardRow, DEFS["board"]),
    (record.StageRow, DEFS["stage"]),
    (record.SituationRow, DEFS["situation"]),
    (record.AttemptRow, DEFS["situation"]["properties"]["attempts"]["items"]),
]
UNTOLD = {record.SituationRow: {"diagnosis", "program"}}
"""What the schema lets a writer add."""


def members(hint: Any) -> list[Any]:
    """The plain types of a hint: the parts of a union, without what says whether a key must be there."""
    if get_origin(hint) in (NotRequired, Required):
        return members(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [part for inner in get_args(hint) for part in members(inner)]
    return [hint]


def json_types(hint: Any) -> set[str]:
    found: set[str] = set()
    for part in members(hint):
        if is_typeddict(part) or get_origin(part) in (dict, Mapping):
            found.add("object")
        elif get_origin(part) is list:
            found.add("array")
        else:
            found |= PLAIN[part]
    return found


def schema_types(part: Mapping[str, Any]) -> set[str]:
    if "$ref" in part:
        part = {**DEFS[part["$ref"].rpartition("/")[2]], **{k: v for k, v in part.items() if k != "$ref"}}
    values = part.get("enum", [part["const"]] if "const" in part else None)
    if values is not None:
        return {next(iter(PLAIN[type(value)])) for value in values}
    said = part["type"]
    return set(said) if isinstance(said, list) else {said}


@pytest.mark.parametrize(("kind", "schema"), PARTS, ids=lambda part: getattr(part, "__name__", ""))
def test_the_types_of_a_record_have_the_keys_and_values_of_its_schema(kind: Any, schema: Any) -> None:
    hints = get_type_hints(kind, include_extras=True)
    assert set(hints) - set(schema["properties"]) == UNTOLD.get(kind, set())
    assert set(schema["properties"]) <= set(hints)
    needed = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
    assert needed == set(schema["required"])
    for name, part in schema["properties"].items():
        assert json_types(hints[name]) == schema_types(part), name


def test_what_a_test_measured_is_a_row_of_a_stage_with_samples() -> None:
    (more,) = DEFS["test"]["properties"]["measurements"]["items"]["properties"].items()
    hints = get_type_hints(record.MeasuredRow)
    assert set(hints) - set(get_type_hints(record.StageRow)) == {more[0]}
    assert json_types(hints[more[0]]) == schema_types(more[1])


def test_the_words_of_the_schema_are_those_of_the_scales() -> None:
    stage = DEFS["stage"]["properties"]
    assert DEFS["verdict"]["enum"] == [verdict.value for verdict in Verdict]
    assert stage["clock"]["enum"] == [clock.value for clock in Clock]
    assert stage["stat"]["enum"] == [*(stat.value for stat in Stat), None]


def test_no_part_of_a_record_is_a_dictionary_of_anything() -> None:
    folders = ("runs", "report", "robot", "loop", "judge", "terminal", "pytest_lab")
    files = [path for folder in folders for path in (ROOT / "harness" / folder).glob("*.py")]
    assert len(files) > 50
    assert [str(path) for path in files if "[str, Any]" in path.read_text()] == []
