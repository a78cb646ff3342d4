"""Reading end-to-end tests: both formats, fixtures, metadata, stubs, conftest files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from core.assistant.source import Reader, YamlList, YamlMapping, read_yaml
from core.dialogue.actions import ActionAnswer
from core.e2e.cases import ANY, Check, Expectation, TestCase, TestFile, TestSuite, Turn
from core.errors import Problem, ProblemsError, UsageError

_SUFFIXES = (".yml", ".yaml")
_PLACES = ("e2e_tests", "tests/e2e_test_cases.yml", "tests/e2e_test_cases.yaml", "tests/e2e_test_cases", "tests")
_FILE_KEYS = ("test_cases", "fixtures", "metadata", "stub_custom_actions", "version", "llm_judge", "llm_as_judge")
_CASE_KEYS = ("test_case", "steps", "fixtures", "metadata")
_STEP_KINDS = ("user", "bot", "utter", "slot_was_set", "slot_was_not_set")
_USER_KEYS = ("user", "metadata", "assertions", "assertion_order_enabled")
_ASSERTIONS = tuple(kind for kind in get_args(Expectation) if kind not in ("bot", "utter"))


def find_tests(root: Path) -> Path:
    """Where an assistant keeps its tests. Raises UsageError naming the places looked at."""
    for place in _PLACES:
        path = root / place
        if path.is_file() or (path.is_dir() and any(_is_test_file(file) for file in _yaml_files(path))):
            return path
    raise UsageError(
        f"no end-to-end tests found in {root}; looked for {', '.join(_PLACES[:2])} and {_PLACES[-1]}/ (name them with --tests)"
    )


def read_tests(path: Path, root: Path) -> TestSuite:
    """Tests of a file, a folder or one case (`file.yml::name`); paths in the suite are relative to `root` where possible.

    Raises ProblemsError with all problems, UsageError when there is nothing to read.
    """
    text, _, wanted = str(path).partition("::")
    path = Path(text)
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a test file or a folder of test files")
    problems: list[Problem] = []
    files = [path] if path.is_file() else [file for file in _yaml_files(path) if not _is_conftest(file)]
    read = [_FileReader(file, root, problems).read() for file in files]
    found = [file for file in read if file is not None and file.cases]
    _check_names(found, problems)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise ProblemsError(errors)
    if not found:
        raise UsageError(f"{path} holds no tests; a test file has a list `test_cases`")
    if wanted:
        found = [
            TestFile(file.path, cases, file.fixtures, file.metadata, file.stubs)
            for file in found
            if (cases := _named(file, wanted))
        ]
        if not found:
            raise UsageError(f"{path} holds no test named {wanted!r}")
    return TestSuite(tuple(found))


def _named(file: TestFile, name: str) -> tuple[TestCase, ...]:
    return tuple(case for case in file.cases if case.name == name)


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix in _SUFFIXES and file.is_file())


def _is_conftest(file: Path) -> bool:
    return file.stem == "conftest"


def _is_test_file(file: Path) -> bool:
    return not _is_conftest(file) and "test_cases" in file.read_text(encoding="utf-8", errors="replace")


def _check_names(files: Iterable[TestFile], problems: list[Problem]) -> None:
    for file in files:
        seen: dict[str, TestCase] = {}
        for case in file.cases:
            if case.name in seen:
                problems.append(
                    Problem(
                        file.path,
                        case.line,
                        f"test {case.name!r} is there twice (first in line {seen[case.name].line})",
                    )
                )
            seen.setdefault(case.name, case)


class _FileReader:
    """Reads one file with the conftest files above it."""

    def __init__(self, path: Path, root: Path, problems: list[Problem]) -> None:
        self.path = path
        self.shown = _relative(path, root)
        self.reader = Reader(self.shown, problems)
        self.problems = problems
        self.fixtures: dict[str, dict[str, Any]] = {}
        self.metadata: dict[str, dict[str, Any]] = {}
        for conftest in _conftests(path, root):
            content = self._load(conftest, _relative(conftest, root))
            if isinstance(content, YamlMapping):
                self.fixtures.update(_named_values(content, "fixtures", Reader(_relative(conftest, root), problems)))

    def _load(self, path: Path, shown: str) -> Any:
        try:
            return read_yaml(path, shown)
        except ProblemsError as error:
            self.problems += error.problems
            return None

    def read(self) -> TestFile | None:
        content = self._load(self.path, self.shown)
        if not isinstance(content, YamlMapping) or "test_cases" not in content:
            return None
        self.reader.known_keys(content, _FILE_KEYS, "a test file", self.reader.error)
        own_fixtures = _named_values(content, "fixtures", self.reader)
        self.fixtures.update(own_fixtures)
        self.metadata.update(_named_values(content, "metadata", self.reader))
        stubs = content.get("stub_custom_actions")
        if stubs is not None and not isinstance(stubs, YamlMapping):
            self.reader.error(
                content.line_of("stub_custom_actions"), "stub_custom_actions is a mapping from actions to their answers"
            )
            stubs = None
        cases = tuple(
            case
            for item, line in self.reader.items(content, "test_cases")
            if (case := self._case(item, line, stubs or YamlMapping())) is not None
        )
        return TestFile(self.shown, cases, dict(self.fixtures), dict(self.metadata), plain(stubs or {}))

    def _case(self, item: Any, line: int, stubs: YamlMapping) -> TestCase | None:
        if not isinstance(item, YamlMapping) or not item.get("test_case"):
            self.reader.error(line, "a test needs a name: `- test_case: what it shows`")
            return None
        name = self.reader.text(item, "test_case")
        self.reader.known_keys(item, _CASE_KEYS, "a test", self.reader.error)
        turns, opening = self._turns(item, self._metadata_named(item, item.get("metadata")))
        if not turns and not opening:
            self.reader.error(line, f"test {name!r} has no steps")
        return TestCase(
            name=name,
            file=self.shown,
            line=line,
            turns=tuple(turns),
            opening=tuple(opening),
            fixture_slots=self._fixture_slots(item),
            stubs=self._stubs(name, stubs),
            source=plain(item),
        )

    def _fixture_slots(self, item: YamlMapping) -> dict[str, Any]:
        slots: dict[str, Any] = {}
        for name, line in self.reader.items(item, "fixtures"):
            if str(name) in self.fixtures:
                slots.update(self.fixtures[str(name)])
            else:
                self.reader.error(line, f"fixture {name} is not defined here or in a conftest.yml above")
        if (moment := slots.get("mocked_datetime")) is not None:
            try:
                datetime.fromisoformat(str(moment).replace("Z", "+00:00"))
            except ValueError:
                self.reader.error(
                    item.line_of("fixtures"),
                    f"mocked_datetime {moment!r} is no ISO 8601 time such as 2026-01-05T09:00:00+00:00",
                )
        return slots

    def _metadata_named(self, item: YamlMapping, written: Any) -> dict[str, Any]:
        if written is None:
            return {}
        if isinstance(written, dict):
            return dict(plain(written))
        if str(written) not in self.metadata:
            self.reader.error(item.line_of("metadata"), f"metadata {written} is not defined in this file")
        return self.metadata.get(str(written), {})

    def _stubs(self, name: str, stubs: YamlMapping) -> dict[str, ActionAnswer]:
        """Answers for one test: those of the file, then those written for it by name (`test::action`)."""
        general: dict[str, ActionAnswer] = {}
        special: dict[str, ActionAnswer] = {}
        for key, body in stubs.items():
            test, separator, action = key.rpartition("::")
            if separator and test != name:
                continue
            answer = self._answer(key, body, stubs.line_of(key))
            (special if separator else general)[action if separator else key] = answer
        return {**general, **special}

    def _answer(self, key: str, body: Any, line: int) -> ActionAnswer:
        body = body if body is not None else YamlMapping()
        if not isinstance(body, YamlMapping):
            self.reader.error(line, f"the stub {key} is a mapping with events and responses")
            return ActionAnswer()
        events = tuple(plain(event) for event, _ in self.reader.items(body, "events") if isinstance(event, dict))
        responses = tuple(
            plain(response) for response, _ in self.reader.items(body, "responses") if isinstance(response, dict)
        )
        return ActionAnswer(events, responses)

    # Steps

    def _turns(self, item: YamlMapping, metadata: Mapping[str, Any]) -> tuple[list[Turn], list[Check]]:
        """Turns, each with the checks that follow it, and the checks before the first."""
        steps: list[tuple[YamlMapping, int, list[Check]]] = []
        opening: list[Check] = []
        for step, line in self.reader.items(item, "steps"):
            kind = self._kind(step, line)
            if kind == "user":
                steps.append((step, line, []))
            elif kind is not None:
                (steps[-1][2] if steps else opening).extend(self._classic(kind, step))
        return [self._user(step, line, metadata, checks) for step, line, checks in steps], opening

    def _kind(self, step: Any, line: int) -> str | None:
        if not isinstance(step, YamlMapping):
            self.reader.error(line, "a step is a mapping such as `- user: hello`")
            return None
        kinds = [kind for kind in _STEP_KINDS if kind in step]
        if len(kinds) == 1:
            known = _USER_KEYS if kinds[0] == "user" else (kinds[0],)
            self.reader.known_keys(step, known, f"a {kinds[0]} step", self.reader.error)
            return kinds[0]
        if kinds:
            self.reader.error(line, f"a step is one of {', '.join(_STEP_KINDS)}; this one is {' and '.join(kinds)}")
        else:
            self.reader.known_keys(step, _STEP_KINDS, "a step", self.reader.error)
        return None

    def _user(self, step: YamlMapping, line: int, metadata: Mapping[str, Any], classic: list[Check]) -> Turn:
        """A turn; where it has assertions, classic checks after it do not count."""
        asserted = "assertions" in step
        return Turn(
            user=self.reader.text(step, "user"),
            line=line,
            checks=tuple(self._assertions(step) if asserted else classic),
            metadata={**metadata, **self._metadata_named(step, step.get("metadata"))},
            uses_assertions=asserted,
            ordered=self.reader.flag(step, "assertion_order_enabled", False),
        )

    def _classic(self, kind: str, step: YamlMapping) -> Iterable[Check]:
        line = step.line_of(kind)
        if kind in ("bot", "utter"):
            yield Check(kind, self.reader.text(step, kind), line)  # type: ignore[arg-type]
            return
        value = step[kind]
        items = self.reader.items(step, kind) if isinstance(value, YamlList) else [(value, line)]
        for entry, at in items:
            if isinstance(entry, YamlMapping):
                for slot, expected in entry.items():
                    yield Check(kind, (slot, expected), at)  # type: ignore[arg-type]
            else:
                yield Check(kind, (str(entry), ANY), at)  # type: ignore[arg-type]

    def _assertions(self, step: YamlMapping) -> Iterable[Check]:
        for item, line in self.reader.items(step, "assertions"):
            if not isinstance(item, YamlMapping) or len(item) != 1:
                self.reader.error(line, "an assertion is a mapping with one key, such as `- flow_started: book`")
                continue
            ((kind, value),) = item.items()
            if kind not in _ASSERTIONS:
                self.reader.known_keys(item, _ASSERTIONS, "an assertion", self.reader.error)
                continue
            yield from self._assertion(kind, value, item, line)

    def _assertion(self, kind: str, value: Any, item: YamlMapping, line: int) -> Iterable[Check]:
        def check(parsed: Any, at: int = line) -> Check:
            return Check(kind, parsed, at)  # type: ignore[arg-type]

        if kind in ("flow_started", "pattern_clarification_contains"):
            flows, operator = value, "all"
            if isinstance(value, YamlMapping):
                flows, operator = value.get("flow_ids"), str(value.get("operator", "all"))
            names = tuple(str(flow) for flow in flows) if isinstance(flows, list) else (str(flows),) if flows else ()
            if not names or operator not in ("all", "any"):
                self.reader.error(line, f"{kind} needs flow ids and an operator all or any")
            yield check((operator, names))
        elif kind in ("flow_completed", "flow_cancelled"):
            if isinstance(value, YamlMapping):
                flows = value.get("flow_ids") or [value.get("flow_id")]
                for flow in flows:
                    yield check((str(flow), value.get("flow_step_id")))
            else:
                yield check((str(value), None))
        elif kind in ("slot_was_set", "slot_was_not_set"):
            for entry, at in self.reader.items(item, kind):
                if isinstance(entry, YamlMapping) and "name" in entry:
                    yield check((str(entry["name"]), entry.get("value", ANY)), at)
                else:
                    self.reader.error(at, f"{kind} is a list of `name` and `value`")
        elif kind == "action_executed":
            yield check(str(value))
        elif isinstance(value, YamlMapping):
            yield check(plain(value))
        else:
            self.reader.error(line, f"{kind} is a mapping")


def _named_values(content: YamlMapping, key: str, reader: Reader) -> dict[str, dict[str, Any]]:
    """Fixtures or metadata: a list of `{name: values}` or a mapping; values a mapping or a list of mappings."""
    part = content.get(key)
    entries: list[tuple[str, Any, int]] = []
    if isinstance(part, YamlMapping):
        entries = [(name, values, part.line_of(name)) for name, values in part.items()]
    elif part is not None:
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
            reader.error(line, f"{key} {name} is a list of `slot: value`")
    return found


def _conftests(path: Path, root: Path) -> list[Path]:
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


def plain(value: Any) -> Any:
    """Ordinary dicts and lists, to write out again."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
