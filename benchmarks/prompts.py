"""Prompts whose answers are long: a small model at temperature 0 writes on for at least 128 tokens.

All are different, so that no cache of prefixes answers for the model, and every service gets the same ones.
"""

from __future__ import annotations

_FORMS = ("story", "essay", "lecture", "travel report", "speech", "handbook")
_SUBJECTS = (
    *("the sea", "an old lighthouse", "the history of bread", "a journey by train", "mountains in winter", "bees"),
    *("the invention of paper", "a market in a small town", "how rivers shape the land", "the moon", "bridges", "tea"),
    *("a library at night", "the life of trees", "sailing ships", "clocks", "the first telephone", "a desert", "salt"),
    *("gardens", "birds that migrate", "an island", "volcanoes", "the art of cooking", "horses"),
)

_LONG_LINES = 57

WARM_UP = 1_000_000
"""Prompts from this number up are those of warm-ups."""


def prompt(number: int) -> str:
    """The prompt of this number, which begins with it: no beginning of another one is its own.

    >>> prompt(0)
    'Task 1: write a long and detailed story about the sea, at least one thousand words.'
    """
    form, subject = _FORMS[number % len(_FORMS)], _SUBJECTS[number % len(_SUBJECTS)]
    return f"Task {number + 1}: write a long and detailed {form} about {subject}, at least one thousand words."


def for_clients(clients: int, each: int, first: int) -> list[list[str]]:
    """A list of `each` prompts for every client, counted on from number `first`."""
    return [[prompt(first + client * each + turn) for turn in range(each)] for client in range(clients)]


def long_prompt(number: int) -> str:
    """A text of about 1,500 tokens with a question at its end; no two begin alike.

    >>> 1000 < len(long_prompt(0).split()) < 1100, long_prompt(0)[:40] == long_prompt(1)[:40]
    (True, False)
    """
    lines = [f"{turn + 1}. {prompt(number * 7 + turn)}" for turn in range(_LONG_LINES)]
    return f"These are the tasks of week {number}:\n" + "\n".join(lines) + "\nWhich of them would you begin with?"
