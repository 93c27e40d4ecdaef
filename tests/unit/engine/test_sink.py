"""What is kept of an output."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.engine.sink import KeptOutput


@given(st.lists(st.binary(max_size=300), max_size=30), st.sampled_from([200, 201, 500]))
def test_beginning_and_end_are_kept_however_it_comes(pieces: list[bytes], limit: int) -> None:
    kept = KeptOutput(limit)
    for piece in pieces:
        kept.add(piece)

    whole = b"".join(pieces)
    assert kept.truncated == (len(whole) > limit)
    if not kept.truncated:
        assert kept.data() == whole
        return
    data = kept.data()
    head, mark, tail = data.partition(b"\n[pyro: ")
    number, _, tail = tail.partition(b" bytes are left out here]\n")
    tail = tail.removeprefix(b"\n") if len(tail) > len(whole) else tail
    assert len(data) == limit
    assert mark
    assert whole.startswith(head)
    assert whole.endswith(data[-(limit // 2 - 60) :])
    assert len(whole) - int(number) <= limit


def test_a_flood_takes_no_more_memory_than_the_limit() -> None:
    kept = KeptOutput(1000)
    for _ in range(10_000):
        kept.add(b"x" * 1000)
    before, _, after = kept.data().partition(b"\n[pyro: 9999042 bytes are left out here]\n")
    assert (before, after.strip()) == (b"x" * 500, b"x" * 458)
