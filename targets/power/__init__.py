"""Power switches, one per module, registered in the entry point group `assay.power`."""
