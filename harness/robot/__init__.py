"""Acceptance with Robot Framework: keywords over the same engine, one process per board type, one log and verdict."""
