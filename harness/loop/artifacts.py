"""A situation's files in the run's folder: sources, bytecode, A64 code, traces."""

from __future__ import annotations

from harness.bpf.disasm import annotate, disassemble
from harness.channel.traces import pack_trace
from harness.loop.pipeline import Adaptation, Situation
from harness.runs.record import Folder


def write_situation(folder: Folder, situation: Situation, adaptation: Adaptation) -> None:
    """Write all files of one situation. Raises InfraError if the folder cannot be written."""
    folder.write("workload.trace", pack_trace(situation.workload))
    folder.write("trial.trace", pack_trace(situation.trial))
    for number, attempt in enumerate(adaptation.attempts, start=1):
        folder.write(f"attempt{number}.prompt.txt", attempt.prompt)
        folder.write(f"attempt{number}.c", attempt.source)
        if attempt.image:
            folder.write(f"attempt{number}.abxt", attempt.image)
        if attempt.refusal is not None:
            folder.write(
                f"attempt{number}.refused.txt", f"{attempt.refusal.stage}: {attempt.refusal.reason}\n"
            )
    loaded = adaptation.loaded
    if loaded is None:
        return
    folder.write("image.abxt", loaded.image)
    folder.write("bytecode.bin", loaded.program.insns)
    folder.write("bytecode.txt", disassemble(loaded.program, adaptation.source))
    if adaptation.code:
        folder.write("a64.bin", adaptation.code)
        folder.write(
            "a64.txt",
            annotate(adaptation.code, loaded.response.code_va, loaded.program, source=adaptation.source),
        )
