"""Talking to OpenAI-compatible endpoints."""
