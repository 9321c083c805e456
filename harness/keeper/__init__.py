"""A board that stays up for work by hand: a background process keeps it, commands and tests attach to it.

`start` brings a keeper up and ends it, `process` is that process, `find` tells which boards are up, `client` and
`board` are what a command has of a kept board, `use` gives a command the board that is up or takes one for it.
"""
