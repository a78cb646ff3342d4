"""KServe's own models of its custom resources, read from the source of its Python package: to import it takes dozens of others."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any


def wrong(content: Any, model: str) -> list[str]:
    """Sentences about fields that a model does not have, at any depth; what is Kubernetes' own is left to Kubernetes' schemas."""
    return list(_wrong(content, model))


def _wrong(content: Any, kind: str) -> Iterator[str]:
    if kind.startswith("list["):
        for item in content:
            yield from _wrong(item, kind.removeprefix("list[")[:-1])
    elif kind in _models():
        types, names = _models()[kind]
        fields = {names[field]: type for field, type in types.items()}
        for name, value in content.items():
            if name not in fields:
                yield f"{kind} has no {name}"
            else:
                yield from _wrong(value, fields[name])
    elif (plain := {"str": str, "int": int, "bool": bool}.get(kind)) is not None and type(content) is not plain:
        yield f"{content!r} is no {kind}"


@cache
def _models() -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Class → types of its attributes, and their names in YAML."""
    found = importlib.util.find_spec("kserve")  # without importing it
    assert found is not None
    assert found.origin is not None
    read = [_classes(path) for path in sorted((Path(found.origin).parent / "models").glob("v1*.py"))]
    return {name: tables for classes in read for name, tables in classes.items()}


def _classes(path: Path) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    classes = {}
    for defined in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(defined, ast.ClassDef):
            tables = {
                target.id: ast.literal_eval(line.value)
                for line in defined.body
                if isinstance(line, ast.Assign)
                for target in line.targets
                if isinstance(target, ast.Name) and target.id in ("openapi_types", "attribute_map")
            }
            if len(tables) == 2:
                classes[defined.name] = (tables["openapi_types"], tables["attribute_map"])
    return classes
