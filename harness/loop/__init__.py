"""The loop: the journey of one extension, stage by stage, and what a run makes of it."""
