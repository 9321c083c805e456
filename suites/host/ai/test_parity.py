"""llama.cpp computes the same logits as training, checked without torch by committed logits."""

from __future__ import annotations

from pathlib import Path

from ai.model import SHIPPED
from ai.train.parity import compare, dequantised

REFERENCE = Path(__file__).with_name("parity.npz")


def test_logits_of_the_dequantised_model_are_those_of_torch(tmp_path: Path) -> None:
    exact = tmp_path / "f32.gguf"
    dequantised(SHIPPED, exact)
    agreement = compare(exact, REFERENCE)
    assert agreement.max_abs < 1e-3, str(agreement)
    assert agreement.argmax_share == 1.0, str(agreement)


def test_quantised_arithmetic_writes_the_same_programs() -> None:
    agreement = compare(SHIPPED, REFERENCE)
    assert agreement.argmax_share == 1.0, str(agreement)
