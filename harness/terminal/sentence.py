"""A run in one sentence: what is read first, on a terminal, in the report, in a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.measurement import Direction
from contracts.record import StageRow
from harness.terminal.style import of_limit

_WHY_SHOWN: Final = 160


@dataclass(frozen=True, slots=True)
class FigureTold:
    """A judged figure: value and limit in `unit`, and the verdict's reason."""

    stage: str
    value: float | None
    limit: float | None
    unit: str
    verdict: str
    reason: str = ""
    at_least: bool = False

    @classmethod
    def of_row(cls, row: StageRow) -> FigureTold:
        """A row of a record (`stage` in docs/schemas/run.schema.json)."""
        return cls(
            row["name"],
            row["value"],
            row["limit"],
            row["unit"],
            row["verdict"],
            row.get("reason", ""),
            row.get("direction") == Direction.AT_LEAST,
        )

    @property
    def share(self) -> float:
        """The used share of its limit (for a lower limit: the limit's share of it); 0 without a limit."""
        if not self.value or not self.limit:
            return 0.0
        return self.limit / self.value if self.at_least else self.value / self.limit


@dataclass(frozen=True, slots=True)
class BoardTold:
    """A board (or a board type of a session): its verdict, why it ended early ("" if it did not), and its figures.

    `tests`: id, verdict and message of each test, where tests ran on it.
    """

    kind: str
    verdict: str
    why: str = ""
    figures: tuple[FigureTold, ...] = ()
    tests: tuple[tuple[str, str, str], ...] = ()


def count_text(count: int, noun: str) -> str:
    """`1 board`, `3 boards`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def first_line(text: str) -> str:
    """The first line of a message, shortened for a sentence."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _WHY_SHOWN else f"{line[: _WHY_SHOWN - 3]}..."


def run_sentence(boards: Sequence[BoardTold], *, interrupted: bool = False) -> str:
    """`3 boards: all budgets met; tightest: generate 84 of 100 ms on qemu-rpi3`, or what went wrong first.

    A board that ended early comes before a missed budget, a missed budget before one that could not be judged.
    """
    lead = f"{'interrupted; ' if interrupted else ''}{count_text(len(boards), 'board')}: "
    judged = [(board, figure) for board in boards for figure in board.figures if figure.limit is not None]
    parts = _ended(boards) + _missed(judged)
    if parts:
        return lead + "; ".join(parts)
    unjudged = [(board, figure) for board, figure in judged if figure.verdict == "inconclusive"]
    if unjudged:
        board, figure = unjudged[0]
        why = f" ({figure.reason})" if figure.reason else ""
        return (
            f"{lead}no budget missed, {count_text(len(unjudged), 'budget')} not judged: "
            f"{figure.stage} on {board.kind}{why}"
        )
    odd = [board for board in boards if board.verdict not in ("pass", "marginal", "skip")]
    if odd:
        return lead + ", ".join(f"{board.kind} {board.verdict}" for board in odd)
    return f"{lead}all budgets met{_tightest(boards)}" if judged else f"{lead}no budget was judged"


def counts_text(verdicts: Sequence[str]) -> str:
    """The number of each verdict, passes first: `14 pass, 1 fail`."""
    known = ("pass", "marginal", "fail", "infra", "inconclusive", "skip")
    order = [*known, *sorted(set(verdicts).difference(known))]
    return ", ".join(f"{verdicts.count(word)} {word}" for word in order if word in verdicts)


def session_sentence(boards: Sequence[BoardTold], *, interrupted: bool = False) -> str:
    """`45 tests on 3 boards: all passed; tightest: generate 84 of 100 ms on qemu-rpi3`, or which failed, and why."""
    tests = [(board, *test) for board in boards for test in board.tests]
    kinds = [board.kind for board in boards if board.kind]
    place = f" on {count_text(len(kinds), 'board')}" if kinds else ""
    lead = f"{'interrupted; ' if interrupted else ''}{count_text(len(tests), 'test')}{place}: "
    for word in ("fail", "infra", "inconclusive"):
        bad = [test for test in tests if test[2] == word]
        if bad:
            _, name, _, message = bad[0]
            more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
            return f"{lead}{counts_text([test[2] for test in tests])}; {name}: {first_line(message)}{more}"
    if not tests:
        return f"{lead}nothing ran"
    skipped = sum(test[2] == "skip" for test in tests)
    passed = f"{len(tests) - skipped} passed, {skipped} skipped" if skipped else "all passed"
    return f"{lead}{passed}{_tightest(boards)}"


def _tightest(boards: Sequence[BoardTold]) -> str:
    measured = [(b, f) for b in boards for f in b.figures if f.limit is not None and f.value is not None]
    if not measured:
        return ""
    board, figure = max(measured, key=lambda item: item[1].share)
    return f"; tightest: {_figure(figure)}" + (f" on {board.kind}" if board.kind else "")


def _ended(boards: Sequence[BoardTold]) -> list[str]:
    ended = [board for board in boards if board.why]
    if not ended:
        return []
    more = f", and {len(ended) - 1} more ended early" if len(ended) > 1 else ""
    return [f"{ended[0].kind} ended early ({ended[0].verdict}): {first_line(ended[0].why)}{more}"]


def _missed(judged: Sequence[tuple[BoardTold, FigureTold]]) -> list[str]:
    missed = [(board, figure) for board, figure in judged if figure.verdict == "fail"]
    if not missed:
        return []
    board, figure = max(missed, key=lambda item: item[1].share)
    more = f", and {count_text(len(missed) - 1, 'more budget')} missed" if len(missed) > 1 else ""
    return [f"{board.kind} missed the budget of {_figure(figure)}{more}"]


def _figure(figure: FigureTold) -> str:
    if figure.value is None:
        return figure.stage
    return f"{figure.stage} {of_limit(figure.value, figure.limit, figure.unit, figure.stage, at_least=figure.at_least)}"
