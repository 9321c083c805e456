"""GGUF files made out of the shipped one with a few things changed, and a look at what becomes of each.

`python -m suites.host.ai.hostile_models FIRST LAST` loads those of these seeds that Assay takes, each in a process of
its own, and prints one line for each that ended by a signal or with a traceback, then how many were refused and taken.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ai import gguf, probe
from ai.llama_file import check_llama
from ai.model import SHIPPED
from contracts.errors import ModelError

SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TEXT: Final = 8
ARRAY: Final = 9

# Entries that llama.cpp reads, of a Llama or of any model, beside those that the shipped file has.
OTHERS: Final = (
    *("general.alignment", "general.file_type", "general.quantization_version", "split.count", "split.no"),
    *(
        "llama.expert_count",
        "llama.expert_used_count",
        "llama.expert_group_count",
        "llama.nextn_predict_layers",
    ),
    *("llama.attention.key_length", "llama.attention.value_length", "llama.attention.causal"),
    *("llama.attention.sliding_window", "llama.attention.max_alibi_bias", "llama.pooling_type"),
    *(
        "llama.rope.scaling.type",
        "llama.rope.scaling.factor",
        "llama.rope.scale_linear",
        "llama.embedding_length_out",
    ),
    *("llama.rope.scaling.original_context_length", "llama.classifier.output_labels", "llama.logit_scale"),
    *(
        "tokenizer.ggml.pre",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.add_sep_token",
        "tokenizer.chat_template",
    ),
    *(
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.padding_token_id",
        "tokenizer.ggml.precompiled_charsmap",
    ),
)
WHOLE: Final = (
    0,
    1,
    2,
    3,
    4,
    8,
    31,
    32,
    64,
    255,
    256,
    512,
    1024,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
)
REAL: Final = (0.0, -1.0, 1.0, 1e-6, 1e38, float("inf"), float("nan"), 10_000.0)
WORDS: Final = (
    b"",
    b"none",
    b"gpt2",
    b"bert",
    b"linear",
    b"yarn",
    b"compact-1",
    b"default",
    b"x" * 5000,
    b"\xff\xfe",
)
TOKENS: Final = (
    b"",
    b"\xff",
    b"a\0b",
    b"x" * 6000,
    b"<0x0A>",
    b"[EMPTY_5]",
    b"\n",
    b"<|im_end|>",
    b"\xed\xa0\x80",
)
FOUR: Final = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\xc0\x7f", b"\x06\0\0\0", b"\x01\0\0\0", b"\x03\0\0\0")
NAMES: Final = (
    b"rope_freqs.weight",
    b"output.weight",
    b"blk.9.x",
    b"blk.0.attn_q.bias",
    b"cls.weight",
    b"a\0b",
)


def text(raw: bytes) -> bytes:
    """A text as GGUF has it."""
    return struct.pack("<Q", len(raw)) + raw


@dataclass(slots=True)
class Parts:
    """A file taken apart: entries (key, type, value), tensors (name, shape, type, offset), and the tensors' data."""

    entries: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    tensors: list[tuple[bytes, list[int], int, int]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, raw: bytes) -> Parts:
        """The parts of a sound file."""
        parts, at = cls(), 24

        def after_text(at: int) -> int:
            return at + 8 + int(struct.unpack_from("<Q", raw, at)[0])

        for _ in range(struct.unpack_from("<Q", raw, 16)[0]):
            end = after_text(at)
            key, (kind,) = raw[at + 8 : end], struct.unpack_from("<I", raw, end)
            start = at = end + 4
            if kind in SIZES:
                at += SIZES[kind]
            elif kind == TEXT:
                at = after_text(at)
            else:
                inner, count = struct.unpack_from("<IQ", raw, at)
                at += 12
                for _ in range(count):
                    at = at + SIZES[inner] if inner in SIZES else after_text(at)
            parts.entries.append((key, kind, raw[start:at]))
        for _ in range(struct.unpack_from("<Q", raw, 8)[0]):
            end = after_text(at)
            name, (dimensions,) = raw[at + 8 : end], struct.unpack_from("<I", raw, end)
            shape = list(struct.unpack_from(f"<{dimensions}Q", raw, end + 4))
            at = end + 4 + 8 * dimensions
            parts.tensors.append((name, shape, *struct.unpack_from("<IQ", raw, at)))
            at += 12
        parts.data = bytearray(raw[-(-at // 32) * 32 :])
        return parts

    def packed(self) -> bytes:
        """The file that they make."""
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.entries))
        head += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in self.entries)
        for name, shape, kind, offset in self.tensors:
            head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            head += struct.pack("<IQ", kind, offset)
        return head + bytes(-len(head) % 32) + bytes(self.data)

    def put(self, key: str, kind: int, value: bytes) -> None:
        """Give an entry another value."""
        self.entries = [entry for entry in self.entries if entry[0] != key.encode()]
        self.entries.append((key.encode(), kind, value))


