"""Whether a base model may be downloaded, asked before a machine is rented for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from core.training.base_model import HUB_SECONDS

HUB = "https://huggingface.co"
ENDPOINT_VARIABLE = "HF_ENDPOINT"
TOKEN_VARIABLE = "HF_TOKEN"


@dataclass(frozen=True)
class Access:
    """What the hub says about a model."""

    state: Literal["open", "refused", "missing", "unknown"]
    """unknown: the hub was not asked or gave no answer, which is no error."""
    sentence: str


def access(name: str, token: str | None = None, endpoint: str | None = None) -> Access:
    """Ask the hub for the head of a model's config.json, with the token (argument, else HF_TOKEN). Raises nothing.

    The hub is `endpoint`, else HF_ENDPOINT, else huggingface.co; with HF_HUB_OFFLINE nobody is asked.
    """
    import httpx

    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return Access("unknown", f"access to {name} is not checked, since HF_HUB_OFFLINE is set")
    hub = (endpoint or os.environ.get(ENDPOINT_VARIABLE) or HUB).rstrip("/")
    token = token or os.environ.get(TOKEN_VARIABLE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.head(f"{hub}/{name}/resolve/main/config.json", headers=headers, timeout=HUB_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Access(
            "unknown", f"access to {name} could not be checked: {hub} cannot be reached ({type(error).__name__})"
        )
    code, problem = answer.status_code, answer.headers.get("X-Error-Code", "")
    if code < 400:
        return Access("open", f"{name} may be downloaded" + (f" with {TOKEN_VARIABLE}" if token else ""))
    page = f"{hub}/{name}"
    if problem == "GatedRepo" or code == 403:
        what = f"this {TOKEN_VARIABLE} has no access yet" if token else f"set {TOKEN_VARIABLE} as well"
        return Access("refused", f"{name} is gated: accept its licence on {page}; {what}")
    if problem == "RepoNotFound" or code == 404:
        hint = "check its name" if token else f"check its name, or set {TOKEN_VARIABLE} if it is private"
        return Access("missing", f"{name} is not on {hub}: {hint}")
    if code == 401:
        what = f"{TOKEN_VARIABLE} is not accepted" if token else f"it asks for a token; set {TOKEN_VARIABLE}"
        return Access("refused", f"{name} cannot be downloaded from {hub}: {what}")
    return Access("unknown", f"access to {name} could not be checked: {hub} answers {code}")
