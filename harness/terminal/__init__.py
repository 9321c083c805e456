"""Terminal output: progress, tables, a board's console."""
