"""Records of runs: written, found again, compared, kept."""
