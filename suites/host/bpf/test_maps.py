"""Maps behave as dictionaries with Linux's rules; values keep their addresses."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ConfigError
from contracts.program import MapDef, MapFlags, MapType
from harness.bpf.native import Engine, NativeMap

EPERM, ENOENT, E2BIG, EEXIST, EINVAL = 1, 2, 7, 17, 22
ANY, NOEXIST, EXIST = 0, 1, 2


def hash_map(engine: Engine, key_size: int, value_size: int, entries: int) -> NativeMap:
    return engine.create_map(MapDef("hash", MapType.HASH, key_size, value_size, entries))


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["update", "delete", "lookup"]),
        st.integers(0, 11),
        st.integers(0, 255),
        st.integers(0, 3),
    ),
    max_size=80,
)


@settings(max_examples=80, deadline=None)
@given(
    operations=OPERATIONS,
    key_size=st.sampled_from([1, 3, 4, 7, 8, 12, 16, 64]),
    value_size=st.sampled_from([1, 8, 13]),
)
def test_a_hash_map_is_a_bounded_dictionary(
    engine: Engine, operations: list[Any], key_size: int, value_size: int
) -> None:
    entries = 8
    one, model = hash_map(engine, key_size, value_size, entries), dict[bytes, bytes]()
    for what, number, byte, flags in operations:
        key, value = bytes([number] * key_size), bytes([byte] * value_size)
        if what == "lookup":
            assert one.lookup(key) == model.get(key)
        elif what == "delete":
            assert one.delete(key) == (0 if key in model else -ENOENT)
            model.pop(key, None)
        else:
            if flags > EXIST:
                want = -EINVAL
            elif key in model:
                want = -EEXIST if flags == NOEXIST else 0
            elif flags == EXIST:
                want = -ENOENT
            else:
                want = 0 if len(model) < entries else -E2BIG
            assert one.update(key, value, flags) == want
            if want == 0:
                model[key] = value
        assert dict(one.items()) == model
    one.clear()
    assert list(one.items()) == []
    assert one.update(bytes(key_size), bytes(value_size)) == 0


@pytest.mark.parametrize("key_size", [4, 8, 12, 16])
def test_every_entry_of_a_large_map_can_be_used(engine: Engine, key_size: int) -> None:
    entries, rng = 4096, random.Random(3)
    for keys in (
        [n.to_bytes(key_size, "little") for n in range(entries)],
        [(n << 8 * key_size - 12).to_bytes(key_size, "little") for n in range(entries)],
        [(n * 0x0101).to_bytes(key_size, "big") for n in range(entries)],
        [rng.randbytes(key_size) for _ in range(entries)],
    ):
        one = hash_map(engine, key_size, 8, entries)
        unique = sorted(set(keys))
        for place, key in enumerate(unique):
            assert one.update(key, place.to_bytes(8, "little")) == 0
        assert all(one.lookup(key) == place.to_bytes(8, "little") for place, key in enumerate(unique))


def test_a_value_stays_where_it_is(engine: Engine) -> None:
    from cffi import FFI

    one, ffi = hash_map(engine, 4, 8, 64), FFI()

    def address(number: int) -> int:
        return int(ffi.cast("uintptr_t", engine.lib.bpf_map_lookup(one.handle, number.to_bytes(4, "little"))))

    one.update((5).to_bytes(4, "little"), bytes(8))
    place = address(5)
    assert place % 8 == 0
    for number in range(6, 60):
        one.update(number.to_bytes(4, "little"), bytes(8))
    for number in range(6, 60, 2):
        one.delete(number.to_bytes(4, "little"))
    one.update((5).to_bytes(4, "little"), b"\1" * 8)
    assert address(5) == place


def test_an_array_has_all_its_elements_always(engine: Engine) -> None:
    one = engine.create_map(MapDef("array", MapType.ARRAY, 4, 6, 3))
    key = [n.to_bytes(4, "little") for n in range(4)]
    assert one.lookup(key[2]) == bytes(6)
    assert one.lookup(key[3]) is None
    assert one.update(key[1], b"abcdef") == 0
    assert one.update(key[1], b"abcdef", NOEXIST) == -EEXIST
    assert one.update(key[1], b"ABCDEF", EXIST) == 0
    assert one.update(key[3], b"abcdef") == -E2BIG
    assert one.delete(key[1]) == -EINVAL
    assert [value for _, value in one.items()] == [bytes(6), b"ABCDEF", bytes(6)]
    one.clear()
    assert one.lookup(key[1]) == bytes(6)


def test_a_frozen_map_holds_what_it_was_given(engine: Engine) -> None:
    one = engine.create_map(MapDef("frozen", MapType.ARRAY, 4, 4, 2, int(MapFlags.RDONLY_PROG), b"abcdefg"))
    assert [value for _, value in one.items()] == [b"abcd", b"efg\0"]
    assert one.update(bytes(4), b"xxxx") == -EPERM
    one.clear()
    assert one.lookup(bytes(4)) == b"abcd"


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (MapDef("m", MapType.ARRAY, 8, 8, 1), "key_size"),
        (MapDef("m", MapType.HASH, 0, 8, 1), "key_size"),
        (MapDef("m", MapType.HASH, 65, 8, 1), "key_size"),
        (MapDef("m", MapType.ARRAY, 4, 0, 1), "value_size"),
        (MapDef("m", MapType.ARRAY, 4, 65537, 1), "value_size"),
        (MapDef("m", MapType.ARRAY, 4, 8, 0), "max_entries"),
        (MapDef("m", MapType.ARRAY, 4, 8, 0xFFFF_FFFF), "max_entries"),
        (MapDef("m", MapType.ARRAY, 4, 65536, 1 << 20), "16 MiB"),
        (MapDef("m", MapType.ARRAY, 4, 8, 1, 4), "flags"),
        (MapDef("m", MapType.HASH, 4, 8, 1, int(MapFlags.RDONLY_PROG)), "RDONLY_PROG"),
        (MapDef("m", MapType.ARRAY, 4, 8, 1, 0, b"x"), "frozen"),
        (MapDef("m", MapType.ARRAY, 4, 8, 1, int(MapFlags.RDONLY_PROG), bytes(9)), "frozen"),
    ],
)
def test_a_shape_that_is_refused_says_why(engine: Engine, definition: MapDef, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        engine.create_map(definition)


@pytest.mark.parametrize("kind", [MapType.HASH, MapType.ARRAY])
def test_a_cursor_from_outside_leads_nowhere(engine: Engine, kind: MapType) -> None:
    one = engine.create_map(MapDef("m", kind, 4, 8, 4))
    one.update(bytes(4), bytes(8))
    for cursor in (4, 5, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF):
        assert one.next_cursor(cursor) == 0
