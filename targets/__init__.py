"""Boards: how to start one, reach it, look into it and end it. Knows nothing of the lab above."""
