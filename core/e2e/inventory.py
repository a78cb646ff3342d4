"""What tests use: the kinds of steps, checks, fixtures and stubs, with how often and where first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core.assistant.inventory import Feature, Part, Use, Walk, items, mapping_of, tally
from core.assistant.source import YamlList, YamlMapping

_CHECKS = ("bot", "utter", "slot_was_set", "slot_was_not_set")


def inventory_of_tests(parts: Iterable[Part]) -> list[Feature]:
    """Features of test files (kind "tests") and conftest files (kind "conftest")."""
    return tally(use for part in parts for use in _Tests(part).uses(part.kind == "conftest"))


class _Tests(Walk):
    def uses(self, is_conftest: bool) -> Iterator[Use]:
        yield from self.keys("conftest key" if is_conftest else "test file key", self.content)
        yield from self._fixtures()
        if is_conftest:
            return
        yield from self._stubs()
        for test, _ in items(self.content, "test_cases"):
            if isinstance(test, YamlMapping):
                yield from self.keys("test key", test)
                yield from self._steps(test)

    def _steps(self, test: YamlMapping) -> Iterator[Use]:
        asserted = False
        for step, line in items(test, "steps"):
            if not isinstance(step, YamlMapping):
                continue
            if "user" in step:
                asserted = "assertions" in step
                yield from self.keys("user step key", step)
                for assertion, _ in items(step, "assertions"):
                    yield from self.keys("assertion", assertion)
                continue
            for use in self.keys("test step", step):
                yield use
                if asserted and use.name in _CHECKS:
                    yield self.use("test step", "check beside assertions", line)

    def _fixtures(self) -> Iterator[Use]:
        written = self.content.get("fixtures")
        named = [written] if isinstance(written, YamlMapping) else [item for item, _ in items(self.content, "fixtures")]
        for entry in named:
            for name, values in entry.items() if isinstance(entry, YamlMapping) else ():
                line = entry.line_of(name)
                yield self.use("fixture", "list of slots" if isinstance(values, YamlList) else "mapping of slots", line)
                pairs = values if isinstance(values, YamlList) else [values]
                if any(isinstance(pair, YamlMapping) and "mocked_datetime" in pair for pair in pairs):
                    yield self.use("fixture", "mocked_datetime", line)

    def _stubs(self) -> Iterator[Use]:
        stubs = mapping_of(self.content, "stub_custom_actions")
        for name, body in stubs.items():
            yield self.use("stub key", "for one test" if "::" in name else "for all tests", stubs.line_of(name))
            if not isinstance(body, YamlMapping):
                continue
            yield from self.keys("stub key", body)
            for event, line in items(body, "events"):
                yield self.use("stub event", event.get("event") if isinstance(event, YamlMapping) else event, line)
            for message, _ in items(body, "responses"):
                if not (isinstance(message, YamlMapping) and ("response" in message or "template" in message)):
                    yield from self.keys("stub response", message)
