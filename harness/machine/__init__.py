"""The machine that the lab runs on: locks, turns, quiet, noise, signals."""
