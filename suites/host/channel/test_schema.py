"""The schema: records survive encoding and decoding, and report values that do not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire import events, frames, live
from contracts.wire.c_header import records
from contracts.wire.messages import MESSAGES
from contracts.wire.schema import Array, Blob, Record, RecordError, Scalar, Tail, Text, layout

RECORDS = records()


def values(record: type[Record]) -> st.SearchStrategy[Record]:
    def strategy(kind: object, element: object) -> st.SearchStrategy[object]:
        match kind:
            case Scalar(size):
                return st.integers(0, 256**size - 1)
            case Blob(size):
                return st.binary(min_size=size, max_size=size)
            case Text(size):
                return st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=size - 1)
            case Array(count):
                one = strategy(element, None) if isinstance(element, Scalar) else values(element)  # type: ignore[arg-type]
                return st.lists(one, min_size=count, max_size=count).map(tuple)
            case Tail():
                return st.binary(max_size=64)
        raise AssertionError(kind)

    return st.tuples(*(strategy(field.kind, field.element) for field in layout(record))).map(
        lambda v: record(*v)
    )


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
@given(data=st.data())
def test_a_record_survives_the_wire(record: type[Record], data: st.DataObject) -> None:
    value = data.draw(values(record))
    assert record.unpack(value.pack()) == value


@pytest.mark.parametrize("record", [r for r in RECORDS if r.wire_size()], ids=lambda record: record.__name__)
def test_a_short_record_is_refused(record: type[Record]) -> None:
    with pytest.raises(RecordError, match=f"expected {record.wire_size()} bytes or more"):
        record.unpack(bytes(record.wire_size() - 1))


def test_a_long_record_without_a_tail_is_refused() -> None:
    with pytest.raises(RecordError, match="expected 4 bytes, saw 5"):
        live.HandleRequest.unpack(bytes(5))


def test_fields_that_were_added_later_may_be_missing_all_together_and_never_in_part() -> None:
    answer = live.SwapResponse(3, 1, 121, 90)
    whole = answer.pack()
    assert live.SwapResponse.unpack(whole) == answer
    assert live.SwapResponse.unpack(whole[:16]) == live.SwapResponse(3, 1, 121, 0), "an older kernel's answer"
    for size in (*range(16), *range(17, 24)):
        with pytest.raises(RecordError):
            live.SwapResponse.unpack(whole[:size])


def test_a_value_that_does_not_fit_names_its_field() -> None:
    with pytest.raises(RecordError, match=r"HandleRequest\.handle = 4294967296"):
        live.HandleRequest(1 << 32).pack()


def test_no_message_number_and_no_name_is_used_twice() -> None:
    numbers = [message.number for message in MESSAGES] + [int(event) for event in events.Event]
    assert len(set(numbers)) == len(numbers)
    assert len({message.name for message in MESSAGES}) == len(MESSAGES)


def test_every_response_fits_a_frame() -> None:
    for message in MESSAGES:
        assert frames.ResponseHeader.wire_size() + message.response.wire_size() <= frames.MAX_PAYLOAD
