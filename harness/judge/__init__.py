"""The judge: samples by stage and clock, budgets, verdicts, and what counts as a change."""
