"""The pytest plugin, one idea a file: options, which kinds, fixtures, verdicts, a second try, the session's record."""
