"""The machine that the lab runs on: locks, turns, quiet periods, noise, signals."""
