"""A model file with hostile numbers, or one that changes during a run: exit 4 before a board is leased, or no harm."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from ai import gguf
from ai.llama_file import check_llama
from ai.model import SHIPPED, Model
from ai.model_file import PROBED, ModelFile, probe, read_model
from contracts.errors import ModelError
from contracts.root import ROOT
from harness.cli import app as cli
from suites.host.ai.hostile_models import ARRAY, SIZES, TEXT, Parts, text

SEEDS: Final = 120


def u32(value: int) -> tuple[int, bytes]:
    return 4, struct.pack("<I", value)


def f32(value: float) -> tuple[int, bytes]:
    return 6, struct.pack("<f", value)


def words(*values: bytes) -> tuple[int, bytes]:
    return ARRAY, struct.pack("<IQ", TEXT, len(values)) + b"".join(map(text, values))


def numbers(kind: int, count: int, value: bytes) -> tuple[int, bytes]:
    return ARRAY, struct.pack("<IQ", kind, count) + value * count


ENTRIES: Final[list[tuple[str, tuple[int, bytes]]]] = [
    ("llama.attention.layer_norm_rms_epsilon", f32(-1.0)),
    ("llama.attention.layer_norm_rms_epsilon", f32(float("nan"))),
    ("llama.attention.layer_norm_rms_epsilon", u32(1)),
    ("llama.expert_count", u32(4)),
    ("llama.expert_used_count", u32(1)),
    ("llama.expert_group_count", u32(2)),
    ("llama.nextn_predict_layers", u32(5)),
    ("llama.block_count", u32(0)),
    ("llama.block_count", u32(513)),
    ("llama.context_length", u32(0)),
    ("llama.context_length", u32(1)),
    ("llama.context_length", u32((1 << 32) - 1)),
    ("llama.context_length", (5, struct.pack("<i", -512))),
    ("llama.embedding_length", u32(0)),
    ("llama.feed_forward_length", u32(0)),
    ("llama.attention.head_count", u32(0)),
    ("llama.attention.head_count", numbers(4, 4, struct.pack("<I", 4))),
    ("llama.attention.head_count_kv", u32(0)),
    ("llama.attention.head_count_kv", numbers(4, 4, struct.pack("<I", 0))),
    ("llama.attention.key_length", u32(0)),
    ("llama.attention.value_length", u32(32)),
    ("llama.rope.dimension_count", u32(0)),
    ("llama.rope.dimension_count", u32(63)),
    ("llama.rope.freq_base", f32(0.0)),
    ("llama.rope.freq_base", f32(float("nan"))),
    ("llama.rope.scaling.type", (TEXT, text(b"cubic"))),
    ("llama.rope.scaling.factor", f32(float("inf"))),
    ("llama.pooling_type", u32(7)),
    ("llama.attention.causal", (7, b"\0")),
    ("llama.vocab_size", u32(1)),
    ("llama.vocab_size", u32(1 << 31)),
    ("split.count", (2, struct.pack("<H", 2))),
    ("general.alignment", u32(0)),
    ("general.alignment", u32(8)),
    ("general.alignment", u32(48)),
    ("general.architecture", u32(7)),
    ("tokenizer.ggml.model", (TEXT, text(b"none"))),
    ("tokenizer.ggml.model", (TEXT, text(b"t5"))),
    ("tokenizer.ggml.model", (TEXT, text(b"gpt2"))),
    ("tokenizer.ggml.tokens", words(b"a", b"b")),
    ("tokenizer.ggml.tokens", words(*(b"t%d" % n for n in range(1024)))),
    ("tokenizer.ggml.tokens", words(*([b"a"] * 1024))),
    ("tokenizer.ggml.tokens", words(*(b"a\0%d" % n for n in range(1024)))),
    ("tokenizer.ggml.tokens", numbers(4, 1024, bytes(4))),
    ("tokenizer.ggml.scores", numbers(6, 3, bytes(4))),
    ("tokenizer.ggml.scores", numbers(6, 1024, struct.pack("<f", float("nan")))),
    ("tokenizer.ggml.scores", numbers(0, 1024, b"\0")),
    ("tokenizer.ggml.token_type", numbers(5, 1023, bytes(4))),
    ("tokenizer.ggml.token_type", numbers(5, 1024, struct.pack("<i", 6))),
    ("tokenizer.ggml.token_type", numbers(5, 1024, struct.pack("<i", -1))),
    ("tokenizer.ggml.bos_token_id", u32(1024)),
    ("tokenizer.ggml.unknown_token_id", (5, struct.pack("<i", -1))),
    ("tokenizer.ggml.add_bos_token", u32(1)),
]


def model_of(change: Callable[[Parts], Any]) -> bytes:
    parts = Parts.of(SHIPPED.read_bytes())
    change(parts)
    return parts.packed()


def test_the_parts_of_the_shipped_model_make_it_again() -> None:
    assert Parts.of(SHIPPED.read_bytes()).packed() == SHIPPED.read_bytes()


@pytest.mark.parametrize(
    ("key", "value"), ENTRIES, ids=[f"{key}={value[1][-8:].hex()}" for key, value in ENTRIES]
)
def test_an_entry_that_llama_cpp_divides_by_indexes_with_or_asserts_on_is_looked_at(
    tmp_path: Path, key: str, value: tuple[int, bytes]
) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(model_of(lambda parts: parts.put(key, *value)))
    with pytest.raises(ModelError) as caught:
        check_llama(gguf.read(path))
    assert str(path) in caught.value.what
    assert caught.value.seen
    assert caught.value.expected


@pytest.mark.parametrize("at", [8, 16], ids=["tensors", "entries"])
@pytest.mark.parametrize("count", [0, 1, 1 << 20, 1 << 32, (1 << 64) - 1])
def test_counts_that_the_file_does_not_have_are_refused(tmp_path: Path, at: int, count: int) -> None:
    raw = bytearray(SHIPPED.read_bytes())
    raw[at : at + 8] = struct.pack("<Q", count)
    path = tmp_path / "hostile.gguf"
    path.write_bytes(raw)
    with pytest.raises(ModelError, match=r"hostile\.gguf"):
        check_llama(gguf.read(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda name, _shape, kind, offset: (name, [1 << 32, 1 << 32], kind, offset),
        lambda name, _shape, kind, offset: (name, [256, 1 << 62], kind, offset),
        lambda name, shape, kind, _offset: (name, shape, kind, 1 << 60),
        lambda name, shape, kind, _offset: (name, shape, kind, (1 << 64) - 32),
        lambda name, shape, _kind, offset: (name, shape, 28, offset),
        lambda name, shape, _kind, offset: (name, shape, 255, offset),
        lambda name, _shape, kind, offset: (name, [0, 0], kind, offset),
        lambda _name, shape, kind, offset: (b"cls.weight", shape, kind, offset),
        lambda name, _shape, kind, offset: (name, [], kind, offset),
    ],
)  # fmt: skip
def test_tensors_of_hostile_extents_and_types_are_refused(tmp_path: Path, change: Callable[..., Any]) -> None:
    path = tmp_path / "hostile.gguf"
    for at in (0, 2, 9):
        parts = Parts.of(SHIPPED.read_bytes())
        parts.tensors[at] = change(*parts.tensors[at])
        path.write_bytes(parts.packed())
        with pytest.raises(ModelError, match=r"hostile\.gguf"):
            check_llama(gguf.read(path))


def test_weights_that_give_no_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.gguf"

    def spoil(parts: Parts) -> None:
        (offset,) = (offset for name, _, _, offset in parts.tensors if name == b"token_embd.weight")
        parts.data[offset : offset + 2] = b"\x00\x7e"  # the scale of the first block, an F16

    path.write_bytes(model_of(spoil))
    with pytest.raises(ModelError, match=r"hostile\.gguf") as caught:
        Model(path)
    assert "finite" in caught.value.seen


def test_an_abort_in_llama_cpp_is_an_error_of_the_model_and_ends_no_run(tmp_path: Path) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(model_of(lambda parts: parts.put("llama.expert_count", *u32(4))))
    with path.open("rb") as file:
        unchecked = ModelFile(path, file.fileno(), gguf.read(path), hashlib.sha256(b"never").digest())
        with pytest.raises(ModelError, match=r"hostile\.gguf") as caught:
            probe(unchecked)
    assert "signal 6" in caught.value.seen
    assert caught.value.exit_code == 4


def test_no_change_of_a_model_ends_the_process_that_loads_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "suites.host.ai.hostile_models", "0", str(SEEDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" in done.stdout
    assert "taken" in done.stdout


def test_a_model_is_probed_once_for_each_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai.model_file.PROBED", tmp_path / "probed")
    for name in ("one.gguf", "two.gguf"):
        shutil.copy(SHIPPED, tmp_path / name)
        with Model(tmp_path / name) as model:
            assert model.hash == hashlib.sha256(SHIPPED.read_bytes()).digest()
    (known,) = (tmp_path / "probed").iterdir()
    assert known.name.startswith(model.hash.hex())
    assert PROBED.is_relative_to(ROOT / "build")


@pytest.mark.parametrize("change", ["truncated", "exchanged", "removed"])
def test_a_file_that_changes_after_it_was_read_changes_nothing(tmp_path: Path, change: str) -> None:
    path = tmp_path / "mine.gguf"
    shutil.copy(SHIPPED, path)
    digest = hashlib.sha256(SHIPPED.read_bytes()).digest()
    with read_model(path) as copy:
        if change == "truncated":
            os.truncate(path, 1000)
        elif change == "exchanged":
            path.write_bytes(bytes(path.stat().st_size))
        else:
            path.unlink()
        with Model(path, copy) as model, Model(SHIPPED) as right:
            assert model.hash == digest == copy.hash
            tokens = right.tokenise("u32 source")
            assert (model.begin(tokens) == right.begin(tokens)).all()


def test_a_loaded_model_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    shutil.copy(SHIPPED, path)
    with Model(path) as model:
        before = model.begin([1, 2, 3]).copy()
        os.truncate(path, 0)
        assert (model.begin([1, 2, 3]) == before).all()


_LIMITED: Final = """
import resource, sys
from pathlib import Path
from ai.model import Model
from ai.model_file import read_model
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
path = Path(sys.argv[1])
with Model(path) as model:
    print(model.hash.hex())
