"""Refusals as somebody who writes programs reads them: the reason, the C line, the path, a fix; as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.ebpf.engine import Refusal
from contracts.errors import ProgramRejected
from contracts.program import Hook, Program
from harness.bpf import asm
from harness.bpf.asm import R0, R1, R3, B, Label
from harness.bpf.compile import compile_file
from harness.bpf.elf import read_program
from harness.bpf.native import Engine, VerifyRejected, refused_by_kernel
from harness.bpf.refused import Explanation, Step, document_of, explain
from harness.cli import app as cli

HEAD = "#include <assay.h>\n"
PACKET = "    u8 *data = (u8 *)(u64)c->data, *end = (u8 *)(u64)c->data_end;\n"

# name: (source below `#include <assay.h>`, class, line, part of the C line, part of the reason, part of the fix)
USUAL = {
    "a packet byte behind the check": (
        (f'SEC("net_rx") int f(struct xdp_md *c)\n{{\n{PACKET}    if (data + 14 > end)\n        return XDP_PASS;\n'
        "    return data[14];\n}\n"),
        Refusal.BAD_ACCESS, 7, "return data[14];", "of which 14 are known to exist", "with data_end first",
    ),
    "a lookup that may be NULL": (
        ('HASH(seen, u32, u64, 16);\nSEC("net_rx") int f(struct xdp_md *c)\n{\n    u32 k = c->rx_queue_index;\n'
        "    u64 *n = bpf_map_lookup_elem(&seen, &k);\n    *n += 1;\n    return XDP_PASS;\n}\n"),
        Refusal.BAD_ACCESS, 7, "*n += 1;", "may be NULL", "compare it with 0 first",
    ),
    "an index without a bound": (
        'SEC("test") u64 f(u8 *m, u64 n)\n{\n    return m[m[0]];\n}\n',
        Refusal.BAD_ACCESS, 4, "return m[m[0]];", "bytes 0 to 255 of 16", "compare the offset with the size first",
    ),
    "a key with padding": (
        ("struct key { u8 a; u32 b; };\nHASH(keys, struct key, u64, 8);\n"
        'SEC("net_rx") int f(struct xdp_md *c)\n{\n    struct key k;\n    k.a = c->rx_queue_index;\n    k.b = 3;\n'
        "    return !!bpf_map_lookup_elem(&keys, &k);\n}\n"),
        Refusal.UNINITIALISED, 9, "bpf_map_lookup_elem(&keys, &k)", "is read before it is written", "__builtin_memset",
    ),
    "a key that leaks an address": (
        ('HASH(keys, u64, u64, 8);\nSEC("net_rx") int f(struct xdp_md *c)\n{\n    u64 k = (u64)c, one = 1;\n'
        "    return bpf_map_update_elem(&keys, &k, &one, BPF_ANY);\n}\n"),
        Refusal.POINTER_LEAK, 6, "bpf_map_update_elem(&keys", "part of a pointer", "keep pointers out of keys and values",
    ),
    "an address that is returned": (
        'SEC("net_rx") int f(struct xdp_md *c)\n{\n    return (int)(u64)c;\n}\n',
        Refusal.POINTER_LEAK, 4, "return (int)(u64)c;", "r0 is the context pointer at exit", "return a number",
    ),
    "a loop that nothing ends": (
        'SEC("test") u64 f(u64 *m, u64 n)\n{\n    while (bpf_get_prandom_u32() != 5)\n        ;\n    return 0;\n}\n',
        Refusal.INFINITE_LOOP, 4, "while (bpf_get_prandom_u32() != 5)", "the loop may never end", "constant bound",
    ),
    "a loop that is too long": (
        ('SEC("test") u64 f(u64 *m, u64 n)\n{\n    u64 sum = 0;\n#pragma clang loop unroll(disable)\n'
        "    for (u32 i = 0; i < 100000; i++)\n        sum += bpf_get_prandom_u32();\n    return sum;\n}\n"),
        Refusal.TOO_COMPLEX, 0, "", "more than 200000 instructions", "make loops shorter",
    ),
    "a context that is written": (
        'SEC("net_rx") int f(struct xdp_md *c)\n{\n    c->rx_queue_index = 3;\n    return XDP_PASS;\n}\n',
        Refusal.BAD_ACCESS, 4, "c->rx_queue_index = 3;", "the context pointer", "the context is read-only",
    ),
    "arithmetic on an unbounded number": (
        'SEC("test") u64 f(u64 *m, u64 n)\n{\n    return *(u8 *)((u8 *)m + m[0]);\n}\n',
        Refusal.BAD_POINTER_ARITHMETIC, 4, "return *(u8 *)((u8 *)m + m[0]);", "further than 2^29", "",
    ),
    "a constant that is written": (
        'static const volatile u64 limit = 4;\nSEC("test") u64 f(u64 *m, u64 n)\n{\n    u64 *at = (u64 *)&limit;\n    asm volatile("" : "+r"(at));\n    *at = 5;\n    return 0;\n}\n',
        Refusal.BAD_ACCESS, 7, "*at = 5;", ".rodata is read-only", "write to another map",
    ),
}  # fmt: skip


def refusal(path: Path, source: str, mem: int = 16) -> VerifyRejected:
    path.write_text(HEAD + source)
    program = read_program(compile_file(path).elf)
    with pytest.raises(VerifyRejected) as caught:
        Engine().load(program, test_mem_size=mem if program.hook is Hook.TEST else 0)
    return caught.value


@pytest.mark.parametrize("what", list(USUAL))
def test_a_usual_mistake_is_told_in_four_parts_with_its_line(tmp_path: Path, what: str) -> None:
    source, why, line, text, reason, fix = USUAL[what]
    path = tmp_path / "mine.c"
    error = refusal(path, source)
    explanation = error.explanation
    assert (error.refusal, explanation.refusal) == (why, why.name)
    assert reason in explanation.reason
    assert fix in explanation.fix
    assert explanation.fix, "always something to do"
    assert explanation.at.file == str(path)
    if line:
        assert (explanation.at.line, text in explanation.at.source) == (line, True)
    message = str(error)
    assert message.startswith(f"program 'f' is refused by the verifier ({why.name}) at slot {error.slot}\n")
    assert [row.split(":")[0].strip() for row in message.splitlines()[1:] if row[2] != " "] == [
        "reason", "at", "path", "fix",
    ]  # fmt: skip
    assert f"{path}:{explanation.at.line}: {explanation.at.source.strip()}" in message
    assert error.reason.startswith(f"slot {error.slot}: "), (
        "what goes back to a model is the kernel's own text"
    )


BRANCHES = """
static __noinline int inner(u64 x)
{
    struct { u8 a; u64 b; } k;
    k.a = x;
    return x > 100 ? bpf_map_lookup_elem(&seen, &k) == 0 : 2;
}
SEC("net_rx") int f(struct xdp_md *c)
{
    if (c->rx_queue_index > 7)
        return 3;
    if (c->egress_ifindex == 9)
        return inner(c->ingress_ifindex);
    return 1;
}
"""


def _branches(tmp_path: Path) -> VerifyRejected:
    path = tmp_path / "mine.c"
    source = 'struct { int (*type)[1]; int (*max_entries)[8]; int (*key_size)[16]; u64 *value; } seen SEC(".maps");'
    return refusal(path, source + BRANCHES)


def test_the_path_has_each_branch_and_call_with_its_line(tmp_path: Path) -> None:
    path = _branches(tmp_path).explanation.path
    assert [(step.kind, step.at.source.strip()) for step in path] == [
        ("branch", "if (c->rx_queue_index > 7)"),
        ("branch", "if (c->egress_ifindex == 9)"),
        ("call", "return inner(c->ingress_ifindex);"),
        ("branch", "return x > 100 ? bpf_map_lookup_elem(&seen, &k) == 0 : 2;"),
    ]
    assert path[0].words in ("taken", "not taken")


def test_states_along_the_path_end_before_the_refused_instruction(tmp_path: Path) -> None:
    error = _branches(tmp_path)
    states = error.explanation.states
    assert states[-1].at.slot == error.slot
    assert "r1 is a map of seen; r2 is a stack pointer - 16" in states[-1].registers
    assert next(state.registers for state in states if "call" in state.at.instruction).startswith(
        "r1 is a number, 0 to"
    )
    shown = error.explanation.text(states=True)
    assert "states, before each instruction:" in shown
    assert "before each instruction" not in str(error)


def test_a_board_that_says_the_same_is_explained_the_same(tmp_path: Path) -> None:
    error = _branches(tmp_path)
    program = error.program
    assert program is not None
    again = refused_by_kernel(program, error.reason)
    assert again.slot == error.slot
    assert again.explanation == error.explanation
    assert str(again) == str(error)


def test_a_board_whose_verifier_is_another_is_explained_by_its_words_alone(tmp_path: Path) -> None:
    error = _branches(tmp_path)
    program = error.program
    assert program is not None
    told = explain(program, "slot 3: something new; path: 1 taken, 2 not taken; called at: 4; fix: change it")
    assert (told.refusal, told.reason, told.fix, told.states) == ("", "something new", "change it", ())
    assert [(step.kind, step.taken, step.at.slot) for step in told.path] == [
        ("branch", True, 1),
        ("branch", False, 2),
        ("call", None, 4),
    ]
    strange = refused_by_kernel(program, "no slot at all")
    assert strange.explanation.reason == "no slot at all"
    assert strange.explanation.fix


def test_the_kernels_text_names_the_calls_that_led_into_a_function(tmp_path: Path) -> None:
    error = _branches(tmp_path)
    call = next(step for step in error.explanation.path if step.kind == "call")
    assert f"; called at: {call.at.slot}; fix: " in error.reason


def test_a_long_path_is_cut_at_its_start_and_says_how_much() -> None:
    items: list[asm.Item] = []
    for _ in range(100):
        items += [asm.ldx(B, R3, R1, 0), asm.jump("jeq", R3, 0, "end")]
    items += [asm.ldx(B, R0, R1, 16), Label("end"), asm.mov64(R0, 0), asm.exit_()]
    with pytest.raises(VerifyRejected) as caught:
        Engine().load(Program("long", Hook.TEST, asm.assemble(items)), test_mem_size=16)
    explanation = caught.value.explanation
    assert (len(explanation.path), explanation.left_out) == (64, 36)
    assert "(88 earlier branches and calls)" in str(caught.value)


def _decision(step: Step) -> tuple[int, bool | None]:
    """A branch to the next slot goes there both ways."""
    nowhere = step.at.instruction.endswith(f"goto {step.at.slot + 1}")
    return step.at.slot, None if nowhere else step.taken


def test_the_witness_sees_what_the_kernels_trail_says() -> None:
    """On programs as they come: the last branches by the walk are those of the verifier's own text."""
    from harness.bpf.fuzz import random_program

    engine, compared = Engine(), 0
    for seed in range(400):
        try:
            program, memory = random_program(seed)
            engine.load(program, test_mem_size=len(memory) if program.hook is Hook.TEST else 0)
        except VerifyRejected as refused:
            told = explain(refused.program, refused.reason) if refused.program else None
            assert told is not None
            branches = [_decision(step) for step in refused.explanation.path if step.kind == "branch"]
            kernel = [_decision(step) for step in told.path if step.kind == "branch"]
            if kernel:
                compared += 1
                assert branches[-len(kernel) :] == kernel
    assert compared > 20


