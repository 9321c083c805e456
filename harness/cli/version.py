"""`assay --version`: the version and the commit of the checkout."""

from __future__ import annotations

import importlib.metadata

from harness.runs.commit import commit_of


def version_text() -> str:
    """`assay 0.1.0 (0225df2...)`; without a commit outside a clone."""
    commit = commit_of()
    about = f" ({commit[:12]})" if commit else ""
    return f"assay {importlib.metadata.version('assay-lab')}{about}"
