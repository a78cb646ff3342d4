"""Serving a tuned model and connecting an assistant to it."""