def test_every_class_of_refusal_has_a_name_that_stays() -> None:
    assert {one.name: one.value for one in Refusal} == {
        "ACCEPTED": 0, "BAD_ENCODING": 1, "BAD_JUMP": 2, "BAD_REGISTER": 3, "UNINITIALISED": 4, "BAD_ACCESS": 5,
        "BAD_POINTER_ARITHMETIC": 6, "BAD_HELPER": 7, "BAD_RETURN": 8, "BAD_CALL": 9, "STACK_TOO_DEEP": 10,
        "INFINITE_LOOP": 11, "TOO_COMPLEX": 12, "POINTER_LEAK": 13, "BAD_MAP": 14, "UNSUPPORTED": 15,
    }  # fmt: skip


def test_a_program_without_debug_information_is_told_by_slots(tmp_path: Path) -> None:
    error = _branches(tmp_path)
    assert error.program is not None
    bare = replace(error.program, places=(), lines=())
    with pytest.raises(VerifyRejected) as caught:
        Engine().load(bare)
    explanation: Explanation = caught.value.explanation
    assert (explanation.at.place, explanation.at.instruction) == ("", "call bpf_map_lookup_elem")
    assert f"  at:     slot {explanation.at.slot}: call bpf_map_lookup_elem\n" in str(caught.value)


