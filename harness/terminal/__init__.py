"""What a person sees on a terminal: progress, tables, a board's console."""
