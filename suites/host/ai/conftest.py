"""The shipped model, loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ai.generate import Generator
from ai.model import SHIPPED, Model


@pytest.fixture(scope="session")
def model() -> Iterator[Model]:
    with Model(SHIPPED) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def generator(model: Model) -> Generator:
    return Generator(model)
