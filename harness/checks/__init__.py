"""Checks before a run: the machine, the sources, the files of `lab-config/`."""
