"""Sources for the kernel: pip fetches them once, by hash; a wrong hash or a missing index gives an error."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from contracts.errors import SetupError
from harness.kernel.third_party import fetch_source, read_pins

SETUP_PY = b"from setuptools import setup\nsetup(name='tinylib', version='1.0')\n"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source distribution in a folder that pip uses as its only index."""
    index = tmp_path / "index"
    index.mkdir()
    path = index / "tinylib-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (("setup.py", SETUP_PY), ("tiny.c", b"int tiny;\n")):
            entry = tarfile.TarInfo(f"tinylib-1.0/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return path


def lock_for(archive: Path, digest: str | None = None) -> Path:
    lock = archive.parent.parent / "sources.lock"
    digest = digest or hashlib.sha256(archive.read_bytes()).hexdigest()
    lock.write_text(f"# a remark\ntinylib==1.0 \\\n    --hash=sha256:{digest}\n")
    return lock


def test_a_pinned_source_is_fetched_once_and_then_needs_no_index(archive: Path, tmp_path: Path) -> None:
    lock = lock_for(archive)
    folder = fetch_source("tinylib", cache=tmp_path / "cache", lock_file=lock)
    assert (folder / "tiny.c").read_text() == "int tiny;\n"
    archive.unlink()
    assert fetch_source("tinylib", cache=tmp_path / "cache", lock_file=lock) == folder


def test_an_archive_with_another_hash_is_refused_and_nothing_is_unpacked(
    archive: Path, tmp_path: Path
) -> None:
    lock = lock_for(archive, digest="0" * 64)
    with pytest.raises(SetupError, match="could not fetch the sources of tinylib"):
        fetch_source("tinylib", cache=tmp_path / "cache", lock_file=lock)
    assert not list((tmp_path / "cache").glob("**/tiny.c"))


def test_without_an_index_the_message_names_the_package_and_the_remedy(archive: Path, tmp_path: Path) -> None:
    lock = lock_for(archive)
    archive.unlink()
    with pytest.raises(SetupError) as caught:
        fetch_source("tinylib", cache=tmp_path / "cache", lock_file=lock)
    assert "tinylib==1.0" in caught.value.what
    assert "network" in caught.value.do
    assert caught.value.exit_code == 69


def test_an_unpinned_name_and_an_unhashed_line_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no source distribution 'zlib' is pinned"):
        fetch_source("zlib", cache=tmp_path)
    lock = tmp_path / "sources.lock"
    lock.write_text("tinylib==1.0\n")
    with pytest.raises(SetupError, match="without a hashed pin"):
        read_pins(lock)


def test_the_kernel_gets_monocypher_from_the_pinned_distribution() -> None:
    folder = fetch_source("pymonocypher")
    assert "crypto_eddsa_check" in (folder / "monocypher.h").read_text()
    assert (folder / "monocypher.c").is_file()
