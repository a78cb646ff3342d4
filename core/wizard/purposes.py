"""What jobs that outlive their step are for, as their names end."""

from __future__ import annotations

SERVER = "server"
PROXY = "proxy"
TUNNEL = "tunnel"
SERVICE = "service"
CHAT = "chat"
"""In the place of a step: the server of a conversation outside of the recipe."""
