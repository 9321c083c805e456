"""A program from a diagnosis: greedy, under the grammar, with a token limit; the same input gives the same text.

After a refusal the refused programs are not written again: where the model was nearly undecided, the second-best token
is taken and the rest is generated again from there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ai import grammar, prompt
from ai.model import SHIPPED, Model
from ai.scenarios.programs import PREFIX
from ai.tokens import BEGIN, PROGRAM
from contracts.diagnosis import Diagnosis, Generated, Refusal
from contracts.errors import ProgramRejected

TOKENS_MAX: Final = 200
"""Token limit for a program by the shipped model (its programs take 40 to 90)."""
FOREIGN_TOKENS_MAX: Final = 640
BRANCHES_MAX: Final = 4
"""Maximum number of branches tried for a program that differs from the refused ones."""


class Generator:
    """Writes programs with one loaded model. `promises_latency` is True only for the shipped model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name = model.path.name
        self.model_hash = model.hash
        self.promises_latency = model.path.resolve() == SHIPPED.resolve()

    def generate(self, diagnosis: Diagnosis, feedback: Sequence[Refusal] = ()) -> Generated:
        """A syntactically complete program for `diagnosis` that takes the latest refusal into account.

        It differs from every refused program. Raises ProgramRejected (stage `generate`) if the model does not complete
        a program within its token limit, ModelError if the prompt does not fit.
        """
        cpu, wall = time.thread_time(), time.perf_counter()
        text, tokens, bound = self._prompt(diagnosis, feedback)
        refused = {refusal.source.removeprefix(PREFIX) for refusal in feedback}
        written, count = self._write(tokens, min(bound, self.model.context_size - len(tokens)), refused)
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
        """The prompt's text and tokens, and the token limit of the answer."""
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

    def _write(self, tokens: Sequence[int], bound: int, refused: Collection[str]) -> tuple[str, int]:
        """The first program that is not `refused`: greedy first, then branches in order of the closest choice."""
        first = _Draft(self.model, tokens, bound)
        first.complete(self.model.begin(tokens), watch=bool(refused))
        if first.text not in refused:
            return first.text, first.count
        for at, token in first.closest_calls()[:BRANCHES_MAX]:
            branch = _Draft(self.model, tokens, bound)
            try:
                if branch.follow(first.tokens[:at], token):
                    branch.complete(self.model.advance(token), watch=False)
                    if branch.text not in refused:
                        return branch.text, first.count + branch.count
            except ProgramRejected:
                continue  # an incomplete branch is not a candidate; the next one may be
        return first.text, first.count


class _Draft:
    """One unfinished program: its tokens, its grammar state, and its close choices."""

    def __init__(self, model: Model, prompt_tokens: Sequence[int], bound: int) -> None:
        self.model = model
        self.prompt_length = len(prompt_tokens)
        self.bound = bound
        self.tokens: list[int] = []
        self.text = ""
        self.count = 0
        self._calls: list[tuple[float, int, int]] = []
        self._rules = model.grammar(grammar.GBNF, grammar.ROOT)
        self._out = bytearray()

    def follow(self, tokens: Sequence[int], last: int) -> bool:
        """Appends `tokens`, then `last`; False if the grammar does not admit it."""
        for token in tokens:
            self._take(token)
        if self.model.ends(last) or not self._rules.allows(last):
            self._rules.close()
            return False
        self._take(last)
        self.model.rewind(self.prompt_length + len(tokens))
        return True

    def complete(self, logits: NDArray[np.float32], *, watch: bool) -> None:
        """Continues greedily to the end of the program; `watch` records the second-best token of every choice."""
        try:
            while len(self.tokens) < self.bound:
                token = self._rules.best(logits)
                if token is None:
                    raise _incomplete(
                        "no token of the model's vocabulary continues the program", self._out, self.count
                    )
                if watch:
                    self._note(logits, token)
                if not self.model.ends(token):
                    self._take(token)
                    self.count += 1
                if self.model.ends(token) or self._out.endswith(b"\n}\n"):
                    self.text = self._out.decode("utf-8", "replace")
                    return
                logits = self.model.advance(token)
            raise _incomplete(f"no complete program within {self.bound} tokens", self._out, self.count)
        finally:
            self._rules.close()

    def closest_calls(self) -> list[tuple[int, int]]:
        """(position, second-best token) of every choice, closest first."""
        return [(at, token) for _, at, token in sorted(self._calls)]

    def _note(self, logits: NDArray[np.float32], chosen: int) -> None:
        two = np.argpartition(logits, -2)[-2:]
        other = int(two[0] if int(two[1]) == chosen else two[1])
        self._calls.append((float(logits[chosen] - logits[other]), len(self.tokens), other))

    def _take(self, token: int) -> None:
        self._rules.accept(token)
        self._out += self.model.piece(token)
        self.tokens.append(token)


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
        do="use a model that was trained for this task, or try another seed",
    )
