"""Consoles: the ways to a serial line, one a module, found by the entry point group `assay.console`."""
