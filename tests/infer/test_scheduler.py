"""Which slice is read next: the one on screen, those the reader scrolls towards, the rest. Nothing twice, none lost."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from overread.domain.ports import Cancel
from overread.infer.scheduler import AHEAD, BEHIND, SliceQueue


def drain(queue: SliceQueue) -> list[int]:
    """Read all that the queue hands out."""
    order = []
    while (taken := queue.take()) is not None:
        order.append(taken[0])
        queue.finish(taken[0], done=True)
    return order


def taken(queue: SliceQueue) -> tuple[int, Cancel]:
    got = queue.take()
    assert got is not None
    return got


@given(st.integers(1, 80), st.data())
def test_the_order_of_reading(count: int, data: st.DataObject) -> None:
    focus = data.draw(st.integers(0, count - 1))
    direction = data.draw(st.sampled_from((-1, 1)))
    queue = SliceQueue(count)
    queue.look_at(focus, direction)
    order = drain(queue)
    ahead = [focus + direction * n for n in range(AHEAD + 1)]
    behind = [focus - direction * n for n in range(1, BEHIND + 1)]
    near = [k for k in (*ahead, *behind) if 0 <= k < count]
    assert order[: len(near)] == near
    rest = order[len(near) :]
    assert [abs(k - focus) for k in rest] == sorted(abs(k - focus) for k in rest)
    assert sorted(order) == list(range(count))


@given(st.integers(1, 60), st.data())
def test_without_the_rest_only_the_neighbourhood_is_read(count: int, data: st.DataObject) -> None:
    queue = SliceQueue(count)
    queue.read_rest(wanted=False)
    focus = data.draw(st.integers(0, count - 1))
    assert queue.look_at(focus, 1)
    assert set(drain(queue)) == set(range(max(focus - BEHIND, 0), min(focus + AHEAD + 1, count)))
    assert not queue.look_at(focus, 1)
    queue.read_rest(wanted=True)
    assert len(drain(queue)) == max(focus - BEHIND, 0) + max(count - focus - AHEAD - 1, 0)


@given(st.sets(st.integers(0, 29)))
def test_what_is_known_is_not_read_again(done: set[int]) -> None:
    assert sorted(drain(SliceQueue(30, frozenset(done)))) == sorted(set(range(30)) - done)


def test_a_stale_slice_is_called_off_and_read_when_it_is_wanted_again() -> None:
    queue = SliceQueue(100)
    queue.read_rest(wanted=False)
    queue.look_at(10, 1)
    index, cancel = taken(queue)
    assert (index, cancel.cancelled) == (10, False)
    queue.look_at(12, 1)
    assert not cancel.cancelled  # two behind: still worth having
    queue.look_at(60, 1)
    assert cancel.cancelled
    queue.finish(10, done=False)
    following = taken(queue)
    assert (following[0], following[1].cancelled) == (60, False)
    queue.finish(60, done=True)
    queue.look_at(10, 1)
    assert taken(queue)[0] == 10


def test_when_everything_is_to_be_read_nothing_is_called_off() -> None:
    queue = SliceQueue(100)
    _, cancel = taken(queue)
    queue.look_at(90, -1)
    assert not cancel.cancelled
    queue.read_rest(wanted=False)
    assert cancel.cancelled


def test_a_closed_queue_calls_off_what_runs_and_hands_out_nothing() -> None:
    queue = SliceQueue(5)
    index, cancel = taken(queue)
    queue.close()
    assert cancel.cancelled
    queue.finish(index, done=False)
    assert queue.take() is None
    assert not queue.look_at(3, 1)
    queue.read_rest(wanted=True)
    assert queue.take() is None


def test_two_threads_read_every_slice_once_while_the_reader_scrolls() -> None:
    """The thread that looks holds no lock while it calls a slice off: what is called off may ask the queue again."""
    count = 400
    queue = SliceQueue(count)
    read: list[int] = []
    calm = threading.Event()

    def reading() -> None:
        while len(read) < count:
            got = queue.take()
            if got is None:
                calm.wait(1)
                continue
            index, cancel = got
            cancel.on_cancel(lambda: queue.look_at(0, 1))
            done = not cancel.cancelled
            if done:
                read.append(index)
            queue.finish(index, done=done)

    thread = threading.Thread(target=reading, daemon=True)
    thread.start()
    for step in range(3000):
        queue.read_rest(wanted=step % 7 == 0)
        queue.look_at(step * 37 % count, 1 if step % 2 else -1)
    queue.read_rest(wanted=True)
    calm.set()
    thread.join(30)
    assert not thread.is_alive(), "deadlock"
    assert sorted(read) == list(range(count))


def test_what_is_on_screen_presses_until_it_is_read() -> None:
    queue = SliceQueue(60)
    queue.look_at(30, 1)
    assert queue.pressing
    while (taken := queue.take()) is not None and -BEHIND <= taken[0] - 30 <= AHEAD:
        assert queue.pressing, "while it is being read too"
        queue.finish(taken[0], done=True)
    assert not queue.pressing, "the rest may wait"
    queue.look_at(50, 1)
    assert queue.pressing
    queue.close()
    assert not queue.pressing
    assert not SliceQueue(0).pressing
