"""Training from scratch gives a GGUF that loads (only if the `train` extra is installed)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai.model import Model


def test_a_few_steps_make_a_model_that_loads_and_agrees(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the train extra is not installed")
    from ai.train import export, parity, run
    from ai.train.shape import Shape

    shape = Shape(width=64, layers=1, heads=2, kv_heads=1, feed_forward=96)
    run.train(steps=6, seed=1, out=tmp_path, minutes=None, shape=shape, threads=1)
    shape, weights, tokens, _ = export.from_checkpoint(tmp_path)
    export.write_model(tmp_path / "tiny.gguf", shape, weights, tokens, {"step": "6"}, q8=False)
    with Model(tmp_path / "tiny.gguf") as model:
        assert model.compact
    parity.write(tmp_path / "reference.npz", shape, weights, tokens)
    agreement = parity.compare(tmp_path / "tiny.gguf", tmp_path / "reference.npz")
    assert agreement.max_abs < 1e-3
    assert agreement.argmax_share == 1.0
