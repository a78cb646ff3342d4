"""A copy of an assistant that the `rasa` command trains, tests and prepares data from; the owner's folder is only read."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from core.e2e.cases import TestCase, TestSuite
from core.e2e.rasa import ASSERTIONS_WITHOUT_FLAG, Rasa, redactor
from core.e2e.rasa_files import RESULTS, as_result, read_outcomes, write_tests
from core.e2e.results import TestResult
from core.errors import StepFailed

MODELS = "models"
_TESTS, _COVERAGE, _OUTPUT = "calmtune_tests", "e2e_coverage_results", "output"
"""Relative to the copy: what an ended process still writes is then lost with it, and never in the way of a later run."""
_LEFT_BEHIND = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "*.bak", RESULTS)
"""Not copied: what is hidden, made, or would pass for the results of a run."""
_TEST, _TRAIN, _PREPARE = ("test", "e2e"), ("train",), ("llm", "finetune", "prepare-data")
_PLACES = {
    "--config": ("config.yml", "config.yaml"),
    "--domain": ("domain.yml", "domain.yaml", "domain"),
    "--data": ("data", "flows", "data.yml", "flows.yml"),
    "--endpoints": ("endpoints.yml", "endpoints.yaml"),
}
"""Option → where the file may be; the first place is where the command looks without the option."""


class RasaProject:
    """The copy in `root`. `variables` go into the environment of each run beside what is there already."""

    def __init__(self, rasa: Rasa, root: Path, variables: Mapping[str, str] | None = None) -> None:
        self.rasa, self.root, self.variables = rasa, root, dict(variables or {})

    @classmethod
    def copy(cls, rasa: Rasa, assistant: Path, root: Path, variables: Mapping[str, str] | None = None) -> RasaProject:
        """Copy an assistant to `root`, in the place of what an interrupted run left there."""

        def left_behind(folder: str, names: list[str]) -> set[str]:
            made = {MODELS} if Path(folder) == assistant else set()  # deeper, it may be a package of actions
            return _LEFT_BEHIND(folder, names) | made

        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(assistant, root, ignore=left_behind)
        return cls(rasa, root, variables)

    async def train(self) -> None:
        """`rasa train`. Raises StepFailed with its last line when it leaves no model."""
        arguments = await self._arguments(_TRAIN, self._unusual_places())
        code, last = await self.rasa.run(_TRAIN, arguments, self.root, self.variables)
        if code:
            raise StepFailed(f"`rasa train` ended with exit code {code}: {last}")
        if not _has_model(self.root / MODELS):
            raise StepFailed(f"`rasa train` left no model in {MODELS}: {last}")

    async def train_or_take(self, models: Path) -> None:
        """Take the models that were trained of the same files before, else train."""
        if _has_model(models):
            (self.root / MODELS).symlink_to(models.resolve(), target_is_directory=True)
        else:
            await self.train()

    async def test(self, suite: TestSuite, keep: Collection[str], coverage: Path) -> list[TestResult]:
        """`rasa test e2e` on the tests of some ids, in the suite's order; its files go to the folder `coverage`.

        Failed tests end it with exit code 1 as a crash does: what tells them apart is whether it left results. Raises StepFailed
        with its last line when it did not.
        """
        shutil.rmtree(self.root / _COVERAGE, ignore_errors=True)
        names = self._write_tests(suite, keep)
        places = (self.root / "tests", self.root)  # where versions write their lists of results
        places[0].mkdir(exist_ok=True)
        cases = [case for case in suite.cases if case.id in keep]
        wanted = {
            **self._unusual_places("--endpoints"),
            "--coverage-report": None,
            "--coverage-output-path": _COVERAGE,
            "--e2e-results": None,  # last: some versions would take what follows for its value
        }
        arguments = [_TESTS, *await self._arguments(_TEST, wanted, needed=("--coverage-report",))]
        code, last = await self.rasa.run(_TEST, arguments, self.root, {**self.variables, **self._flags(cases)})
        _move(self.root / _COVERAGE, coverage)
        for path in (path for place in places for path in place.glob(RESULTS)):
            path.replace(coverage / path.name)
        redactor(self.variables).scrub(coverage)
        outcomes = {
            names.get(name) or names.get(name.rpartition("::")[2]): outcome
            for name, outcome in read_outcomes(coverage).items()
        }
        if code not in (0, 1) or not any(case.id in outcomes for case in cases):
            raise StepFailed(f"`rasa test e2e` ended with exit code {code} before it left results: {last}")
        return [as_result(case, outcomes.get(case.id)) for case in cases]

    async def prepare(
        self, suite: TestSuite, keep: Collection[str], out: Path, options: Mapping[str, str]
    ) -> dict[str, str]:
        """`rasa llm finetune prepare-data` on the tests of some ids, into the folder `out`; returns test name → id.

        `options` are passed as far as this version has them. Raises StepFailed with its last line when it fails.
        """
        shutil.rmtree(self.root / _OUTPUT, ignore_errors=True)
        names = self._write_tests(suite, keep)
        cases = [case for case in suite.cases if case.id in keep]
        wanted = {**self._unusual_places("--endpoints"), "--out": _OUTPUT, **options}
        arguments = [_TESTS, *await self._arguments(_PREPARE, wanted, needed=("--out",))]
        code, last = await self.rasa.run(_PREPARE, arguments, self.root, {**self.variables, **self._flags(cases)})
        _move(self.root / _OUTPUT, out)
        redactor(self.variables).scrub(out)
        if code:
            raise StepFailed(f"`rasa {' '.join(_PREPARE)}` ended with exit code {code}: {last}")
        return names

    def _write_tests(self, suite: TestSuite, keep: Collection[str]) -> dict[str, str]:
        shutil.rmtree(self.root / _TESTS, ignore_errors=True)
        return write_tests(suite, keep, self.root / _TESTS, self.root)

    async def _arguments(
        self, command: Sequence[str], wanted: Mapping[str, str | None], needed: Sequence[str] = ()
    ) -> list[str]:
        """Options with their values, those that this version has."""
        listed = await self.rasa.options(*command)
        if missing := [option for option in needed if option not in listed]:
            version = ".".join(map(str, self.rasa.version))
            raise StepFailed(
                f"`rasa {' '.join(command)}` of rasa {version} has no {missing[0]}; the recipe needs 3.10 or later"
            )
        return [
            word for option, value in wanted.items() if option in listed for word in (option, value) if word is not None
        ]

    def _unusual_places(self, *only: str) -> dict[str, str]:
        """Options for files that are not where the command looks by itself."""
        found = {}
        for option, places in _PLACES.items():
            place = next((place for place in places if (self.root / place).exists()), places[0])
            if place != places[0] and (not only or option in only):
                found[option] = place
        return found

    def _flags(self, cases: Collection[TestCase]) -> dict[str, str]:
        """Variables without which what the tests use would be refused."""
        flags = {}
        if any(case.stubs for case in cases):
            flags["RASA_PRO_BETA_STUB_CUSTOM_ACTION"] = "true"
        if self.rasa.version < ASSERTIONS_WITHOUT_FLAG:
            flags["RASA_PRO_BETA_E2E_ASSERTIONS"] = "true"
        return flags


def _move(made: Path, folder: Path) -> None:
    """Put a folder in the place of another one; an empty one when it was not made."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir():
        made.rename(folder)
    else:
        folder.mkdir()


def _has_model(models: Path) -> bool:
    return any(path.is_file() for path in models.glob("*"))
