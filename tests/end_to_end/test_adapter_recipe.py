"""The recipe with an adapter as its artifact: trained, judged, deployed by a real server, exported, served by hand; a tiny model."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import time

import httpx
import pytest
from end_to_end.test_recipe import calmtune, command, environment, write_answers
from textual.widgets import Input, Static

from core.serving.proxy.certificate import make_self_signed
from core.training.bundle import ModelArtifact
from core.wizard.purposes import CHAT
from provisioning.machine import free_port
from tests import tiny_model
from tests.rigs import recipe
from tui.app import CalmtuneApp
from tui.screens.chat import ChatScreen
from tui.screens.walk import WalkScreen


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def steps(home):
    """Outcome of the steps by id, after all seven with `artifact: adapter`."""
    write_answers(home, tiny_model.make(home / "tiny"))
    done = calmtune(
        home, "run", "--answers", "answers.yml", "--session", "one", "--json", "--set", "training.artifact=adapter",
        "--set", f"deployment.export_to={home}/taken",
    )  # fmt: skip
    try:
        assert done.returncode == 0, done.stderr
        assert "to serve it elsewhere, in deploy: README.md, docker.sh" in done.stderr
        yield {step["step"]: step for step in json.loads(done.stdout.splitlines()[-1])["steps"]}
    finally:
        calmtune(home, "stop", "one")


def test_an_adapter_goes_through_all_seven_steps(home, steps):
    assert [step["state"] for step in steps.values()] == ["fresh"] * 7
    for id in ("training", "production"):
        folder = home / steps[id]["folder"]
        artifact = ModelArtifact.in_folder(folder)
        assert artifact.folder.name == "adapter"
        artifact.verify()
        assert not (folder / "model").exists(), "no merged weights anywhere"
        config = json.loads((artifact.folder / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == str(home / "tiny")
    log = (home / steps["evaluation"]["folder"] / "server.log").read_text()
    assert "merging the adapter in" in log
    deploy = home / steps["deployment"]["folder"] / "deploy"
    docker = (deploy / "docker.sh").read_text()
    assert f"base={home}/tiny\n" in docker
    assert "--enable-lora" in docker
    assert "--lora-modules" in (deploy / "kubernetes.yaml").read_text()
    served = home / steps["production"]["folder"] / "adapter"
    for folder, sums in ((served, "model.sha256"), (home / "tiny", "base.sha256")):
        subprocess.run(["sha256sum", "--check", "--quiet", deploy / sums], cwd=folder, check=True)
    assert {"README.md", "compose.yaml", "skyserve.yaml"} <= {path.name for path in deploy.iterdir()}


def test_the_cards_tell_the_verdict_and_no_path(home, steps):
    cards = {
        id: (home / steps[id]["folder"] / "model_card.md").read_text()
        for id in ("training", "evaluation", "production")
    }
    assert "Not evaluated yet." in cards["training"]
    for id in ("evaluation", "production"):
        assert "**Passed** all" in cards[id]
        assert "95 % interval" in cards[id]
    assert cards["production"] == (home / steps["production"]["folder"] / "adapter" / "README.md").read_text()
    for card in cards.values():
        assert str(home) not in card
        assert "/root" not in card
        assert "library_name: peft" in card


def test_the_cards_are_exported(home, steps):
    done = calmtune(home, "export", "one", "--out", "copy")
    assert done.returncode == 0, done.stderr
    for id in ("training", "evaluation", "production"):
        exported = (home / "copy" / id / "model_card.md").read_text()
        assert exported == (home / steps[id]["folder"] / "model_card.md").read_text()
    assert not list((home / "copy").rglob("*.safetensors"))


def test_the_deployment_left_a_whole_export(home, steps):
    (gate,) = [gate for gate in steps["deployment"]["gates"] if gate["name"] == "export verified"]
    names = {path.relative_to(home / "taken").as_posix() for path in (home / "taken").rglob("*") if path.is_file()}
    assert gate["passed"]
    assert gate["measured"] == f"all {len(names) - 2}", "beside the sums and the list of names"
    ModelArtifact.in_folder(home / "taken").verify()
    assert {"SHA256SUMS", "adapter/README.md", "deploy/docker.sh", "deploy/kubernetes.yaml", "deploy/model.sha256"} <= names
    assert steps["deployment"]["summary"]["export"]["place"] == str(home / "taken")


def test_an_adapters_folder_is_served_by_hand(home, steps):
    folder = home / steps["production"]["folder"] / "adapter"
    serving = subprocess.Popen(
        command("serve", str(folder)),
        cwd=home,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # as in a terminal: jobs in the background ignore it
    )
    try:
        endpoint = json.loads(_one_object(serving))
        body = {"model": endpoint["model"], "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
        answer = httpx.post(f"{endpoint['endpoint']}/chat/completions", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
    finally:
        serving.send_signal(signal.SIGINT)
        _, said = serving.communicate()
    assert "the adapter is merged into its base model first" in said


def _one_object(running: subprocess.Popen[str]) -> str:
    """What a program writes up to the end of its first JSON object."""
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line)
        try:
            json.loads("".join(lines))
        except ValueError:
            continue
        return "".join(lines)
    raise AssertionError(running.stderr.read())


def test_a_changed_adapter_is_not_deployed(home, steps, tmp_path):
    artifact = ModelArtifact.in_folder(home / steps["production"]["folder"])
    tokenizer = artifact.folder / "tokenizer.json"
    whole = tokenizer.read_bytes()
    tokenizer.write_bytes(whole + b" ")
    try:
        done = calmtune(home, "run", "--session", "one", "--set", "deployment.served_name=other")
        assert done.returncode == 1
        assert "tokenizer.json is not the file that was trained" in done.stderr
    finally:
        tokenizer.write_bytes(whole)


def test_an_adapter_is_not_served_on_another_base(home, steps):
    folder = home / steps["production"]["folder"] / "adapter"
    weights = home / "tiny" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        done = calmtune(home, "serve", str(folder))
        assert done.returncode == 3
        assert "not the one the adapter was trained on (model.safetensors differs)" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        weights.write_bytes(whole)


def test_a_published_server_has_only_the_four_addresses_open_and_ends_with_the_model_server(home, steps, tmp_path):
    pair = make_self_signed(tmp_path / "tls", ["127.0.0.1"])
    port = free_port()
    public = {
        "public_address": f"127.0.0.1:{port}", "tls_certificate": pair.certificate, "tls_key": pair.key, "requests_per_minute": 100,
    }  # fmt: skip
    answers = [f"--set=deployment.{name}={value}" for name, value in public.items()]
    run = ["run", "--session", "one", "--until", "deployment", "--json", *answers]
    refused = calmtune(home, *run)
    assert refused.returncode == 2
    assert "CALMTUNE_PROXY_KEYS has no keys" in refused.stderr
    key = "canary-key-of-the-shop-4be1"
    keys = {**environment(), "CALMTUNE_PROXY_KEYS": f"shop={key}"}
    done = recipe.calmtune(home, keys, *run)
    assert done.returncode == 0, done.stderr
    (deployed,) = [step for step in json.loads(done.stdout.splitlines()[-1])["steps"] if step["step"] == "deployment"]
    gate = deployed["gates"][1]
    assert gate["name"] == "only the four addresses are open"
    assert gate["passed"], gate
    assert len(deployed["summary"]["findings"]) > 50
    body = {"model": deployed["summary"]["model"], "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    with httpx.Client(verify=ssl.create_default_context(cafile=str(pair.certificate)), timeout=60) as client:
        url = f"https://127.0.0.1:{port}/v1/chat/completions"
        assert client.post(url, json=body).status_code == 401
        assert client.post(url, json=body, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    for path in (home / ".calmtune").rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path
    other = recipe.calmtune(home, keys, *run, "--set=deployment.requests_per_minute=200")
    assert other.returncode == 0, "the proxy of the run before has left its address"
    stopped = calmtune(home, "stop", "one")
    assert "-proxy" in stopped.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/health")


async def test_a_conversation_where_nothing_is_served_has_a_server_of_its_own(home, steps, monkeypatch):
    calmtune(home, "stop", "one")
    monkeypatch.chdir(home)
    app = CalmtuneApp(home / ".calmtune" / "sessions", "one")

    async def until(condition):
        deadline = time.monotonic() + 240
        while not condition():
            assert time.monotonic() < deadline
            await pilot.pause(0.1)

    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#panel > *")))
        session = app.screen.session
        assert session.status("deployment").outputs is None
        await pilot.press("ctrl+t")
        await until(lambda: isinstance(app.screen, ChatScreen))
        await until(lambda: not app.screen.query_one("#message", Input).disabled)
        server = session.journal.jobs()[-1]
        assert (server.step, server.state) == (CHAT, "launched")
        await pilot.press(*"hello", "enter")
        await until(lambda: bool(app.screen.query(".commands")))
        assert str(app.screen.query_one(".commands", Static).render()).endswith(" ms")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, WalkScreen))
        assert session.journal.jobs()[-1].state != "launched"
        assert session.targets["local"].status(server.id).state != "running"
