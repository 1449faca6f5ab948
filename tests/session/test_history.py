"""Undo against a plain list of values, and its cost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from overread.session.history import History

Value = frozenset[str]
SIZES = {"a": 1, "b": 2, "c": 4, "d": 8}
values = st.frozensets(st.sampled_from(sorted(SIZES)))
steps = st.lists(st.one_of(values, st.sampled_from(["undo", "redo"])), max_size=40)


def parts(value: Value) -> dict[str, int]:
    return {name: SIZES[name] for name in value}


@given(steps, st.integers(0, 20))
def test_it_is_a_list_with_a_place_and_a_budget(done: list[Value | str], budget: int) -> None:
    history: History[Value] = History(frozenset(), parts, budget)
    line: list[tuple[str, Value]] = [("", frozenset())]
    at = 0
    for number, step in enumerate(done):
        if isinstance(step, str):
            moved = history.undo() if step == "undo" else history.redo()
            to = at + (1 if step == "redo" else -1)
            assert moved == (0 <= to < len(line))
            at = to if moved else at
        else:
            history.push(str(number), step)
            line, at = [*line[: at + 1], (str(number), step)], at + 1
            while at > 1 and sum(SIZES[name] for name in frozenset().union(*(v for _, v in line))) > budget:
                line, at = line[1:], at - 1
        assert history.value == line[at][1]
        assert history.undo_label == (line[at][0] if at else "")
        assert history.redo_label == (line[at + 1][0] if at + 1 < len(line) else "")


def test_a_step_costs_the_same_however_many_there_are() -> None:
    asked: Counter[str] = Counter()

    def counted(value: tuple[str, ...]) -> dict[str, int]:
        asked["parts"] += 1
        return dict.fromkeys(value, 1)

    history: History[tuple[str, ...]] = History((), counted, budget=50)
    for number in range(500):
        history.push(str(number), (str(number),))
    assert asked["parts"] <= 2 * 501, "every step asks about every other one"
    assert history.undo_label == "499"
    assert sum(history.undo() for _ in range(500)) == 49, "the budget holds fifty values"
