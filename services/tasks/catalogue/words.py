"""What is searched for, as PostgreSQL understands it, and the places that have it."""

from __future__ import annotations

from collections.abc import Mapping

_NOT, _AND, _OR = 1, 2, 3
_VALUE = 1
# Of a query as `tsquerysend` writes it: the number of items, then each operator before its
# operands. A word comes with its weights, whether it is a prefix, and ends with a nought.
_HEAD = 4

# An operator, or a word.
Query = tuple[int | str, ...]


def read_query(text: bytes) -> Query | None:
    """The items of a query, operators before operands; None when it asks for more than words."""
    items: list[int | str] = []
    at = _HEAD
    for _ in range(int.from_bytes(text[:_HEAD], "big")):
        kind, first, second = text[at], text[at + 1], text[at + 2 : at + 3]
        if kind == _VALUE:
            end = text.index(0, at + 3)
            if first or second != b"\0":
                return None
            items.append(text[at + 3 : end].decode())
            at = end + 1
        elif first in (_NOT, _AND, _OR):
            items.append(first)
            at += 2
        else:
            return None
    return tuple(items)


def found(query: Query, words: Mapping[str, int], among: int) -> int | None:
    """The places of `among` that the query finds; None when one of its words is not known of."""
    if not query:
        return among
    stack: list[int] = []
    for item in reversed(query):
        if isinstance(item, str):
            places = words.get(item)
            if places is None:
                return None
            stack.append(among & places)
        elif item == _NOT:
            stack.append(among ^ stack.pop())
        elif item == _AND:
            stack.append(stack.pop() & stack.pop())
        else:
            stack.append(stack.pop() | stack.pop())
    return stack.pop()
