"""The pytest plugin: options, board types, fixtures, verdicts, retry, scheduling, the session's record."""
