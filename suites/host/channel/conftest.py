"""The kernel's frame layer as a host library, bounds and undefined behaviour trapped."""

from __future__ import annotations

import ctypes
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from contracts.wire.c_header import render
from harness.channel.frames import Frame, FrameStats

HERE: Final = Path(__file__).resolve().parent
FIRMWARE: Final = HERE.parents[2] / "firmware"
WIRE_MAX: Final = 2048


@dataclass(frozen=True)
class KernelFrames:
    """`firmware/channel/frames.c`, called from Python."""

    library: ctypes.CDLL

    def encode(self, frame: Frame, split: int = 0) -> bytes:
        """The frame's wire bytes, its payload given in two parts; empty when it is refused."""
        out = ctypes.create_string_buffer(WIRE_MAX)
        size = self.library.shim_encode(
            frame.header.pack(), frame.payload, split, len(frame.payload), out, WIRE_MAX
        )
        return out.raw[:size]

    def decode(self, data: bytes, step: int) -> tuple[list[bytes], FrameStats]:
        """Each good frame's header | payload | mac, and the counters."""
        out = ctypes.create_string_buffer(len(data) * 2 + 64)
        stats = (ctypes.c_uint32 * 4)()
        size = self.library.shim_decode(data, len(data), step, out, stats)
        assert size <= len(out), "a decoded frame is misaligned, too long, or has its MAC elsewhere"
        frames = []
        at = 0
        while at < size:
            length = int.from_bytes(out.raw[at : at + 4], "little")
            frames.append(out.raw[at + 4 : at + 4 + length])
            at += 4 + length
        return frames, FrameStats(*stats)


@pytest.fixture(scope="session")
def kernel_frames(tmp_path_factory: pytest.TempPathFactory) -> KernelFrames:
    """The kernel's own encoder and decoder."""
    folder = tmp_path_factory.mktemp("frames")
    (folder / "assay_messages.h").write_text(render())
    zig = Path(sysconfig.get_path("purelib")) / "ziglang" / "zig"
    library = folder / "frames.so"
    command = [str(zig), "cc", "-shared", "-fPIC", "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror"]
    command += ["-fsanitize=undefined", "-fsanitize-trap=undefined", f"-I{FIRMWARE}", f"-I{folder}"]
    command += [str(FIRMWARE / "channel" / "frames.c"), str(HERE / "shim.c"), "-o", str(library)]
    subprocess.run(command, check=True, timeout=100)
    loaded = ctypes.CDLL(str(library))
    size, data = ctypes.c_size_t, ctypes.c_char_p
    loaded.shim_encode.argtypes = [data, data, size, size, ctypes.c_void_p, size]
    loaded.shim_encode.restype = size
    loaded.shim_decode.argtypes = [data, size, size, ctypes.c_void_p, ctypes.c_void_p]
    loaded.shim_decode.restype = size
    return KernelFrames(loaded)
