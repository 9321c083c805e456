"""`python -m ai.probe DESCRIPTOR NAME`: loads a model that is inherited as an open file, and uses it like a run.

Exits with 0 on success, otherwise with 1 and the reason on standard output. llama.cpp may abort this process, which is
the purpose of the probe. `ai.model_file.PROBE_VERSION` changes with the checks here.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

import numpy as np

from contracts.errors import ModelError

_STEPS: Final = 8
_TEXT: Final = 'u32 x = 5; /* Grüße, 漢字, \U0001f600 */\n\t"%d\\n"'


def main(descriptor: int, name: Path) -> int:
    """Load the model and compute a little; returns the exit code."""
    from ai import gguf, grammar
    from ai.model import Model
    from ai.model_file import ModelFile

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(0)
            content = gguf.read_open(name, file)
        with Model(name, ModelFile(name, descriptor, content, b"")) as model:
            for token in range(model.vocabulary_size):
                model.piece(token)
                model.ends(token)
            tokens = model.tokenise(_TEXT, special=True)
            text = model.chat(_TEXT) or _TEXT
            tokens = [*model.tokenise(text), *tokens][: model.context_size - _STEPS - 1] or [0]
            logits = model.begin(tokens)
            rules = model.grammar(grammar.GBNF, grammar.ROOT)
            for _ in range(_STEPS):
                if not np.isfinite(logits).all():
                    raise ModelError("its weights give no finite numbers")
                chosen = rules.best(logits)
                if chosen is None or model.ends(chosen):
                    break
                rules.accept(chosen)
                logits = model.advance(chosen)
            model.rewind(len(tokens))
            rules.close()
    except ModelError as error:
        sys.stdout.write(f"{error.what}: {error.seen}\n" if error.seen else f"{error.what}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
