"""Records of runs: writing, finding, comparing, pruning."""
