"""Lines come out of a stream whole, numbered, and within bounds."""

import pytest

from services.tasks.transfer.lines import LineSplitter


def split(data: bytes, *, size: int, maximum: int = 10) -> list[tuple[int, bytes | None]]:
    splitter = LineSplitter(maximum)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    found = [line for chunk in chunks for line in splitter.feed(chunk)]
    return [*found, *splitter.end()]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"one", [(1, b"one")]),
        (b"one\n", [(1, b"one")]),
        (b"one\r\ntwo", [(1, b"one\r"), (2, b"two")]),
        (b"\n \t\r\none\n\ntwo\n", [(3, b"one"), (5, b"two")]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbf2\n", [(1, b"one"), (2, b"\xef\xbb\xbf2")]),
        (b"0123456789\n0123456789a\nb", [(1, b"0123456789"), (2, None), (3, b"b")]),
        (b"0123456789abcdefghijklmnopqrst", [(1, None)]),
        (b"\xe2\x98\x83\n\x00\n", [(1, b"\xe2\x98\x83"), (2, b"\x00")]),
    ],
)
def test_lines(data: bytes, lines: list[tuple[int, bytes | None]], size: int) -> None:
    assert split(data, size=size) == lines


def test_a_fold_may_be_of_blanks_only() -> None:
    splitter = LineSplitter(folded=True)
    found = [*splitter.feed(b"one\n  \r\n\t\n\r\n\ntwo\n"), *splitter.end()]
    assert found == [(1, b"one"), (2, b"  \r"), (3, b"\t"), (6, b"two")]


def test_an_endless_line_is_not_kept() -> None:
    splitter = LineSplitter(10)
    for _ in range(1_000):
        assert list(splitter.feed(b"x" * 1_000)) == []
    assert len(splitter._rest) == 0
    assert list(splitter.feed(b"\nnext\n")) == [(1, None), (2, b"next")]
