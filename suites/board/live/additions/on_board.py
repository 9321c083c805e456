"""Runs in a copy of the tree with the additions: builds its kernel and uses them on a board. Prints JSON."""

from __future__ import annotations

import json
import sys

from contracts.errors import ProgramRejected, RequestRefused
from contracts.root import ROOT
from contracts.trace import Trace, TracePacket
from contracts.wire.live import RunMode
from harness.boards.board import Board, open_board
from harness.boards.registry import load_board
from harness.bpf.compile import compile_c
from harness.bpf.disasm import disassemble
from harness.bpf.elf import read_program
from harness.bpf.native import Engine
from harness.bpf.seal import seal
from harness.config.keys import load_key
from harness.kernel.build import build_kernel

PACKETS = 7

TEST = """#include <assay.h>
ONCE(kept, u64, 4);
SEC("test") int prog(u64 *memory)
{
	u32 key = 2;
	u64 first = bpf_mix64(memory[0], memory[1]), second = 1, missing = 3;
	u64 *found = bpf_map_lookup_elem(&kept, &key);

	memory[2] = found != 0;
	memory[3] = bpf_map_update_elem(&kept, &key, &first, BPF_ANY);
	memory[4] = bpf_map_update_elem(&kept, &key, &second, BPF_ANY);
	memory[5] = bpf_map_delete_elem(&kept, &key);
	found = bpf_map_lookup_elem(&kept, &key);
	memory[6] = found ? *found : missing;
	return 0;
}
"""

END = """#include <assay.h>
struct seen { u64 packets; u64 calls; };
ARRAY(ended, struct seen, 1);
SEC("replay_end") int prog(struct replay_end_ctx *ctx)
{
	u32 key = 0;
	struct seen *seen = bpf_map_lookup_elem(&ended, &key);

	if (seen) {
		seen->packets = ctx->packets;
		seen->calls = ctx->calls;
	}
	return 0;
}
"""

PASSES = '#include <assay.h>\nSEC("net_rx") int prog(struct xdp_md *ctx) { return XDP_PASS; }\n'
MIXES = '#include <assay.h>\nSEC("net_rx") int prog(struct xdp_md *ctx) { return (int)bpf_mix64(1, 2); }\n'


def words(memory: bytes) -> list[int]:
    """Little-endian numbers of 64 bits."""
    return [int.from_bytes(memory[at : at + 8], "little") for at in range(0, len(memory), 8)]


def use(board: Board) -> dict[str, object]:
    """What the additions do on the board."""
    key, client = load_key(None), board.client
    seen: dict[str, object] = {}
    program = read_program(compile_c(TEST).elf)
    seen["listing"] = "call bpf_mix64" in disassemble(program)
    seen["kind"] = program.maps[0].type.name == "ONCE"
    memory = b"".join(number.to_bytes(8, "little") for number in (11, 22, 0, 0, 0, 0, 0))
    seen["host"] = words(Engine().load(program, test_mem_size=56).interpret(memory).memory)
    loaded = client.load(seal(program, key, test_mem_size=56))
    for mode in RunMode:
        seen[mode.name.lower()] = words(client.run(loaded.handle, memory, mode=mode).memory)
    seen["kept"] = {
        int.from_bytes(k, "little"): int.from_bytes(v, "little")
        for k, v in client.read_map(loaded.handle, 0).items()
    }
    try:
        client.load(seal(read_program(compile_c(MIXES).elf), key))
    except RequestRefused as refused:
        seen["refused"] = refused.detail
    try:
        Engine().load(read_program(compile_c(MIXES).elf))
    except ProgramRejected as refused:
        seen["refused on the host"] = refused.seen

    client.upload_trace(Trace(tuple(TracePacket(1000 * (i + 1), bytes(60)) for i in range(PACKETS))))
    client.deploy(client.load(seal(read_program(compile_c(PASSES).elf), key)).handle, 0)
    end = read_program(compile_c(END).elf)
    seen["hook"] = end.hook.name == "REPLAY_END"
    handle = client.load(seal(end, key)).handle
    client.deploy(handle, 0)
    replay = client.replay()
    seen["replay"] = [replay.packets, replay.program_invocations]
    seen["ended"] = words(client.read_map(handle, 0)[bytes(4)])
    return seen


def main() -> None:
    """One boot, all additions."""
    spec = load_board(ROOT / "lab-config" / "boards" / "qemu-virt.yaml")
    with open_board(spec, load_key(None), build_kernel(spec.firmware)) as board:
        json.dump({"root": str(ROOT), **use(board)}, sys.stdout)


if __name__ == "__main__":
    main()
