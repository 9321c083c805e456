"""Boot methods, one per module, registered in the entry point group `assay.boot`."""
