"""Ways to give a board its kernel, one a module, found by the entry point group `assay.boot`."""
