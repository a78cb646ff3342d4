"""`calmtune web`: a real server, asked as browsers and as others ask."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from tests.rigs.recipe import ROOT

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(origin, address with its token, what it told on stderr so far)"""
    folder = tmp_path_factory.mktemp("web")
    told = folder / "stderr"
    with told.open("wb") as log, subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "web", "--port", "0"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=log, text=True,
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            address = running.stdout.readline().strip()
            assert address, told.read_text()
            yield address.partition("/?")[0], address, told
        finally:
            running.terminate()


@pytest.fixture(scope="module")
def ask():
    """One client for all, which keeps no cookies."""
    with httpx.Client(trust_env=False) as client:

        def get(address: str, cookies: dict[str, str] | None = None, **headers: str) -> httpx.Response:
            client.cookies.clear()
            sent = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
            return client.get(address, headers={**headers, "Cookie": sent})

        yield get


@pytest.fixture(scope="module")
def cookie(server, ask):
    _, address, _ = server
    answer = ask(address)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    set_cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in set_cookie
    assert "SameSite=Strict" in set_cookie
    name, _, value = set_cookie.partition(";")[0].partition("=")
    assert value not in address
    return {name: value}


PATHS = ["/", "/ws", "/static/js/textual.js", "/static/", "/download/x", "/nowhere", "/?token=", "/?token=wrong"]


@pytest.mark.parametrize("path", PATHS)
def test_without_token_or_cookie_nothing_is_there(server, ask, path):
    assert server[1].startswith("http://127.0.0.1:")
    assert ask(f"{server[0]}{path}").status_code == 403


@pytest.mark.parametrize("path", PATHS[:4])
@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "localhost"}, {"Origin": "http://evil.example"}, {"Origin": "null"}], ids=str
)
def test_other_names_and_other_pages_are_refused_although_they_have_the_cookie(server, ask, cookie, path, headers):
    assert ask(f"{server[0]}{path}", cookie, **headers).status_code == 403
    assert ask(f"{server[0]}/?{urlsplit(server[1]).query}", **headers).status_code == 403


def test_with_the_cookie_the_page_is_there_and_fetches_nothing_from_elsewhere(server, ask, cookie):
    page = ask(f"{server[0]}/", cookie)
    assert page.status_code == 200
    assert "textual.js" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "googleapis" not in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert ask(f"{server[0]}/static/js/textual.js", cookie).status_code == 200


def test_another_address_of_this_machine_does_not_answer(server, ask):
    port = urlsplit(server[0]).port
    with pytest.raises(httpx.ConnectError):
        ask(f"http://127.0.0.2:{port}/")


async def test_the_app_comes_through_the_websocket(server, cookie):
    url = f"{server[0]}/ws?width=80&height=24"
    async with aiohttp.ClientSession() as stranger:
        for headers in ({}, {"Origin": server[0]}):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await stranger.ws_connect(url, headers=headers)
    async with aiohttp.ClientSession(cookies=cookie, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await browser.ws_connect(url, headers={"Origin": "http://evil.example"})
        async with browser.ws_connect(url, headers={"Origin": server[0]}) as socket:
            shown = b""
            async with asyncio.timeout(120):
                while b"calmtune" not in shown and b"assistant" not in shown:
                    message = await socket.receive()
                    assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
                    shown += message.data if isinstance(message.data, bytes) else message.data.encode()


def test_the_token_is_in_no_log(server, cookie):
    token = urlsplit(server[1]).query.partition("=")[2]
    assert len(token) > 40
    assert token not in server[2].read_text()


def test_a_port_that_is_taken_is_a_sentence(server, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", "web", "--port", str(urlsplit(server[0]).port)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "give another with --port" in done.stderr
