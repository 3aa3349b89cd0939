"""What is waited for later: its answer, its error, and that nothing outlives it."""

from __future__ import annotations

import threading

import pytest

from dsci.later import Later


def test_the_answer_comes_while_something_else_is_done() -> None:
    go = threading.Event()

    def call(number: int, *, more: int) -> int:
        assert go.wait(10)
        return number + more

    later = Later(call, 1, more=2)
    go.set()
    assert later.result() == later.result() == 3


def test_what_the_call_raised_is_raised_to_whoever_asks() -> None:
    later = Later(int, "x")
    with pytest.raises(ValueError, match="invalid literal"):
        later.result()


def test_nothing_goes_on_behind_its_end() -> None:
    done = threading.Event()
    go = threading.Event()
    with pytest.raises(KeyError), Later(lambda: go.wait(10) and done.set()):
        threading.Timer(0.1, go.set).start()
        raise KeyError
    assert done.is_set()
