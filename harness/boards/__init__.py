"""Boards: their files, places, preflight checks, sessions, triage."""
