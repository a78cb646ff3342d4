"""Whatever a model is called, what is made of its name is allowed where it stands."""

from __future__ import annotations

import re
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core.serving.manifests.autoscaling import autoscaling
from core.serving.manifests.compose import compose
from core.serving.manifests.kserve import kserve
from core.serving.manifests.kubernetes import kubernetes
from core.serving.manifests.production_stack import production_stack
from core.serving.manifests.skyserve import skyserve
from core.serving.manifests.storage import storage
from core.wizard.steps.deployment import DeploymentAnswers
from tests.rigs.served_models import whole

PATTERN = DeploymentAnswers.model_json_schema()["properties"]["served_name"]["pattern"]
NAMES = st.from_regex(PATTERN, fullmatch=True).filter(str.isascii)
DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""Of Services; RFC 1123 labels may begin with a digit too."""
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
COMPOSE_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
SKY_SERVICE = re.compile(r"[a-zA-Z]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?")


def found(document: Any, *keys: str) -> list[Any]:
    """Values of these keys at any depth."""
    if isinstance(document, dict):
        here = [value for key, value in document.items() if key in keys]
        return here + [value for inner in document.values() for value in found(inner, *keys)]
    return [value for inner in document for value in found(inner, *keys)] if isinstance(document, list) else []


@settings(max_examples=50, deadline=None)
@given(NAMES, st.integers(1, 3))
def test_names_and_labels_are_valid_in_kubernetes(name, replicas):
    served = whole(name=name, replicas=replicas)
    texts = [write(served) for write in (storage, kubernetes, autoscaling, kserve, production_stack)]
    for document in (document for text in texts for document in yaml.safe_load_all(text)):
        for name in found(document, "name", "claimName", "secretName"):
            if isinstance(name, str) and name.startswith("calmtune"):
                assert DNS_1035.fullmatch(name), name
                assert len(name) <= 63
        for labels in found(document, "labels", "matchLabels"):
            for value in labels.values():
                assert LABEL_VALUE.fullmatch(value), value
                assert len(value) <= 63


@given(NAMES)
def test_controllers_may_append_to_a_name(name):
    assert len(f"{whole(name=name).resource}-predictor") <= 63


@settings(deadline=None)
@given(NAMES)
def test_names_are_valid_in_compose_and_skypilot(name):
    served = whole(name=name)
    assert COMPOSE_PROJECT.fullmatch(yaml.safe_load(compose(served))["name"])
    assert SKY_SERVICE.fullmatch(yaml.safe_load(skyserve(served))["name"])


@given(st.sets(NAMES, min_size=1, max_size=4))
def test_different_models_do_not_take_each_others_place(names):
    """Nor do those whose names differ in case alone."""
    names |= {name.swapcase() for name in names}
    assert len({whole(name=name).resource for name in names}) == len(names)
