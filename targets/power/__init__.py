"""Power switches, one a module, found by the entry point group `assay.power`."""
