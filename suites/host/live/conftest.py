"""The kernel's telemetry, trace and image checks, compiled for this host and called through cffi."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import cffi
import pytest

from contracts.ebpf import c_header
from contracts.root import ROOT
from contracts.wire.c_header import render
from harness.bpf.native_build import zig
from harness.config.keys import LabKey, load_key
from harness.kernel.third_party import fetch_source

FIRMWARE = ROOT / "firmware"
SOURCES = ("traffic/telemetry.c", "traffic/trace.c", "live/image.c", "live/sha256.c", "live/pool.c")
DECLARATIONS = """
void telemetry_reset(void);
void telemetry_packet(const uint8_t *frame, uint32_t length, uint64_t arrival_ns);
void telemetry_trace_begins(void);
void telemetry_verdict(uint32_t verdict);
void telemetry_fill(void *out);
struct trace { const uint8_t *bytes; size_t size; uint32_t packets; uint64_t first_ns, last_ns; };
struct trace_error { uint32_t packet; size_t offset; const char *expected; uint64_t seen; };
struct trace_packet { uint64_t arrival_ns; uint32_t length; const uint8_t *frame; };
bool trace_open(struct trace *trace, const uint8_t *bytes, size_t size, struct trace_error *error);
bool trace_next(const struct trace *trace, size_t *offset, struct trace_packet *packet);
struct image { const void *header; const void *maps; const uint8_t *code; const uint8_t *rodata; };
struct image_refusal { uint16_t status; const char *what; const char *expected; uint64_t seen; };
bool image_unseal(const uint8_t *bytes, size_t size, const uint8_t public_key[32], struct image *image,
                  struct image_refusal *refusal);
void sha256(const uint8_t *message, size_t size, uint8_t digest[32]);
struct extent { uintptr_t va; size_t size; };
struct pool { uintptr_t va; size_t size; size_t grain; size_t used; uint32_t count; struct extent extents[512]; };
void pool_init(struct pool *pool, uintptr_t va, size_t size, size_t grain);
uintptr_t pool_take(struct pool *pool, size_t size);
void pool_shrink(struct pool *pool, uintptr_t va, size_t size);
void pool_give(struct pool *pool, uintptr_t va);
size_t pool_largest(const struct pool *pool);
"""


class Native:
    """The library and its cffi: `lib.telemetry_packet(...)`, `ffi.new(...)`."""

    def __init__(self, path: Path) -> None:
        self.ffi: Any = cffi.FFI()
        self.ffi.cdef(DECLARATIONS)
        self.lib: Any = self.ffi.dlopen(str(path))


def _build(folder: Path, name: str, defines: tuple[str, ...]) -> Native:
    monocypher = fetch_source("pymonocypher")
    (folder / "assay_messages.h").write_text(render())
    (folder / "assay_ebpf.h").write_text(c_header.render())
    out = folder / f"{name}.so"
    flags = ["-std=c11", "-O1", "-fPIC", "-shared", "-fsanitize=undefined", "-fsanitize-trap=undefined", "-w"]
    sources = [str(FIRMWARE / source) for source in SOURCES] + [str(monocypher / "monocypher.c")]
    includes = [f"-I{FIRMWARE}", f"-I{folder}", f"-I{monocypher}"]
    command = [str(zig()), "cc", *flags, *defines, *includes, "-o", str(out), *sources]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return Native(out)


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Native:
    """The release variant."""
    return _build(tmp_path_factory.mktemp("live"), "release", ())


@pytest.fixture(scope="session")
def testing_native(tmp_path_factory: pytest.TempPathFactory) -> Native:
    """The testing variant."""
    return _build(tmp_path_factory.mktemp("live-testing"), "testing", ("-DASSAY_TESTING=1",))


@pytest.fixture(scope="session")
def key() -> LabKey:
    """The development key."""
    return load_key(None)
