"""What a suite imports: `from assay_lab import Board, Trace, seal, compile_program`.

Everything here is defined and documented elsewhere; `assay_lab.__all__` is the list of stable names.
`assay_lab.drivers` has what a lab's own driver needs, `assay_lab.robot` the library for Robot Framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay_lab._names import *  # noqa: F403
    from assay_lab._names import __all__ as __all__
else:
    # In a wheel this module is the parent of every other one (docs/decisions/wheel.md), so importing it loads nothing.
    def __getattr__(name: str) -> object:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import assay_lab._names as names  # `from assay_lab import _names` would call this function for `_names`

        try:
            return getattr(names, name)
        except AttributeError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

    def __dir__() -> list[str]:
        import assay_lab._names as names

        return [*globals(), *names.__all__]
