"""Accept headers: weights, wildcards and what is no weight."""

from __future__ import annotations

import pytest

from shared.accept import media_ranges, preference

JSON = "application/json"


@pytest.mark.parametrize(
    ("accept", "weight"),
    [
        ("application/json;q=0", 0.0),
        ("*/*, application/json;q=0", 0.0),
        ("application/*;q=0.5, application/json;q=0", 0.0),
        ("application/json;q=nan", 0.0),
        ("application/json;q=inf", 0.0),
        ("application/json;q=high", 0.0),
        ("application/json;q=", 0.0),
        ("application/json;q=-1", 0.0),
        ("text/html", 0.0),
        (";q=1", 0.0),
        (",,,", 0.0),
        ("application/json;q=5", 1.0),
        ("application/json ; Q=0.25", 0.25),
        ("APPLICATION/JSON", 1.0),
        ("application/json;charset=utf-8", 1.0),
        ("application/*;q=0.5", 0.5),
        ("*/*;q=0.1", 0.1),
        ("*/*;q=0.1, application/*;q=0.2, application/json;q=0.3", 0.3),
        ("application/json;q=0.3, application/*;q=0.9, */*", 0.3),
        ("", 1.0),
        (None, 1.0),
    ],
)
def test_weight_of_json(accept: str | None, weight: float) -> None:
    assert preference(accept, JSON) == weight


@pytest.mark.parametrize("accept", [None, "", "*/*", "application/*"])
def test_exact_leaves_wildcards_out(accept: str | None) -> None:
    assert preference(accept, JSON, exact=True) == 0.0


def test_every_range_comes_with_its_weight() -> None:
    assert list(media_ranges("text/HTML, application/json;v=1;q=0.5,, ")) == [
        ("text/html", 1.0),
        ("application/json", 0.5),
    ]