def anything(rng: random.Random) -> tuple[int, bytes]:
    """A value of any type."""
    kind = rng.choice([4, 4, 4, 6, 6, 7, TEXT, TEXT, ARRAY, 5, 10, 0])
    if kind == TEXT:
        return kind, text(rng.choice(WORDS))
    if kind == ARRAY:
        count, inner = rng.choice([0, 1, 4, 255, 1024, 1025]), rng.choice([4, 5, 6, TEXT, 0])
        each = (text(b"t%d" % n) if inner == TEXT else bytes(SIZES[inner]) for n in range(count))
        return kind, struct.pack("<IQ", inner, count) + b"".join(each)
    if kind == 6:
        return kind, struct.pack("<f", rng.choice(REAL))
    return kind, rng.choice(WHOLE).to_bytes(8, "little")[: SIZES[kind]]


def changed_list(rng: random.Random, value: bytes) -> bytes:
    """A list with some of its members changed."""
    inner, count = struct.unpack_from("<IQ", value)
    if inner != TEXT:
        out = bytearray(value)
        for _ in range(rng.randrange(1, 6)):
            at = 12 + 4 * rng.randrange(count)
            out[at : at + 4] = rng.choice(FOUR)
        return bytes(out)
    members, at = [], 12
    for _ in range(count):
        (size,) = struct.unpack_from("<Q", value, at)
        members.append(value[at + 8 : at + 8 + size])
        at += 8 + size
    for _ in range(rng.randrange(1, 4)):
        members[rng.randrange(count)] = rng.choice(TOKENS)
    return struct.pack("<IQ", inner, count) + b"".join(map(text, members))


def change(rng: random.Random, parts: Parts) -> None:
    """Change one thing: an entry, an entry that was not there, a tensor's description, or the data."""
    what = rng.choice(["entry", "entry", "entry", "other", "other", "tensor", "data", "less"])
    if what == "entry":
        at = rng.randrange(len(parts.entries))
        key, kind, value = parts.entries[at]
        if rng.random() < 0.3:
            del parts.entries[at]
        elif kind == ARRAY:
            parts.entries[at] = (key, kind, changed_list(rng, value))
        else:
            parts.entries[at] = (key, *anything(rng))
    elif what == "other":
        parts.put(rng.choice(OTHERS), *anything(rng))
    elif what == "tensor":
        at = rng.randrange(len(parts.tensors))
        name, shape, kind, offset = parts.tensors[at]
        parts.tensors[at] = rng.choice(
            [
                (name, shape, rng.randrange(41), offset),
                (
                    name,
                    [rng.choice([0, 1, 32, 256, 512, 1 << 33]) for _ in range(rng.randrange(1, 5))],
                    kind,
                    offset,
                ),
                (name, shape, kind, rng.choice([0, 32, 1 << 20, 1 << 40, offset + 1])),
                (rng.choice(NAMES), shape, kind, offset),
            ]
        )
    elif what == "data":
        at, count = rng.randrange(len(parts.data)), rng.choice([2, 64, 4096])
        parts.data[at : at + count] = rng.choice([b"\xff", b"\0", b"\x7f"]) * len(parts.data[at : at + count])
    elif rng.random() < 0.5:
        parts.tensors.pop(rng.randrange(len(parts.tensors)))
    else:
        del parts.data[rng.randrange(len(parts.data)) :]


def hostile(seed: int) -> bytes:
    """The file of a seed."""
    rng, parts = random.Random(seed), Parts.of(SHIPPED.read_bytes())
    if rng.random() < 0.3:  # a model of anybody, with llama.cpp's own tokeniser
        parts.entries = [entry for entry in parts.entries if not entry[0].startswith(b"assay.")]
    if rng.random() < 0.15:
        parts.entries = [entry for entry in parts.entries if not entry[0].startswith(b"assay.")]
        parts.put("tokenizer.ggml.model", TEXT, text(b"gpt2"))
        parts.put("tokenizer.ggml.merges", ARRAY, struct.pack("<IQ", TEXT, 2) + text(b"u 3") + text(b"u3 2"))
        parts.put("tokenizer.ggml.pre", TEXT, text(rng.choice([b"default", b"llama-bpe", b"gpt-2"])))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        change(rng, parts)
    return parts.packed()


def become(raw: bytes) -> str:
    """What becomes of a file: `refused`, `taken`, or how the process that loaded it ended."""
    descriptor = os.memfd_create("hostile")
    try:
        left = memoryview(raw)
        while left:
            left = left[os.write(descriptor, left) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            with os.fdopen(os.dup(descriptor), "rb") as file:
                check_llama(gguf.read_open(Path("hostile.gguf"), file))
        except ModelError:
            return "refused"
        child = os.fork()
        if child == 0:
            code = 99
            try:
                silent = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silent, 1)
                os.dup2(silent, 2)
                signal.alarm(60)
                code = probe.main(descriptor, Path("hostile.gguf"))
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
    finally:
        os.close(descriptor)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return {0: "taken", 1: "refused"}.get(os.WEXITSTATUS(status), f"exit {os.WEXITSTATUS(status)}")


def main(first: int, last: int) -> int:
    """Look at the files of these seeds; returns 1 when one ended a process."""
    found = collections.Counter[str]()
    for seed in range(first, last):
        how = become(hostile(seed))
        found[how] += 1
        if how not in ("refused", "taken"):
            sys.stdout.write(f"seed {seed}: {how}\n")
    sys.stdout.write(f"{dict(found)}\n")
    return 0 if set(found) <= {"refused", "taken"} else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