try:
    with read_model(path) as copy:
        assert not copy.sealed
        with path.open("r+b") as file:
            file.write(b"x")
        copy.check_unchanged()
except Exception as error:
    print(type(error).__name__)
"""


def test_where_no_copy_may_be_written_a_change_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    shutil.copy(SHIPPED, path)
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == [hashlib.sha256(SHIPPED.read_bytes()).hexdigest(), "ModelError"], (
        done.stderr
    )


def test_another_process_loads_the_copy_by_its_place_and_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    shutil.copy(SHIPPED, path)
    with read_model(path) as copy:
        path.unlink()
        code = f"from ai.model import Model; from pathlib import Path; m = Model(Path({str(copy.place)!r}));"
        done = subprocess.run(
            [sys.executable, "-c", code + " print(m.path.name, m.hash.hex())"],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    assert done.stdout.split() == ["mine.gguf", copy.hash.hex()]


@pytest.mark.parametrize("kind", ["pipe", "device", "expert"])
@pytest.mark.parametrize("command", ["run", "accept"])
def test_a_hostile_model_ends_with_4_before_a_board_is_leased(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    command: str,
) -> None:
    path = tmp_path / "hostile.gguf"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(model_of(lambda parts: parts.put("llama.expert_count", *u32(4))))
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    results = tmp_path / "results"
    monkeypatch.setattr(
        "sys.argv",
        ["assay", command, "--board", "qemu-virt", "--model", str(path), "--results", str(results)],
    )
    assert cli.main() == 4
    assert str(path) in capsys.readouterr().err
    assert not (tmp_path / "leases").exists()
    assert not results.exists()


def test_every_size_of_a_value_is_known() -> None:
    assert set(SIZES) | {TEXT, ARRAY} == set(range(13))
