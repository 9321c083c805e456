"""Map kinds. A kind is a row of `MAP_KINDS` and a file `firmware/bpf/map_<name>.c`, which exports its operations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class MapType(IntEnum):
    """Map kinds, with Linux's numbers (`enum bpf_map_type`)."""

    HASH = 1
    ARRAY = 2


class MapFlags(IntEnum):
    """Flags of a map definition. RDONLY_PROG is Linux's; with FRESH a map does not inherit contents on deploy."""

    NONE = 0
    RDONLY_PROG = 0x80
    FRESH = 0x8000_0000


@dataclass(frozen=True, slots=True)
class MapKind:
    """One kind of map.

    `key` is the C type of keys if the kind prescribes it; if empty, a declaration names its own. `doc` is the kind's
    line in the documentation. Its `struct bpf_map_ops` states its capabilities and the cost of its operations.
    """

    type: MapType
    doc: str
    key: str = ""

    @property
    def name(self) -> str:
        """Lower-case name, as in messages, source file and C symbol."""
        return self.type.name.lower()

    @property
    def symbol(self) -> str:
        """The kind's `struct bpf_map_ops`."""
        return f"bpf_map_{self.name}_ops"

    @property
    def source(self) -> str:
        """File of `firmware/bpf` that implements the kind."""
        return f"map_{self.name}.c"

    @property
    def declaration(self) -> str:
        """A program's declaration of such a map, with the macro of `assay.h`."""
        arguments = ["name", *([] if self.key else ["key_t"]), "value_t", "entries"]
        return f"{self.type.name}({', '.join(arguments)})"


MAP_KINDS: Final = (
    MapKind(
        MapType.HASH,
        "Keys of 1 to 64 bytes, at most `entries` of them; a value's address stays valid for the map's lifetime.",
    ),
    MapKind(
        MapType.ARRAY,
        "`entries` values that always exist, by 32-bit index. With one entry a program may use the address of the "
        "value directly, as for its globals.",
        key="u32",
    ),
)

assert [kind.type for kind in MAP_KINDS] == list(MapType), "a row for each kind, in the order of MapType"


# The names that programs for Linux use (enum bpf_map_type), so that an unsupported kind is refused by its name.
LINUX_MAP_TYPES: Final = {
    1: "hash",
    2: "array",
    3: "prog_array",
    4: "perf_event_array",
    5: "percpu_hash",
    6: "percpu_array",
    9: "lru_hash",
    10: "lru_percpu_hash",
    11: "lpm_trie",
    12: "array_of_maps",
    13: "hash_of_maps",
    14: "devmap",
    16: "cpumap",
    17: "xskmap",
    22: "queue",
    23: "stack",
    27: "ringbuf",
    30: "bloom_filter",
}

assert all(LINUX_MAP_TYPES[kind.type] == kind.name for kind in MAP_KINDS if kind.type in LINUX_MAP_TYPES)


def kinds_text() -> str:
    """The kinds as text, for messages: `1 (hash) or 2 (array)`."""
    texts = [f"{kind.type.value} ({kind.name})" for kind in MAP_KINDS]
    return f"{', '.join(texts[:-1])} or {texts[-1]}"
