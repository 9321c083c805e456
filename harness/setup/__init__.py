"""Set-up of the machine and of `.venv`, which `./assay` runs before the CLI exists; and the layout of the wheel."""