# --- the command -----------------------------------------------------------------------------------------------------


def verify(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["assay", "bpf", "verify", *arguments])
    return cli.main()


def test_the_command_prints_the_parts_and_with_v_the_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.c"
    path.write_text(HEAD + USUAL["a lookup that may be NULL"][0])
    assert verify(monkeypatch, str(path)) == 1
    plain = capsys.readouterr()
    assert plain.out == ""
    assert "  fix:    compare it with 0 first" in plain.err
    assert f"  at:     {path}:7: *n += 1;" in plain.err
    assert verify(monkeypatch, "-v", str(path)) == 1
    assert "r0 is the result of a lookup, which may be NULL of seen" in capsys.readouterr().err


def test_the_command_prints_any_refusal_and_any_bound_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.c"
    path.write_text(HEAD + USUAL["a lookup that may be NULL"][0])
    assert verify(monkeypatch, "--json", "-v", str(path)) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["accepted"], told["stage"], told["refusal"]) == (False, "verify", "BAD_ACCESS")
    assert (told["at"]["file"], told["at"]["line"], told["at"]["source"]) == (str(path), 7, "    *n += 1;")
    assert told["fix"] == "compare it with 0 first"
    assert told["states"][-1]["slot"] == told["at"]["slot"]
    path.write_text(HEAD + "int broken = nothing;\n")
    assert verify(monkeypatch, "--json", str(path)) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["accepted"], told["stage"]) == (False, "compile")
    assert told["reason"].startswith(f"{path}:2:14: error:")
    path.write_text(HEAD + 'SEC("net_rx") int f(struct xdp_md *c) { return XDP_PASS; }\n')
    assert verify(monkeypatch, "--json", str(path)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["accepted"], told["program"], told["hook"], told["wcet"]) == (True, "f", "net_rx", 2)


def test_a_refusal_of_another_stage_has_a_document_too() -> None:
    told = document_of(ProgramRejected("no", stage="compile", reason="why", expected="what", do="this"))
    assert told == {
        "accepted": False, "stage": "compile", "what": "no", "reason": "why", "expected": "what", "fix": "this",
    }  # fmt: skip
