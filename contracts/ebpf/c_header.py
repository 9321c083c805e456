"""Generates the engine's header from the tables: `python -m contracts.ebpf.c_header OUT` writes `assay_ebpf.h`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from contracts.ebpf.engine import LIMITS, Refusal, RunEnd
from contracts.ebpf.helpers import (
    ARG_TEXTS,
    CLOBBERED,
    HELPERS,
    RESULT_TEXTS,
    VALUE_COPY_COST,
    VALUE_WORD_COST,
    Arg,
    Helper,
    Result,
    numbers_text,
)
from contracts.ebpf.hooks import (
    HOOKS,
    Context,
    Field,
    Hook,
    HookRow,
    Points,
    PriorityClass,
    hooks_text,
    names_text,
)
from contracts.ebpf.maps import MAP_KINDS, MapFlags, MapType, kinds_text

_C_SCALARS = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}


def _define(name: str, lines: Iterable[str]) -> list[str]:
    """A macro of several lines."""
    body = [f"#define {name}", *(f"    {line}" for line in lines)]
    return [f"{line} \\" for line in body[:-1]] + body[-1:]


def _enum(name: str, rows: Iterable[tuple[str, int, str]]) -> list[str]:
    """An enumeration: (constant, value, comment)."""
    out = [f"enum {name} {{"]
    out += [f"    {constant} = {value},{f' /* {text} */' if text else ''}" for constant, value, text in rows]
    return [*out, "};"]


def _limits() -> list[str]:
    out = [f"#define {limit.name} {limit.value}u /* {limit.comment} */" for limit in LIMITS]
    out += [
        "",
        "/* Why a program is refused; bpf_verdict.reason is the text, with registers and ranges. */",
    ]
    out += _enum(
        "bpf_refusal",
        ((f"BPF_{item.name}", item.value, "") for item in Refusal),
    )
    out += ["", *_enum("bpf_interp_end", ((f"BPF_RUN_{item.name}", item.value, "") for item in RunEnd))]
    return out


def _maps() -> list[str]:
    out = ["/* Linux's enum bpf_map_type. */"]
    out += _enum("bpf_map_type", ((f"BPF_MAP_{item.name}", item.value, "") for item in MapType))
    out += [f"#define BPF_MAP_{flag.name} {flag.value:#x}u" for flag in MapFlags if flag.value]
    out += [f"#define BPF_MAP_TYPES {max(MapType) + 1}u /* one past the highest number */"]
    out += [f'#define BPF_MAP_KINDS_TEXT "{kinds_text()}"']
    out += ["/* X(type, operations) for each kind. */"]
    return out + _define(
        "BPF_MAP_KINDS(X)", (f"X(BPF_MAP_{kind.type.name}, {kind.symbol})" for kind in MAP_KINDS)
    )


def _context(context: Context) -> list[str]:
    out = [f"struct {context.kernel} {{"]
    out += [
        f"    {_C_SCALARS[field.kernel_size]} {field.name};{f' /* {field.doc} */' if field.doc else ''}"
        for field in context.fields
    ]
    return [*out, "};"]


def _placed(context: Context) -> Iterable[tuple[Field, int, int]]:
    """Each member with its offset for programs and in the kernel."""
    return zip(context.fields, context.offsets(kernel=False), context.offsets(kernel=True), strict=True)


def _context_cells(context: Context) -> list[str]:
    cells = [
        f".ctx_size = {context.size(kernel=False)}",
        f".kernel_ctx_size = sizeof(struct {context.kernel})",
        f'.load_rule = "{_load_rule(context)}"',
    ]
    kernel = {field.points: at for field, _, at in _placed(context) if field.points}
    if Points.PACKET in kernel:
        cells += [f".packet_at = {kernel[Points.PACKET]}", f".packet_end_at = {kernel[Points.PACKET_END]}"]
    if context.is_rewritten:
        fields = ", ".join(
            f"{{{off}, {field.size}, {at}, {field.kernel_size}, BPF_POINTS_{field.points.name}}}"
            for field, off, at in _placed(context)
        )
        cells += [f".field_count = {len(context.fields)}", f".fields = {{{fields}}}"]
    return cells


def _hook(row: HookRow) -> str:
    cells = [
        f'.name = "{row.name}"',
        *(_context_cells(row.context) if row.context is not None else []),
    ]
    return f"[BPF_HOOK_{row.hook.name}] = {{{', '.join(cells)}}},"


def _dispatched(row: HookRow) -> str:
    assert row.context is not None
    policy = f"BPF_PRIORITY_{row.priority_class.name}, {len(row.verdicts)}u, {row.pass_value}u"
    return f"X({row.name}, BPF_HOOK_{row.hook.name}, struct {row.context.kernel}, {policy})"


def _load_rule(context: Context) -> str:
    """The verifier's advice after a refused context load."""
    if not context.is_rewritten:
        return f"the context is {context.size(kernel=False)} bytes"
    sizes = {field.size for field in context.fields}
    bits = f" {8 * sizes.pop()}-bit" if len(sizes) == 1 else ""
    return f"load a whole{bits} field of struct {context.program}"


def _mask(rows: Iterable[HookRow]) -> str:
    return f"{sum(1 << row.hook for row in rows):#x}u"


