"""Tables that are shipped as YAML and that owners may lay their own file over, such as prices and base models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from core.errors import Problem, ProblemsError

Table = TypeVar("Table", bound=BaseModel)


def owners_table(kind: type[Table], path: Path | None, variable: str, what: str) -> Table | None:
    """The table of the owner's file: `path`, else what an environment variable names; None without one. Raises ProblemsError."""
    if path is None and os.environ.get(variable):
        path = Path(os.environ[variable])
    return None if path is None else read_table(kind, path, what)


def read_table(kind: type[Table], path: Path, what: str) -> Table:
    """The table of an owner's file; `what` it is called in errors. Raises ProblemsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ProblemsError([Problem(str(path), 0, f"the {what} cannot be read ({reason})")]) from None
    return parse_table(kind, text, str(path))


def parse_table(kind: type[Table], text: str, file: str) -> Table:
    """A table from its text; `file` is named in errors. Raises ProblemsError."""
    try:
        return kind.model_validate(yaml.safe_load(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ProblemsError([Problem(file, line, f"this is not YAML: {error.problem}")]) from None
    except ValidationError as error:
        raise ProblemsError(
            Problem(file, 0, f"{'.'.join(map(str, part['loc']))}: {part['msg']}") for part in error.errors()
        ) from None
