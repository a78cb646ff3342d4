"""Reading end-to-end tests: files and folders, fixtures, metadata, stubs, conftest files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from core.assistant.inventory import Feature, Part, items, warnings
from core.assistant.source import LARGEST_FILE, Reader, YamlList, YamlMapping, read_yaml
from core.collector import without_collector
from core.dialogue.actions import ActionAnswer
from core.e2e.cases import TestCase, TestFile, TestSuite
from core.e2e.inventory import inventory_of_tests
from core.e2e.steps import StepReader, as_written, plain
from core.errors import Problem, ProblemsError, UsageError, errors_among
from core.near import near

_SUFFIXES = (".yml", ".yaml")
_PLACES = ("e2e_tests", "tests/e2e_test_cases.yml", "tests/e2e_test_cases.yaml", "tests/e2e_test_cases", "tests")
_COPIES = "e2e_failed_tests_*"
_FILE_KEYS = ("test_cases", "fixtures", "metadata", "stub_custom_actions", "version", "llm_judge", "llm_as_judge")
_CASE_KEYS = ("test_case", "steps", "fixtures", "metadata")


def find_tests(root: Path) -> Path:
    """Where an assistant keeps its tests. Raises UsageError naming the places looked at."""
    for place in _PLACES:
        path = root / place
        if path.is_file() or (path.is_dir() and any(_is_test_file(file) for file in _yaml_files(path))):
            return path
    raise UsageError(
        f"no end-to-end tests found in {root}; looked in {', '.join(_PLACES)} for files with `test_cases` "
        "(name them with --tests, in a session with --set tests=PATH)"
    )


@dataclass(frozen=True)
class SuiteReading:
    """Test files as far as they can be read."""

    suite: TestSuite
    problems: tuple[Problem, ...]
    """Errors and warnings, by file and line."""
    features: tuple[Feature, ...]
    """What the tests use."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return errors_among(self.problems)


@without_collector()
def read_tests(path: Path, root: Path) -> TestSuite:
    """Tests of a file, a folder or one test (`file.yml::name`); files are named relative to `root` where possible.

    Raises ProblemsError with all problems of all files, UsageError when there is nothing to read.
    """
    reading = read_suite(path, root)
    if reading.errors:
        raise ProblemsError(reading.errors)
    return reading.suite


def read_suite(path: Path, root: Path) -> SuiteReading:
    """Tests and what is wrong with them. Raises UsageError when there is nothing to read."""
    text, _, wanted = str(path).partition("::")
    path = Path(text)
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a test file or a folder of test files")
    problems: list[Problem] = []
    contents: dict[str, Part] = {}
    files = [path] if path.is_file() else _test_files(path, root, problems)
    read = [_FileReader(file, root, problems, contents).read() for file in files]
    features = inventory_of_tests(contents.values())
    problems = sorted({*problems, *warnings(features)})
    found = [file for file in read if file is not None and file.cases]
    is_readable = not errors_among(problems)
    if not found and is_readable:
        raise UsageError(f"{path} holds no tests; a test file has a list `test_cases`")
    if wanted and is_readable:
        found = _only(found, wanted, path)
    told = tuple(problem for problem in problems if problem.severity != "error")
    return SuiteReading(TestSuite(tuple(found), told), tuple(problems), tuple(features))


def _only(files: Iterable[TestFile], name: str, path: Path) -> list[TestFile]:
    """The files with the one test of a name alone."""
    files = list(files)
    found = [replace(file, cases=cases, stub_lines={}) for file in files if (cases := tuple(c for c in file.cases if c.name == name))]
    if not found:
        known = [case.name for file in files for case in file.cases]
        raise UsageError(f"{path} holds no test named {name!r}{near(name, known)}")
    return found


def _test_files(folder: Path, root: Path, problems: list[Problem]) -> list[Path]:
    """A folder's files, without conftest files and without copies of tests, which would be on two sides of a split."""
    found = []
    for file in _yaml_files(folder):
        if file.match(_COPIES):
            Reader(_relative(file, root), problems).warn(1, "the file is left aside: copies of failed tests that `rasa test e2e -f` wrote")
        elif not _is_conftest(file):
            found.append(file)
    return found


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix in _SUFFIXES and file.is_file())


def _is_conftest(file: Path) -> bool:
    return file.stem == "conftest"


