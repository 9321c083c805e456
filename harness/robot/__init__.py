"""Acceptance by Robot Framework: keywords over the one engine, one process a kind, one merged log and verdict."""
