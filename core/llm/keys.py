"""Addresses and keys of endpoints, filled in when they are used: from the environment, else from the system's keyring.

A key in the keyring is stored under the service "calmtune" with the variable's name as user: `keyring set calmtune OPENAI_API_KEY`.
Keys are never written anywhere by calmtune.
"""

from __future__ import annotations

import os
import re

from core.errors import UsageError

SERVICE = "calmtune"
"""The name keys are stored under in the keyring."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def filled_in(url: str | None) -> str | None:
    """The address with `${VARIABLE}` filled from the environment. Raises UsageError when one is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UsageError(f"the address {url} needs the environment variable {match[1]}, which is not set")
        return os.environ[match[1]]

    return None if url is None else _VARIABLE.sub(value, url)


def find_key(variable: str) -> str | None:
    """The key that goes by a variable's name; None when it is neither in the environment nor in the keyring."""
    return os.environ.get(variable) or _from_keyring(variable)


def _from_keyring(variable: str) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:  # the package is optional
        return None
    try:
        key: str | None = keyring.get_password(SERVICE, variable)
    except KeyringError:  # no keyring on this machine, or a locked one: as if the key were not there
        return None
    return key
