"""Consoles: connections to a serial line, one per module, registered in the entry point group `assay.console`."""
