"""Advice for clang's messages that have another meaning in a program than in ordinary C."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from contracts.ebpf.engine import STACK_SIZE
from contracts.ebpf.helpers import HELPERS

_HELPERS: Final = tuple(helper.name for helper in HELPERS)


def _helper(found: re.Match[str]) -> str:
    return f"this kernel has no helper {found[1]}; it has {', '.join(_HELPERS)}"


def _header(found: re.Match[str]) -> str:
    name = found[1]
    return (
        f"{name!r} is not a header for programs: those of this machine are not used. <assay.h> declares contexts, "
        "helpers and maps; <linux/bpf.h>, <bpf/bpf_helpers.h> and the others that docs/programs.md lists are there "
        "too; a header of your own goes in quotes, relative to the file"
    )


_ADVICE: Final[tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]] = (
    (r"fatal error: '([^']+)' file not found", _header),
    (r"undeclared function '(bpf_\w+)'", _helper),
    (
        r"undeclared (?:library )?function '(?:\w+)'",
        "declare and define the function in the program: there is no C library",
    ),
    (
        r"built-in function '(?:mem|str|bcmp)\w*'",
        "give a size that is constant and small, or copy in a loop with a constant bound: there is no C library",
    ),
    (
        r"built-in function '__\w*[sdt]f\w*'|built-in function '__\w*[sdt]f[0-9]'",
        "use integers: programs have no floating point",
    ),
    (r"built-in function '__\w*ti\w*'", "use 64-bit numbers: there is no 128-bit arithmetic"),
    (r"built-in function '", "do without: there is no runtime library behind the compiler"),
    (
        r"stack limit is exceeded",
        f"keep local variables within {STACK_SIZE} bytes, and put larger ones into an ARRAY map of one entry",
    ),
    (
        r"too many arguments|stack arguments are not supported",
        "pass at most five arguments, or a pointer to a structure; bpf_printk takes at most three numbers",
    ),
    (
        r"only small returns supported|aggregate returns|functions with VarArgs",
        "return a number of 64 bits at most, and fill structures through a pointer",
    ),
    (r"unsupported dynamic stack allocation", "give the array a constant size"),
    (
        r"Cannot select: .*Atomic",
        "use __sync_fetch_and_add, _and, _or, _xor, __sync_lock_test_and_set or __sync_val_compare_and_swap",
    ),
    (r"unknown type name 'u?int\d+_t'", "include <stdint.h>, or use u8 to u64 of <assay.h>"),
    (r"undeclared identifier 'BPF_MAP_TYPE_\w+'", "docs/programs.md lists the kinds of maps"),
)


def advice(messages: str) -> str:
    """Advice for the first known message of clang; empty if none is known."""
    first: tuple[int, str] | None = None
    for pattern, text in _ADVICE:
        found = re.search(pattern, messages)
        if found is not None and (first is None or found.start() < first[0]):
            first = (found.start(), text if isinstance(text, str) else text(found))
    return first[1] if first is not None else ""
