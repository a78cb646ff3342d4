"""Where providers serve their models in OpenAI's protocol, and the environment variables that hold their keys."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UsageError


@dataclass(frozen=True)
class Provider:
    """One provider, by the name configurations use."""

    address: str | None
    """Its own address; None where the owner has to give one. `${VARIABLE}` is filled from the environment."""
    key_variable: str
    path: str = ""
    """What follows the address a configuration names, when it is not written there."""


OPENAI = "openai"
PROVIDERS = {
    "anthropic": Provider("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "azure": Provider("${AZURE_API_BASE}", "AZURE_API_KEY", "/openai/v1"),
    "deepseek": Provider("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "gemini": Provider("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "groq": Provider("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": Provider("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "ollama": Provider("http://127.0.0.1:11434", "OLLAMA_API_KEY", "/v1"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "self-hosted": Provider(None, "HOSTED_VLLM_API_KEY"),
}
"""Providers beside OpenAI itself; any other can be used with its address given."""


def address(provider: str, given: str | None) -> str | None:
    """Where a provider's models are asked; None for OpenAI's own. Raises UsageError for a provider nobody knows the address of."""
    if provider == OPENAI:
        return given
    known = PROVIDERS.get(provider)
    found = given or (known.address if known else None)
    if found is None:
        raise UsageError(
            f"the provider {provider} needs api_base in endpoints.yml: an address that speaks OpenAI's protocol, "
            "such as http://127.0.0.1:8000/v1"
        )
    path = known.path if known else ""
    return found if found.rstrip("/").endswith(path) else found.rstrip("/") + path


def key_variable(provider: str) -> str | None:
    """The environment variable a provider's key is looked for in; None when there is no custom."""
    if provider == OPENAI:
        return "OPENAI_API_KEY"
    known = PROVIDERS.get(provider)
    return known.key_variable if known else None
