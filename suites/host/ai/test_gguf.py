"""An invalid model file raises a ModelError with what was expected, seen and to do; llama.cpp never opens it."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai import gguf
from ai.llama_file import check_llama
from ai.model import SHIPPED, Model
from contracts.errors import ModelError


@pytest.fixture(scope="module")
def shipped() -> bytes:
    return SHIPPED.read_bytes()


def _refused(path: Path, match: str) -> ModelError:
    with pytest.raises(ModelError, match=match) as caught:
        Model(path)
    assert caught.value.expected
    assert caught.value.seen
    assert caught.value.do
    assert caught.value.exit_code == 4
    return caught.value


def test_a_missing_model_names_the_path_and_the_option(tmp_path: Path) -> None:
    error = _refused(tmp_path / "none.gguf", "no model at")
    assert "--model" in error.do


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    _refused(tmp_path, "no model at")


@pytest.mark.parametrize("keep", [0, 3, 4, 20, 200, 5_000, 40_000, 1_000_000, -1, -64])
def test_a_truncated_model_is_named_as_truncated(tmp_path: Path, shipped: bytes, keep: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(shipped[:keep])
    assert str(len(shipped[:keep])) in _refused(path, "truncated").seen


def test_another_kind_of_file_is_named_by_its_magic(tmp_path: Path) -> None:
    path = tmp_path / "image.gguf"
    path.write_bytes(b"\x89PNG" + bytes(100))
    assert "PNG" in _refused(path, "not a usable GGUF").seen


def test_a_version_from_the_future_is_refused(tmp_path: Path, shipped: bytes) -> None:
    path = tmp_path / "future.gguf"
    path.write_bytes(shipped[:4] + struct.pack("<I", 9) + shipped[8:])
    assert _refused(path, "not a usable GGUF").seen == "9"


def test_another_architecture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mamba.gguf"
    gguf.write(path, {"general.architecture": "mamba"}, {"a": np.zeros(32, np.float32)}, q8=False)
    assert "mamba" in _refused(path, "another architecture").seen


@pytest.mark.parametrize(
    "key", ["llama.block_count", "llama.embedding_length", "llama.attention.head_count_kv"]
)
def test_sizes_that_disagree_with_the_tensors_are_refused(tmp_path: Path, key: str) -> None:
    file = gguf.read(SHIPPED)
    path = tmp_path / "odd.gguf"
    wrong = {**file.metadata, key: file.number(key) * 2}
    gguf.write(path, wrong, {name: file.floats(name) for name in file.tensors}, q8=True)
    _refused(path, "not a usable GGUF")


def test_what_llama_cpp_itself_complains_of_is_said(tmp_path: Path) -> None:
    file = gguf.read(SHIPPED)
    path = tmp_path / "unnamed.gguf"
    odd = {key: value for key, value in file.metadata.items() if not key.startswith("assay.")}
    odd |= {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "nobodys", "tokenizer.ggml.merges": ["a b"]}
    gguf.write(path, odd, {name: file.floats(name) for name in file.tensors}, q8=True)
    assert "nobodys" in _refused(path, "llama.cpp does not load").seen


def test_a_vocabulary_that_llama_cpp_aborts_on_is_refused(tmp_path: Path) -> None:
    file = gguf.read(SHIPPED)
    path = tmp_path / "twins.gguf"
    twins: dict[str, gguf.Value] = {**file.metadata, "tokenizer.ggml.tokens": ["a"] * 1024}
    gguf.write(path, twins, {name: file.floats(name) for name in file.tensors}, q8=True)
    assert "some equal" in _refused(path, "not a usable GGUF").seen


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_to_the_header_gets_past_as_anything_but_a_model_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with SHIPPED.open("rb") as file:
        damaged = bytearray(file.read(4096))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(damaged)
    with pytest.raises(ModelError):
        check_llama(gguf.read(path))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)
    metadata: dict[str, gguf.Value] = {
        "a": 7, "b": 1.5, "c": "text \u2581", "d": True, "e": ["x", "y"], "f": [1.0, 2.0], "g": [1, -2]
    }  # fmt: skip
    path = tmp_path / "own.gguf"
    gguf.write(path, metadata, {"m": values, "v": values[0]}, q8=False)
    file = gguf.read(path)
    assert file.metadata == metadata
    assert np.array_equal(file.floats("m"), values)
    assert np.array_equal(file.floats("v"), values[0])


def test_quantisation_errs_by_half_a_step_at_most(tmp_path: Path) -> None:
    values = np.random.default_rng(2).standard_normal((8, 96)).astype(np.float32)
    path = tmp_path / "q8.gguf"
    gguf.write(path, {"general.architecture": "none"}, {"m": values}, q8=True)
    step = np.abs(values.reshape(-1, 32)).max(axis=1, keepdims=True) / 127
    error = np.abs(gguf.read(path).floats("m") - values).reshape(-1, 32)
    assert (error <= step * 0.51 + 1e-3 * np.abs(values).reshape(-1, 32)).all()


def test_a_whole_copy_loads(tmp_path: Path) -> None:
    path = tmp_path / "copy.gguf"
    shutil.copy(SHIPPED, path)
    with Model(path) as model:
        assert model.compact
