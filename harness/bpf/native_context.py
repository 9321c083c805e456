"""The kernel's context of a hook, filled in on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.ebpf.hooks import Context, Points


def context_of(ffi: Any, context: Context, at: int, size: int, values: Mapping[str, int]) -> Any:
    """A new structure: pointers lead to the packet of `size` bytes at address `at`, other members are from `values`.

    Members that `values` lacks are zero.
    """
    place = {Points.PACKET: at, Points.PACKET_END: at + size, Points.PACKET_META: at}
    members = {field.name: place.get(field.points, values.get(field.name, 0)) for field in context.fields}
    return ffi.new(f"struct {context.kernel} *", members)
