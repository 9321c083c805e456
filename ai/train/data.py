"""Training examples: prompts of random parameters (none held out), some paraphrased, some repairs of programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from ai import prompt
from ai.scenarios import wrong_choices
from ai.scenarios.parameters import FAMILIES, KEYS, Parameters, draw, held_out
from ai.scenarios.programs import EMPTY, PREFIX, map_name, reference
from contracts.diagnosis import Refusal
from contracts.stages import Stage

FAMILY_WEIGHTS: Final = (9, 8, 6, 6)
PARAPHRASED: Final = 0.25
REPAIRS: Final = 0.15

_LABELS: Final = {
    "bottleneck": ("bottleneck", "problem", "cause", "seen"),
    "evidence": ("evidence", "because", "telemetry"),
    "group by": ("group by", "key", "per", "grouped by"),
    "filter": ("filter", "only", "protocol"),
    "shortest": ("shortest", "at least", "length from"),
    "measure": ("measure", "count", "what to count"),
    "limit": ("limit", "threshold", "over"),
    "action": ("action", "then", "do"),
    "histogram": ("histogram", "buckets"),
    "entries": ("entries", "map size", "room for"),
}


@dataclass(frozen=True, slots=True)
class Example:
    """One training text: what the model reads, and what it should write (without the include)."""

    prompt: str
    program: str


def examples(seed: int) -> Iterator[Example]:
    """An endless stream; a pure function of `seed`. It never contains a situation of a held-out split."""
    rng = Random(f"train/{seed}")
    while True:
        yield example(rng)


def example(rng: Random) -> Example:
    """One example."""
    parameters = drawn(rng)
    text = prompt.compact_parameters(parameters, evidence(parameters, rng))
    if rng.random() < PARAPHRASED:
        text = paraphrase(text, rng)
    if rng.random() < REPAIRS:
        text += prompt.refused(_refusal(parameters, rng))
    return Example(text, reference(parameters).removeprefix(PREFIX))


def drawn(rng: Random) -> Parameters:
    """Parameters of a family drawn by weight, outside every held-out split."""
    while True:
        parameters = draw(rng.choices(FAMILIES, FAMILY_WEIGHTS)[0], rng)
        if not held_out(parameters):
            return parameters


def evidence(parameters: Parameters, rng: Random) -> str:
    """Evidence in the wording of `ai.diagnose`, with random figures."""
    share, proto = rng.randrange(40, 100), rng.randrange(60, 101)
    named = {"any": "mixed", "syn": "tcp syn"}.get(parameters.filter, parameters.filter)
    protocol = "mixed protocols" if named == "mixed" else f"{named} {proto}%"
    if parameters.family == "flood":
        return f"{protocol}, top source {share}%"
    if parameters.family == "portscan":
        return f"{protocol}, top source {share}%, {rng.randrange(16, 65)} ports"
    if parameters.family == "hotport":
        return f"{protocol}, top port {share}%"
    return f"{protocol}, gaps over {rng.randrange(6, 20)} octaves"


def paraphrase(text: str, rng: Random) -> str:
    """The same lines with other labels and, half of the time, in another order."""
    lines = []
    for line in text.splitlines():
        label, _, rest = line.partition(": ")
        lines.append(f"{rng.choice(_LABELS[label])}: {rest}")
    if rng.random() < 0.5:
        rng.shuffle(lines)
    return "\n".join(lines) + "\n"


def _refusal(parameters: Parameters, rng: Random) -> Refusal:
    """A program with one mistake, and a refusal in the wording of the stage that would find it."""
    kind = rng.choice((_wrong_choice, _wrong_choice, _no_null_check, _typo, _empty, _wrong_map))
    return kind(parameters, rng)


def _wrong_choice(parameters: Parameters, rng: Random) -> Refusal:
    wrong = reference(rng.choice([p for p in wrong_choices(parameters) if _teachable(p)]))
    first, second = rng.sample(("XDP_PASS", "XDP_DROP", "XDP_TX"), 2)
    name = map_name(parameters)
    reason = rng.choice(
        (
            f"packet {rng.randrange(60)}: expected {first}, got {second} ({rng.randrange(1, 30)} wrong)",
            f"map {name}: expected {rng.randrange(1, 30)} entries, got {rng.randrange(30)}",
            f"map {name}: key {rng.randrange(1 << 16)} expected {rng.randrange(99)}, got {rng.randrange(99)}",
            f"map {name}: key {rng.randrange(1 << 16)} is missing",
        )
    )
    return Refusal(Stage.TRIAL, reason, wrong)


def _no_null_check(parameters: Parameters, rng: Random) -> Refusal:
    lines = reference(parameters).splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("\tif (!") and line.endswith(") {")]
    if starts:
        end = next(i for i in range(starts[0], len(lines)) if lines[i] == "\t}")
        lines = lines[: starts[0]] + lines[end + 1 :]
    reason = f"slot {rng.randrange(20, 80)}: R0 is map_value_or_null; check it for null before it is used"
    return Refusal(Stage.VERIFY, reason, "\n".join(lines) + "\n")


def _typo(parameters: Parameters, rng: Random) -> Refusal:
    source = reference(parameters)
    wrong = rng.choice(
        (("f.", "flow."), ("bpf_ktime_get_ns", "bpf_ktime_get"), ("&key", "&k"), ("XDP_PASS", "PASS"))
    )
    line = rng.randrange(5, 35)
    reason = f"line {line}: use of undeclared identifier '{wrong[1]}'"
    return Refusal(Stage.COMPILE, reason, source.replace(*wrong))


def _empty(parameters: Parameters, _rng: Random) -> Refusal:
    return Refusal(Stage.TRIAL, f"map {map_name(parameters)} is missing", EMPTY)


def _wrong_map(parameters: Parameters, rng: Random) -> Refusal:
    others = [replace(parameters, key=key) for key in KEYS[parameters.family] if key != parameters.key]
    others = [other for other in others if _teachable(other)] or [parameters]
    name, wrong = map_name(parameters), map_name(rng.choice(others))
    if wrong == name:
        return _empty(parameters, rng)
    return Refusal(Stage.TRIAL, f"map {name} is missing", reference(parameters).replace(name, wrong))


def _teachable(parameters: Parameters) -> bool:
    try:
        parameters.check()
    except ValueError:
        return False
    return not held_out(parameters)


def corpus(seed: int, count: int) -> list[str]:
    """Texts for the tokeniser: prompts and programs of `count` examples."""
    stream: Callable[[], Example] = examples(seed).__next__
    return [part for _ in range(count) for e in [stream()] for part in (e.prompt, e.program)]
