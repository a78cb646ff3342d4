"""Fixtures that do not fit the assistant are told, not set in silence."""

from __future__ import annotations

from core.evaluation.review import workbench

FLOWS = "flows: {a: {description: x, steps: [{collect: amount}]}}"
DOMAIN = 'slots: {amount: {type: float}}\nresponses: {utter_ask_amount: [{text: "How much?"}]}'
TESTS = """
fixtures: [{odd: [{amuont: 3}, {amount: much}]}, {fine: [{amount: 3}, {mocked_datetime: "2026-01-05T09:00:00Z"}]}]
test_cases:
  - {test_case: one, fixtures: [odd], steps: [{user: hi}]}
  - {test_case: two, fixtures: [fine], steps: [{user: hi}]}
"""


def test_fixtures_that_fit_no_slot_are_notices(write_assistant):
    folder = write_assistant(FLOWS, DOMAIN)
    (folder / "e2e_tests").mkdir()
    (folder / "e2e_tests" / "a.yml").write_text(TESTS)
    notices = [notice for notice in workbench(folder, None).notices if "fixtures" in notice]
    assert notices == [
        "e2e_tests/a.yml:4: the fixtures of test 'one' set amuont, which is no slot of the domain; did you mean amount?",
        "e2e_tests/a.yml:4: the fixtures of test 'one' set amount to 'much', which is no value of type float",
    ]


def test_stubs_that_nothing_uses_are_notices(write_assistant):
    folder = write_assistant(FLOWS, DOMAIN + "\nactions: [action_price]")
    (folder / "e2e_tests").mkdir()
    (folder / "e2e_tests" / "a.yml").write_text(
        "stub_custom_actions:\n  action_price: {}\n  action_prize: {}\n  one::action_price: {}\n  won::action_price: {}\n"
        "test_cases: [{test_case: one, steps: [{user: hi}]}]\n"
    )
    notices = [notice for notice in workbench(folder, None).notices if "stub" in notice]
    assert notices == [
        "e2e_tests/a.yml:3: the stub action_prize is for no action of the domain; did you mean action_price?",
        "e2e_tests/a.yml:5: the stub won::action_price is for test 'won', which this file does not have; did you mean one?",
    ]