def _is_test_file(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as text:
        # UTF-16 has zeros between its letters; such a file is taken, so that reading it says what is wrong.
        return not _is_conftest(file) and "test_cases" in text.read(LARGEST_FILE).replace("\0", "")


class _FileReader:
    """Reads one file with the conftest files above it."""

    def __init__(self, path: Path, root: Path, problems: list[Problem], contents: dict[str, Part]) -> None:
        """What is read goes to `contents`, by file; a conftest file read for several test files stands there once."""
        self.path = path
        self.shown = _relative(path, root)
        self.reader = Reader(self.shown, problems)
        self.problems = problems
        self.contents = contents
        self.fixtures: dict[str, dict[str, Any]] = {}
        for conftest in conftests(path, root):
            shown = _relative(conftest, root)
            content = self._load(conftest, shown)
            self.contents[shown] = Part("conftest", shown, content)
            if isinstance(content, YamlMapping):
                self.fixtures.update(_named_values(content, "fixtures", Reader(shown, problems)))

    def _load(self, path: Path, shown: str) -> Any:
        try:
            return read_yaml(path, shown)
        except ProblemsError as error:
            self.problems += error.problems
            return None

    def read(self) -> TestFile | None:
        """The file's tests; None when it is no test file or not readable."""
        content = self._load(self.path, self.shown)
        if not isinstance(content, YamlMapping) or "test_cases" not in content:
            return None
        if (line := _expected_commands(content)) is not None:
            self.reader.warn(
                line, "the file is left aside: tests of dialogue understanding, whose messages have `commands`, are not run"
            )
            return None
        self.contents[self.shown] = Part("tests", self.shown, content)
        self.reader.known_keys(content, _FILE_KEYS, "a test file", self.reader.error)
        self.fixtures.update(_named_values(content, "fixtures", self.reader))
        metadata = _named_values(content, "metadata", self.reader)
        stubs = content.get("stub_custom_actions") or YamlMapping()
        if not isinstance(stubs, YamlMapping):
            line = content.line_of("stub_custom_actions")
            self.reader.error(line, "stub_custom_actions is a mapping from actions to their answers")
            stubs = YamlMapping()
        steps = StepReader(self.reader, metadata)
        cases: dict[str, TestCase] = {}
        for item, line in self.reader.items(content, "test_cases"):
            case = self._case(item, line, stubs, steps)
            if case is None:
                continue
            if (first := cases.setdefault(case.name, case)) is not case:
                self.reader.error(line, f"test {case.name!r} is there twice (first in line {first.line}); rename one")
        lines = {key: stubs.line_of(key) for key in stubs}
        return TestFile(
            self.shown, tuple(cases.values()), dict(self.fixtures), metadata, self._as_written(stubs), lines
        )

    def _case(self, item: Any, line: int, stubs: YamlMapping, steps: StepReader) -> TestCase | None:
        if not isinstance(item, YamlMapping) or not (name := self.reader.text(item, "test_case")):
            self.reader.error(line, "a test needs a name: `- test_case: what it shows`")
            return None
        self.reader.known_keys(item, _CASE_KEYS, "a test", self.reader.error)
        turns, opening = steps.turns(item)
        if not item.get("steps"):
            self.reader.error(line, f"test {name!r} has no steps")
        return TestCase(
            name=name,
            file=self.shown,
            line=line,
            turns=turns,
            opening=opening,
            fixture_slots=self._fixture_slots(item),
            stubs=self._stubs(name, stubs),
            source=as_written(item, self.reader),
        )

    def _fixture_slots(self, item: YamlMapping) -> dict[str, Any]:
        slots: dict[str, Any] = {}
        for name, line in self.reader.items(item, "fixtures"):
            if str(name) in self.fixtures:
                slots.update(self.fixtures[str(name)])
            else:
                hint = near(str(name), self.fixtures, self.problems)
                self.reader.error(line, f"fixture {name} is not defined here or in a conftest.yml above{hint}")
        if (moment := slots.get("mocked_datetime")) is not None:
            try:
                datetime.fromisoformat(str(moment))
            except ValueError:
                self.reader.error(
                    item.line_of("fixtures"),
                    f"mocked_datetime {moment!r} is no ISO 8601 time such as 2026-01-05T09:00:00+00:00",
                )
        return slots

    def _stubs(self, name: str, stubs: YamlMapping) -> dict[str, ActionAnswer]:
        """Answers for one test: those of the file, then those written for it by name (`test::action`)."""
        general: dict[str, ActionAnswer] = {}
        special: dict[str, ActionAnswer] = {}
        for key, body in stubs.items():
            test, separator, action = key.rpartition("::")
            if separator and test != name:
                continue
            answer = self._answer(key, body, stubs.line_of(key))
            (special if separator else general)[action] = answer
        return {**general, **special}

    def _answer(self, key: str, body: Any, line: int) -> ActionAnswer:
        body = body if body is not None else YamlMapping()
        if not isinstance(body, YamlMapping):
            self.reader.error(line, f"the stub {key} is a mapping with events and responses")
            return ActionAnswer()
        self.reader.known_keys(body, ("events", "responses"), f"the stub {key}", self.reader.error)
        events, responses = tuple(self._mappings(body, "events")), tuple(self._mappings(body, "responses"))
        for event in events:
            if event.get("event") == "slot" and not self.reader.text(event, "name"):
                self.reader.error(event.lines.first, f"the stub {key}: a slot event needs the `name` of a slot")
        said = [{**plain(response), **self._said(response)} for response in responses]
        return ActionAnswer(tuple(plain(event) for event in events), tuple(said))

    def _as_written(self, stubs: YamlMapping) -> dict[str, Any]:
        """Stubs as plain data to write out again, messages as their owner wrote them."""
        source: dict[str, Any] = plain(stubs)
        for key, body in stubs.items():
            said = self.reader.items(body, "responses") if isinstance(body, YamlMapping) else ()
            for at, (response, _) in enumerate(said):
                if isinstance(response, YamlMapping):
                    source[key]["responses"][at].update(self._said(response))
        return source

    def _said(self, response: YamlMapping) -> dict[str, Any]:
        """The text of a stub's message as it is written (12.50), with buttons that are checked."""
        for button, line in self.reader.items(response, "buttons"):
            if not isinstance(button, YamlMapping):
                self.reader.error(line, "a button is a mapping with title and payload")
        return {"text": self.reader.text(response, "text")} if response.get("text") is not None else {}

    def _mappings(self, body: YamlMapping, key: str) -> Iterable[YamlMapping]:
        for item, line in self.reader.items(body, key):
            if isinstance(item, YamlMapping):
                yield item
            else:
                self.reader.error(line, f"an entry of {key} is a mapping")


def _expected_commands(content: YamlMapping) -> int | None:
    """Where a user step first has `commands`, as only tests of dialogue understanding do."""
    cases = (case for case, _ in items(content, "test_cases") if isinstance(case, YamlMapping))
    steps = (step for case in cases for step, _ in items(case, "steps") if isinstance(step, YamlMapping))
    return next((step.line_of("commands") for step in steps if "user" in step and "commands" in step), None)


def _named_values(content: YamlMapping, key: str, reader: Reader) -> dict[str, dict[str, Any]]:
    """Fixtures or metadata: a list of `{name: values}` or a mapping; values a mapping or a list of mappings."""
    part = content.get(key)
    entries: list[tuple[str, Any, int]] = []
    if isinstance(part, YamlMapping):
        entries = [(name, values, part.line_of(name)) for name, values in part.items()]
    else:
        for item, line in reader.items(content, key):
            if isinstance(item, YamlMapping):
                entries += [(name, values, line) for name, values in item.items()]
            else:
                reader.error(line, f"an entry of {key} is `name:` with values below it")
    found: dict[str, dict[str, Any]] = {}
    for name, values, line in entries:
        if isinstance(values, YamlMapping):
            found[name] = plain(values)
        elif isinstance(values, YamlList) and all(isinstance(value, dict) for value in values):
            found[name] = {slot: value for pair in values for slot, value in plain(pair).items()}
        else:
            reader.error(line, f"{key} {name} is a list of `name: value`")
    return found


def conftests(path: Path, root: Path) -> list[Path]:
    """conftest files that apply to a test file, the outermost first."""
    folder, root = path.resolve().parent, root.resolve()
    folders = [folder, *folder.parents]
    folders = folders[: folders.index(root) + 1] if root in folders else folders[:1]
    return [
        file for place in reversed(folders) for suffix in _SUFFIXES if (file := place / f"conftest{suffix}").is_file()
    ]


def _relative(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.as_posix()
