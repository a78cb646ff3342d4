"""From where a published server may be asked."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from core.errors import UsageError


@dataclass(frozen=True)
class Networks:
    """The networks that are let in; none means all."""

    allowed: tuple[IPv4Network | IPv6Network, ...] = ()

    def admits(self, host: str | None) -> bool:
        """Whether a client at this address is let in; `host` as a socket tells it."""
        if not self.allowed:
            return True
        address = _parsed(host)
        return address is not None and any(address in network for network in self.allowed)


def read_networks(text: str) -> Networks:
    """Networks from text such as "10.1.0.0/16, 192.0.2.7"; empty for all. Raises UsageError for what is none."""
    found = []
    for part in filter(None, re.split(r"[\s,]+", text)):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise UsageError(
                f"{part!r} is no address or network ({error}); write such as 192.0.2.7 or 10.1.0.0/16"
            ) from error
    return Networks(tuple(found))


def counted_as(host: str | None) -> str:
    """What requests of a client are counted under: its address; for IPv6 its network, as one client has so many addresses there."""
    address = _parsed(host)
    if isinstance(address, IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address) if address is not None else "unknown"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    address = _parsed(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _parsed(host: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
