"""Values read from a user's words."""

from __future__ import annotations

import pytest

from core.assistant.domain import Slot
from core.assistant.flows import Lines
from core.dataset.candidates import evident, numbers, similarity, values


def slot(type: str, **options) -> Slot:
    return Slot("s", type, Lines("domain.yml", 1, 1), **options)


@pytest.mark.parametrize(
    ("message", "best"),
    [
        ("Elm Road 4", "Elm Road 4"),
        ("my name is Ada Lovelace", "Ada Lovelace"),
        ('call it "spring sale" please', "spring sale"),
        ("send it to Berlin.", "Berlin"),
    ],
)
def test_the_likeliest_span_of_free_text(message, best):
    assert values(slot("text"), message)[0].value == best


def test_a_value_the_checks_name_comes_first():
    assert (
        values(slot("text"), "please collect it at Elm Road 4 tomorrow", expected=["Elm Road 4"])[0].value
        == "Elm Road 4"
    )


def test_what_the_bot_repeats_later_is_the_value():
    found = values(slot("text"), "please send it to my aunt Rosa tonight", later_texts=["I told aunt Rosa."])
    assert found[0].value == "aunt Rosa"


@pytest.mark.parametrize(
    ("message", "value"), [("yes please", True), ("nope", False), ("sure, go ahead", True), ("I don't think so", False)]
)
def test_yes_and_no(message, value):
    first, second = values(slot("bool"), message)
    assert first.value is value
    assert first.cost < second.cost


def test_yes_or_no_is_open_when_the_words_do_not_say():
    first, second = values(slot("bool"), "hmm")
    assert first.cost == second.cost


@pytest.mark.parametrize(
    ("message", "value"), [("a Window seat", "window"), ("something on the aisle, thanks", "aisle")]
)
def test_categories_are_found_in_the_words(message, value):
    seat = slot("categorical", values=("window", "aisle", "no preference"))
    assert values(seat, message)[0].value == value
    assert evident(seat, message)[0].value == value


def test_numbers_in_digits_and_words():
    assert numbers("2,500 for two people, 3.5 stars") == [2500.0, 3.5, 2.0]


def test_similarity_counts_shared_content_words():
    booking, hours = "book_room book a room for a night", "opening_hours tell the opening hours"
    assert similarity("I'd like to book a room", booking) > similarity("I'd like to book a room", hours)
