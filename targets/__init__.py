"""Board drivers: start, connect to, inspect and stop a board. Independent of the lab above."""
