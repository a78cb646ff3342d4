"""Counting calls and money."""

from __future__ import annotations

import datetime
import sys
import types

import pytest

from core.errors import ProblemsError
from core.llm.client import Completion
from core.llm.meter import Meter
from core.llm.rate import Limits
from core.llm.spend import (
    PRICES_VARIABLE,
    Price,
    Usage,
    in_words,
    minutes,
    read_prices,
    rephrasing_usage,
    total,
    validation_usage,
)
from core.llm.tokens import tokens


def test_usages_add_up_and_multiply():
    once = Usage(1, 100, 10)
    assert total([once * 3, once]) == Usage(4, 400, 40)
    assert total([]) == Usage()


def test_tokens_are_a_quarter_of_the_characters_rounded_up():
    assert [tokens(""), tokens("a"), tokens("a" * 8), tokens("a" * 9)] == [0, 1, 2, 3]


def test_shipped_prices_know_dated_names_and_provider_prefixes():
    prices = read_prices()
    assert prices.price("gpt-4o-mini-2024-07-18") == prices.models["gpt-4o-mini"]
    assert prices.price("openai/gpt-4o") == prices.models["gpt-4o"]
    assert prices.price("gpt-4o-mini-2024-07-18") != prices.models["gpt-4o"]
    assert prices.price("my-own-model") is None


def test_the_owners_file_wins(tmp_path, monkeypatch):
    own = tmp_path / "prices.yml"
    own.write_text(
        "as_of: 2026-11-01\nmodels:\n  gpt-4o: {input: 1, output: 2}\n  house-model: {input: 0, output: 0}\n"
    )
    monkeypatch.setenv(PRICES_VARIABLE, str(own))
    prices = read_prices()
    assert prices.as_of == datetime.date(2026, 11, 1)
    assert prices.price("gpt-4o") == Price(input=1, output=2)
    assert prices.price("house-model") == Price(input=0, output=0)
    assert prices.price("gpt-4o-mini") is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("as_of: [", r"prices\.yml:\d: this is not YAML"),
        ("models: {}\n", "as_of: Field required"),
        ("as_of: 2026-01-01\nmodels: {m: {input: -1, output: 2}}\n", "models.m.input: .* greater than or equal to 0"),
    ],
)
def test_a_broken_price_file_is_explained(tmp_path, text, message):
    file = tmp_path / "prices.yml"
    file.write_text(text)
    with pytest.raises(ProblemsError, match=message):
        read_prices(file)


def test_a_missing_price_file_is_explained(tmp_path):
    with pytest.raises(ProblemsError, match="cannot be read"):
        read_prices(tmp_path / "none.yml")


def test_a_meter_adds_up_money():
    meter = Meter(Price(input=2.0, output=10.0))
    meter.add(Completion("", 500_000, 100_000))
    meter.add(Completion("", 500_000, 0))
    meter.add(Completion("", 700_000, 0, cached=True))
    assert meter.paid == Usage(2, 1_000_000, 100_000)
    assert meter.answered == Usage(3, 1_700_000, 100_000)
    assert meter.usd == pytest.approx(3.0)
    assert Meter(None).usd is None


def test_a_preparation_asks_once_a_test_and_once_a_wording():
    """100 tests of 4 turns with 10 rephrasings: 100 + 4,000 calls beside the 400 of the coverage review."""
    tests = [["a" * 40] * 4] * 100
    assert rephrasing_usage(tests, 10) == Usage(100, 100 * 400 + 100 * 4 * 40, 10 * 400 * 14)
    assert validation_usage(tests, 10, prompt_tokens=1000) == Usage(4_000, 4_000_000, 4_000 * 12)
    assert rephrasing_usage([["a"]], 0) == validation_usage([["a"]], 0, 1000) == Usage()
    assert (rephrasing_usage([["a", "b"], []], 3).calls, validation_usage([["a", "b"], []], 3, 9).calls) == (1, 6)


def test_the_time_is_that_of_the_tightest_limit():
    usage = Usage(1_200, 1_000_000, 200_000)
    assert minutes(usage, 8, Limits()) == pytest.approx(1_200 * 2 / 8 / 60)
    assert minutes(usage, 8, Limits(requests_per_minute=60)) == pytest.approx(20)
    assert minutes(usage, 8, Limits(60, 20_000)) == pytest.approx(60)


def test_a_model_whose_tokenizer_is_known_is_counted_by_it(monkeypatch):
    class Words:
        def encode_ordinary(self, text: str) -> list[str]:
            return text.split()

    known = types.ModuleType("tiktoken")
    known.encoding_for_model = lambda model: {"by-words": Words()}[model]
    monkeypatch.setitem(sys.modules, "tiktoken", known)
    assert tokens("one two three", "by-words") == 3
    assert tokens("one two three", "no-such-model") == 4


def test_a_server_of_ones_own_costs_what_the_owner_says(tmp_path, monkeypatch):
    monkeypatch.delenv(PRICES_VARIABLE, raising=False)
    assert read_prices(hosted=False).price("gpt-4o") is None
    own = tmp_path / "prices.yml"
    own.write_text("as_of: 2026-11-01\nmodels: {house: {input: 1, output: 2}}\n")
    assert read_prices(own, hosted=False).price("house") == Price(input=1, output=2)


def test_an_estimate_in_words():
    day = datetime.date(2025, 9, 1)
    usage = Usage(680, 1_200_000, 90_000)
    assert in_words(usage, Price(input=2.5, output=10.0), day) == (
        "680 calls, about 1.2 million tokens in and 90,000 out: about $3.90 (prices of 2025-09-01)"
    )
    assert "price of this model is not known" in in_words(usage, None, day)
