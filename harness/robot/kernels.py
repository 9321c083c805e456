"""The kernels of a run, stored in its folder, so that all suites boot the same kernels even if the sources change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from contracts.errors import ConfigError
from harness.config.json_file import read_json
from harness.kernel.build import KernelImage, Variant
from harness.runs.record import Folder

_LIST: Final = "kernels.json"


def keep(folder: Folder, images: Iterable[KernelImage]) -> None:
    """Copy built kernels into a folder, with a list of them. Raises InfraError."""
    listed = []
    for image in images:
        elf = folder.write(f"{image.variant}.elf", image.elf.read_bytes())
        img = folder.write(f"{image.variant}.img", image.img.read_bytes())
        listed.append(
            {
                "board": image.board,
                "variant": image.variant,
                "elf": elf.name,
                "img": img.name,
                "build_id": image.build_id.hex(),
                "size": image.size,
                "sha256": image.sha256.hex(),
            }
        )
    folder.write_json(_LIST, listed)


def kept(folder: Path) -> Mapping[Variant, KernelImage]:
    """The kernels of such a folder by variant. Raises ConfigError for any other folder."""
    try:
        images = [
            KernelImage(
                entry["board"],
                entry["variant"],
                folder / entry["elf"],
                folder / entry["img"],
                bytes.fromhex(entry["build_id"]),
                entry["size"],
                bytes.fromhex(entry["sha256"]),
            )
            for entry in read_json(folder / _LIST)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{folder / _LIST} lists no kernels",
            expected="a folder written by `assay accept`",
            seen=repr(error),
        ) from error
    return {image.variant: image for image in images}
