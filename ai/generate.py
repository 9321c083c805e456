"""A program from a diagnosis: greedy, under the grammar, bounded in tokens; the same input gives the same text."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ai import grammar, prompt
from ai.model import SHIPPED, Model
from ai.scenarios.programs import PREFIX
from ai.tokens import BEGIN, PROGRAM
from contracts.diagnosis import Diagnosis, Generated, Refusal
from contracts.errors import ProgramRejected

TOKENS_MAX: Final = 200
"""Most tokens of a program by the shipped model (its programs take 40 to 90)."""
FOREIGN_TOKENS_MAX: Final = 640
REPAIRS_MAX: Final = 2


class Generator:
    """Writes programs with one loaded model. `promises_latency` is True for the shipped model alone."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name = model.path.name
        self.model_hash = model.hash
        self.promises_latency = model.path.resolve() == SHIPPED.resolve()

    def generate(self, diagnosis: Diagnosis, feedback: Sequence[Refusal] = ()) -> Generated:
        """A syntactically complete program for `diagnosis`, heeding the latest refusal.

        Raises ProgramRejected (stage `generate`) when the model reaches no complete program within its bound of
        tokens, ModelError when the prompt does not fit.
        """
        cpu, wall = time.thread_time(), time.perf_counter()
        text, tokens, bound = self._prompt(diagnosis, feedback)
        written, count = self._write(tokens, min(bound, self.model.context_size - len(tokens)))
        source = PREFIX + written
        return Generated(
            source=source,
            prompt=text,
            tokens=count,
            prompt_hash=hashlib.sha256(text.encode()).digest(),
            model_hash=self.model.hash,
            thread_cpu_s=time.thread_time() - cpu,
            wall_s=time.perf_counter() - wall,
        )

    def _prompt(self, diagnosis: Diagnosis, feedback: Sequence[Refusal]) -> tuple[str, list[int], int]:
        """The prompt's text and tokens, and the bound of the answer's tokens."""
        model = self.model
        if model.compact:
            text = prompt.compact(diagnosis, feedback)
            tokens = [BEGIN, *model.tokenise(text), PROGRAM]
            if feedback and len(tokens) + TOKENS_MAX > model.context_size:
                text = prompt.compact(diagnosis)
                tokens = [BEGIN, *model.tokenise(text), PROGRAM]
            return text, tokens, TOKENS_MAX
        question = prompt.explained(diagnosis, feedback)
        text = (model.chat(question) or f"{question}\n") + f"```c\n{PREFIX}"
        return text, model.tokenise(text, special=True), FOREIGN_TOKENS_MAX

    def _write(self, tokens: Sequence[int], bound: int) -> tuple[str, int]:
        model = self.model
        rules = model.grammar(grammar.GBNF, grammar.ROOT)
        try:
            out = bytearray()
            logits = model.begin(tokens)
            for count in range(max(bound, 0)):
                token = rules.best(logits)
                if token is None:
                    raise _incomplete("no token of the model's vocabulary continues the program", out, count)
                if model.ends(token):
                    return out.decode("utf-8", "replace"), count
                rules.accept(token)
                out += model.piece(token)
                if out.endswith(b"\n}\n"):
                    return out.decode("utf-8", "replace"), count + 1
                logits = model.advance(token)
            raise _incomplete(f"no complete program within {bound} tokens", out, bound)
        finally:
            rules.close()


def open_generator(path: Path | None = None) -> Generator:
    """The generator of the GGUF at `path`; None is the shipped model. Raises ModelError."""
    return Generator(Model(path or SHIPPED))


def _incomplete(reason: str, out: bytearray, count: int) -> ProgramRejected:
    tail = out[-60:].decode("utf-8", "replace")
    return ProgramRejected(
        f"generate: {reason}",
        stage="generate",
        reason=reason,
        expected="a program that ends in its closing brace",
        seen=f"{count} tokens, ending in {tail!r}",
        do="use a model that was trained for this, or try another seed",
    )
