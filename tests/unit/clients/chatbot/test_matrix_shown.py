"""Which plan somebody meant who reacted to a message that was edited."""

from clients.chatbot.adapters.matrix_shown import LOOKING, Version, choices_at

FIRST = Version("$1", 10_000, "a", {"details": "d"})
SECOND = Version("$2", 60_000, "b", {"details": "d", "approve": "plan 1"})
THIRD = Version("$3", 120_000, "c", {"details": "d", "approve": "plan 2"})
LAST = Version("$4", 180_000, "d", {})
SHOWN = [LAST, THIRD, SECOND, FIRST]


def test_what_was_shown_at_the_time_counts_not_what_is_shown_now() -> None:
    assert choices_at(100_000, SHOWN)["approve"] == "plan 1"
    assert choices_at(150_000, SHOWN)["approve"] == "plan 2"
    assert "approve" not in choices_at(20_000, SHOWN)


def test_a_plan_that_was_just_replaced_is_the_one_that_was_meant() -> None:
    assert choices_at(THIRD.time + LOOKING - 1, SHOWN)["approve"] == "plan 1"
    assert choices_at(THIRD.time + LOOKING, SHOWN)["approve"] == "plan 2"


def test_the_first_plan_counts_at_once() -> None:
    assert choices_at(SECOND.time, SHOWN)["approve"] == "plan 1"


def test_two_reactions_at_once_mean_the_same_plan() -> None:
    assert choices_at(LAST.time + 1, SHOWN)["approve"] == "plan 2"
    assert choices_at(LAST.time + LOOKING, SHOWN) == {}


def test_a_clock_that_is_behind_gets_the_first_version() -> None:
    assert choices_at(0, SHOWN) == FIRST.choices
