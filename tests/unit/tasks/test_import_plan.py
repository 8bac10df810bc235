"""Which lines of a file become tasks, and below which parents."""

from uuid import UUID, uuid4

from services.tasks.domain import MAX_LEVELS
from services.tasks.transfer.intake import Candidate
from services.tasks.usecases.import_plan import (
    CYCLE,
    MISSING,
    REFUSED,
    TOO_DEEP,
    Plan,
    make_plan,
    parents_first,
)


def plan_of(
    *pairs: tuple[str, str | None],
    known: dict[str, UUID] | None = None,
    levels: dict[UUID, int] | None = None,
) -> Plan:
    candidates = [Candidate(line, name, parent) for line, (name, parent) in enumerate(pairs, 1)]
    return make_plan(candidates, known or {}, levels or {})


def reasons(plan: Plan) -> dict[int, str]:
    return {line: errors["parent_external_id"][0] for line, errors in plan.refusals}


def test_nothing_comes_of_nothing() -> None:
    plan = plan_of()
    assert (plan.new, plan.unchanged, plan.refusals) == ({}, 0, [])


def test_a_parent_may_come_later() -> None:
    plan = plan_of(("child", "parent"), ("parent", None))
    assert plan.refusals == []
    assert plan.parent_of("parent") == plan.new["parent"]
    assert plan.parent_of(None) is None


def test_ids_follow_the_file() -> None:
    plan = plan_of(*((f"{number}", None) for number in range(500)))
    assert list(plan.new.values()) == sorted(plan.new.values())


def test_a_known_name_is_unchanged_and_can_be_a_parent() -> None:
    there = uuid4()
    plan = plan_of(
        ("there", "nowhere"), ("child", "there"), known={"there": there}, levels={there: 1}
    )
    assert plan.unchanged == 1
    assert set(plan.new) == {"child"}
    assert plan.parent_of("there") == there


def test_a_parent_that_is_nowhere_refuses_the_line_and_all_below_it() -> None:
    plan = plan_of(("d", "c"), ("c", "b"), ("b", "nowhere"), ("ok", None))
    assert reasons(plan) == {3: MISSING, 2: REFUSED, 1: REFUSED}
    assert set(plan.new) == {"ok"}


def test_a_stored_parent_that_has_just_been_deleted_is_nowhere() -> None:
    plan = plan_of(("child", "gone"), known={"gone": uuid4()}, levels={})
    assert reasons(plan) == {1: MISSING}


def test_circles_are_refused() -> None:
    plan = plan_of(("self", "self"), ("a", "b"), ("b", "a"), ("below", "a"))
    assert reasons(plan) == dict.fromkeys((1, 2, 3, 4), CYCLE)
    assert plan.new == {}


def test_levels_are_bounded_within_the_file_and_across_to_the_stored() -> None:
    chain = [("1", None), *((f"{level}", f"{level - 1}") for level in range(2, MAX_LEVELS + 3))]
    for lines in (chain, chain[::-1]):
        plan = plan_of(*lines)
        assert sorted(reasons(plan).values()) == sorted([TOO_DEEP, REFUSED])
        assert len(plan.new) == MAX_LEVELS
    deep, deepest = uuid4(), uuid4()
    plan = plan_of(
        ("fits", "deep"),
        ("too deep", "deepest"),
        known={"deep": deep, "deepest": deepest},
        levels={deep: MAX_LEVELS - 1, deepest: MAX_LEVELS},
    )
    assert reasons(plan) == {2: TOO_DEEP}


def test_parents_are_written_before_their_children_and_the_rest_as_it_stands() -> None:
    pairs = [("a", None), ("c", "b"), ("d", "c"), ("b", "stored"), ("e", "b"), ("f", "refused")]
    candidates = [Candidate(line, name, parent) for line, (name, parent) in enumerate(pairs, 1)]
    order = parents_first(candidates, {"a", "b", "c", "d", "e", "f"})
    assert [pairs[place][0] for place in order] == ["a", "b", "c", "d", "e", "f"]
    assert [pairs[place][0] for place in parents_first(candidates, {"c", "a"})] == ["a", "c"]


def test_what_another_part_has_refused_is_no_parent() -> None:
    plan = make_plan([Candidate(9, "child", "gone")], {}, {}, {"gone"})
    assert reasons(plan) == {9: REFUSED}
