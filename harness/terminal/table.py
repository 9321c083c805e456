"""Tables for a terminal: without frames, complete at 80 columns."""

from __future__ import annotations

from rich import box
from rich.table import Table


def plain_table(*columns: str) -> Table:
    """An empty table without frames, so that it fits a screen of 80 columns.

    `>` before a column's name aligns it right; `~` lets its text be folded where there is no room.
    """
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, title_justify="left",
        title_style="",
    )  # fmt: skip
    for column in columns:
        table.add_column(
            column.lstrip(">~"),
            justify="right" if column.startswith(">") else "left",
            overflow="fold",
            no_wrap=not column.startswith("~"),
        )
    return table