def _hooks() -> list[str]:
    out = _enum("bpf_hook", ((f"BPF_HOOK_{item.name}", item.value, "") for item in Hook))
    out += [
        f"#define BPF_HOOK_COUNT {len(Hook)}u",
        f'#define BPF_HOOKS_TEXT "{hooks_text()}"',
        f'#define BPF_HOOK_NAMES_TEXT "{names_text()}"',
        "/* Sets of hooks: bit n is hook n. */",
        f"#define BPF_HOOKS_WITH_MEMORY {_mask(row for row in HOOKS if row.context is None)}",
        f"#define BPF_HOOKS_WITH_PACKET {_mask(row for row in HOOKS if row.has_packet)}",
        f"#define BPF_HOOKS_DEPLOYABLE {_mask(row for row in HOOKS if row.deployable)}",
        f'#define BPF_HOOKS_DEPLOYABLE_TEXT "{names_text(row for row in HOOKS if row.deployable)}"',
        f"#define BPF_HOOKS_TRIALABLE {_mask(row for row in HOOKS if row.trialable)}",
        f'#define BPF_HOOKS_TRIALABLE_TEXT "{names_text(row for row in HOOKS if row.trialable)}"',
        "",
    ]
    out += _enum("bpf_points", ((f"BPF_POINTS_{item.name}", item.value, "") for item in Points))
    out += _enum(
        "bpf_priority_class", ((f"BPF_PRIORITY_{item.name}", item.value, "") for item in PriorityClass)
    )
    for row in HOOKS:
        if row.verdicts:
            out += ["", *_enum(row.verdict_enum, ((name, value, "") for name, value in row.verdicts))]
        if row.context is not None:
            out += ["", f"/* The kernel's context of {row.name}. */", *_context(row.context)]
            out.append(
                f"_Static_assert(sizeof(struct {row.context.kernel}) == {row.context.size(kernel=True)}, "
                f'"contracts/ebpf/hooks.py");'
            )
    out += [
        "",
        "/* X(name, number, context, priority class, verdicts, pass) for each deployable hook. */",
    ]
    out += _define(
        "BPF_DEPLOYABLE_HOOKS(X)", (_dispatched(row) for row in HOOKS if row.deployable and row.context)
    )
    widest = max(len(row.context.fields) for row in HOOKS if row.context is not None)
    out += ["", f"#define BPF_CTX_FIELDS_MAX {widest}u", "/* struct bpf_hook_shape of each hook (hook.c). */"]
    return out + _define("BPF_HOOK_ROWS", (_hook(row) for row in HOOKS))


def _helper(helper: Helper) -> str:
    args = ", ".join(f"BPF_ARG_{arg.name}" for arg in helper.args or (Arg.NONE,))
    cells = [
        str(helper.number),
        f'"{helper.name}"',
        f"{helper.cost}u",
        f"{helper.hook_mask:#x}u",
        f"{{{args}}}",
        f"BPF_RESULT_{helper.result.name}",
        str(helper.writes_map).lower(),
        helper.symbol,
    ]
    return f"{{{', '.join(cells)}}},"


def _helpers() -> list[str]:
    out = _enum("bpf_arg", ((f"BPF_ARG_{item.name}", item.value, ARG_TEXTS[item]) for item in Arg))
    out += _enum(
        "bpf_result", ((f"BPF_RESULT_{item.name}", item.value, RESULT_TEXTS[item]) for item in Result)
    )
    clobbered = f"{sum(1 << number for number in CLOBBERED):#x}u"
    out += [
        "/* Registers that a call does not preserve: bit n is rn. */",
        f"#define BPF_CLOBBERED {clobbered}",
        f"#define BPF_VALUE_COPY_COST {VALUE_COPY_COST}u",
        f"#define BPF_VALUE_WORD_COST {VALUE_WORD_COST}u /* for every 8 bytes */",
        f'#define BPF_HELPER_NUMBERS_TEXT "{numbers_text()}"',
        "/* X(number) for each helper that takes no argument. */",
    ]
    out += _define(
        "BPF_HELPERS_WITHOUT_ARGUMENTS(X)", (f"X({item.number})" for item in HELPERS if not item.args)
    )
    out += ["/* X(function) for each helper. */"]
    out += _define("BPF_HELPER_FUNCTIONS(X)", (f"X({item.symbol})" for item in HELPERS))
    out += ["/* struct bpf_helper of each (helpers.c). */"]
    return out + _define("BPF_HELPER_ROWS", (_helper(item) for item in HELPERS))


def render() -> str:
    """The whole header."""
    parts = [
        "/* Generated by contracts/ebpf/c_header.py from the tables in its folder: change it there. */",
        "#ifndef ASSAY_EBPF_H",
        "#define ASSAY_EBPF_H",
        "",
        "#include <stdint.h>",
    ]
    for title, lines in (
        ("limits", _limits()),
        ("maps", _maps()),
        ("hooks", _hooks()),
        ("helpers", _helpers()),
    ):
        parts += ["", f"/* ---- {title} {'-' * (110 - len(title))} */", "", *lines]
    return "\n".join([*parts, "", "#endif", ""])


def main(argv: list[str]) -> int:
    """Write the header to the one path given."""
    if len(argv) != 2:
        sys.stderr.write("usage: python -m contracts.ebpf.c_header OUT\n")
        return 2
    Path(argv[1]).write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
