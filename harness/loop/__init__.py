"""The loop: the journey of one extension, stage by stage, and the run around it."""
