"""Boards: their files, places, preflight, sessions, triage."""
