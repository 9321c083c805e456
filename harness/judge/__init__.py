"""Judging: samples by stage and clock, budgets, verdicts, and changes between runs."""
