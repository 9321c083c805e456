"""Set-up of the machine and of `.venv`: what `./assay` runs before the CLI exists."""
