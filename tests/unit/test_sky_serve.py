"""Serving through SkyServe: what it is asked for, once, and ended; what a replica does runs here, SkyServe itself is a file."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import traceback
from types import SimpleNamespace

import httpx
import pytest

from core.errors import BudgetReached, ProviderError, StepFailed, UsageError
from core.serving.connect import KEY_VARIABLE
from core.serving.proxy.certificate import make_self_signed
from core.serving.proxy.keys import SERVER_KEY_VARIABLE, VARIABLE, digested
from core.wizard import service as service_module
from core.wizard.estimate import SERVING, foretold
from core.wizard.events import Notice
from core.wizard.jobs import JobKeeper
from core.wizard.journal import Journal
from core.wizard.machine_costs import MachineWatch
from core.wizard.rents import rents, still_rented, usd_per_hour
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps.deployment import STEP as DEPLOYMENT
from core.wizard.steps.deployment import DeploymentAnswers
from core.wizard.work import deployment
from provisioning import serve_sdk, sky_offers, sky_sdk
from provisioning.job import Resources
from provisioning.places import Places
from provisioning.sky_serve import SkyServeTarget
from tests.rigs.served_models import made
from tests.rigs.small_services import CALLS, CONTROLLER, OFFER, SmallServices
from tui.commands import rented

KEY = "key-of-the-shop-2f9a41c7"
OTHER = "key-of-the-desk-8d03be55"
TOKEN = "hf_token-of-the-owner"
PLACE = "skyserve:aws"
TASK = {"service": {"replica_policy": {"min_replicas": 2, "max_replicas": 8}}, "resources": {"ports": 8000}}


@pytest.fixture
def skyserve(tmp_path, monkeypatch, request):
    """The stand-in, which takes SkyServe's place in this process."""
    small = SmallServices(tmp_path / "cloud" if (tmp_path / "cloud").mkdir() is None else tmp_path, getattr(request, "param", False))
    for name in CALLS:
        monkeypatch.setattr(serve_sdk, name, getattr(small, name))
    monkeypatch.setattr(sky_sdk, "sky", lambda: SimpleNamespace())
    monkeypatch.setattr(sky_sdk, "machines", lambda names=None, ask_cloud=False: small.controllers())
    monkeypatch.setattr(sky_sdk, "costs", lambda name: {})
    monkeypatch.setattr(sky_offers, "offers", lambda *asked: [OFFER])
    monkeypatch.setattr(service_module, "_LOOK_SECONDS", 0.2)
    monkeypatch.setenv(VARIABLE, f"shop={KEY},desk={digested(OTHER)}")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    yield small
    small.end()


hollow = pytest.mark.parametrize("skyserve", [True], indirect=True)


@pytest.fixture
def session(tmp_path):
    folder = tmp_path / "sessions" / "one"
    folder.mkdir(parents=True)
    journal = Journal(folder / "session.db")
    places = Places(folder / "jobs", lambda: (job.target for job in journal.jobs()))
    yield SimpleNamespace(journal=journal, places=places, folder=folder)
    places.close()
    journal.close()


def context(session, tmp_path, **answers) -> Context:
    """Of the deployment step, with a final model."""
    production = tmp_path / "production"
    if not production.exists():
        served = made(production)
        (model,) = served.folders
        (production / "manifest.json").write_text(json.dumps({"files": dict(model.checksums), "longest_row": 100}))
        model.here.rename(production / "model")
    above = Upstream(Outputs({}, {"model": "model", "manifest": "manifest.json"}, digest="d"), production)
    folder = session.folder / "runs"
    folder.mkdir(exist_ok=True)
    told: list[object] = []
    keeper = JobKeeper(session.journal, session.places, "one", "deployment", "abcdef0123456789")
    made_of = DeploymentAnswers(**{"machine": PLACE, "served_name": "tuned", **answers})
    context = Context(made_of, SharedAnswers.model_construct(), {"production": above}, folder, told.append, keeper)
    context.told = told
    return context


async def test_a_model_is_served_to_clients_with_keys_and_nobody_else(tmp_path, skyserve, session, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    step = context(session, tmp_path, python=skyserve.python, replicas=2, requests_per_second=1.5)
    outputs = await deployment.run(step)
    assert [gate for gate in outputs.gates if not gate.passed] == []
    (name,) = skyserve.books["services"]
    assert outputs.jobs == {name: PLACE}
    task = skyserve.books["services"][name]["task"]
    assert task["service"]["replica_policy"] == {"min_replicas": 2, "max_replicas": 8, "target_qps_per_replica": 1.5}
    assert task["resources"]["any_of"] == [{"accelerators": {"L4": 1}}]
    assert (task["resources"]["infra"], task["resources"]["ports"]) == ("aws", 8000)
    written = json.dumps(task) + "".join(path.read_text() for path in (tmp_path / "cloud" / name).rglob("log"))
    assert digested(KEY) in written
    for secret in (KEY, OTHER, TOKEN):
        assert secret not in written
    endpoint, summary = outputs.summary["endpoint"], outputs.summary
    assert (summary["model"], summary["needs_key"], summary["job"]) == ("tuned", True, name)
    body = {"model": "tuned", "messages": [{"role": "user", "content": "hi"}]}
    async with httpx.AsyncClient(base_url=endpoint.removesuffix("/v1")) as client:

        async def asked(key: str, path: str = "/v1/chat/completions") -> int:
            return (await client.post(path, json=body, headers={"Authorization": f"Bearer {key}"})).status_code

        assert [await asked(key) for key in (KEY, OTHER, digested(KEY), "x" * 30)] == [200, 200, 401, 401]
        assert await asked(KEY, "/metrics") == 404
    assert any("tell of SkyServe's balancer" in one["sentence"] for one in summary["findings"])
    warnings = [event.text for event in step.told if isinstance(event, Notice)]
    assert any("in the clear" in text for text in warnings)
    assert os.environ[KEY_VARIABLE] == KEY, "for the first conversation"


def test_what_is_rented_is_in_the_plan(tmp_path, skyserve, session):
    told = deployment.foretell_server(context(session, tmp_path, replicas=2))
    assert "1 × a GPU of" in told
    assert "each of 2 to 8 replicas" in told
    assert deployment.foretell_server(context(session, tmp_path, machine="local")) == ""
    assert foretold(DEPLOYMENT, context(session, tmp_path)).keys() == {SERVING}


def test_vllm_has_a_key_that_is_made_on_the_replica(tmp_path, skyserve, session, monkeypatch):
    monkeypatch.setattr(service_module, "_look", _seen)
    asyncio.run(deployment.run(context(session, tmp_path, python=skyserve.python)))
    (one,) = skyserve.books["services"].values()
    children = [pid for pid in os.listdir("/proc") if pid.isdigit() and _group(pid) == one["pid"]]
    keys, lines = set(), b""
    for pid in children:
        with open(f"/proc/{pid}/environ", "rb") as environment, open(f"/proc/{pid}/cmdline", "rb") as line:
            pairs = dict(pair.split(b"=", 1) for pair in environment.read().split(b"\0") if b"=" in pair)
            lines += line.read()
            keys |= {pairs[name] for name in (b"VLLM_API_KEY", SERVER_KEY_VARIABLE.encode()) if name in pairs}
    (key,) = keys
    assert len(key) >= 40
    assert key not in lines
    assert b"127.0.0.1" in lines


def _group(pid: str) -> int:
    try:
        return os.getpgid(int(pid))
    except ProcessLookupError:
        return 0


@pytest.mark.parametrize(
    ("answers", "keys", "sentence"),
    [
        ({}, "", "to clients with keys alone: CALMTUNE_PROXY_KEYS"),
        ({}, f"shop={digested(KEY)}", "all keys in CALMTUNE_PROXY_KEYS are digests"),
        ({}, "shop=sha256:abc", "64 hexadecimal digits"),
        ({"public_address": "0.0.0.0:8443"}, f"shop={KEY}", "has an address of its own"),
        ({"allowed_addresses": "10.0.0.0/8"}, f"shop={KEY}", "cannot be kept by skyserve"),
        ({"engine": "transformers"}, f"shop={KEY}", "serves with vLLM"),
        ({"tls_key": "key.pem"}, f"shop={KEY}", "go together"),
        ({"tls_key": "no.pem", "tls_certificate": "no.pem"}, f"shop={KEY}", "there is no file"),
        ({"replicas": 3, "most_replicas": 2}, f"shop={KEY}", "less than deployment.replicas"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_costs(tmp_path, skyserve, session, monkeypatch, answers, keys, sentence):
    monkeypatch.setenv(VARIABLE, keys)
    with pytest.raises(UsageError, match=sentence):
        await deployment.run(context(session, tmp_path, **answers))
    assert skyserve.passed == []


async def test_without_skypilot_a_sentence_says_what_to_install(tmp_path, skyserve, session, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "sky", None)
    with pytest.raises(UsageError, match=r"pip install 'calmtune\[cloud\]'"):
        await deployment.run(context(session, tmp_path))


@hollow
async def test_the_balancer_gets_the_certificate_by_its_path(tmp_path, skyserve, session, monkeypatch):
    pair = make_self_signed(tmp_path / "tls", ["models.example.org"])
    monkeypatch.setattr(service_module, "_until_it_answers", _nothing)
    monkeypatch.setattr(service_module, "_look", _seen)
    step = context(session, tmp_path, tls_certificate=str(pair.certificate), tls_key=str(pair.key))
    outputs = await deployment.run(step)
    (one,) = skyserve.books["services"].values()
    assert one["task"]["service"]["tls"] == {"keyfile": str(pair.key), "certfile": str(pair.certificate)}
    assert "PRIVATE KEY" not in json.dumps(one)
    assert outputs.summary["endpoint"] == f"https://models.example.org:{one['port']}/v1"
    assert any("point that name at 127.0.0.1" in event.text for event in step.told if isinstance(event, Notice))


async def _nothing(*_: object) -> None: ...


async def _seen(*_: object):
    from core.wizard.step import Gate

    return Gate("only the four addresses are open", "", "", True), []


async def test_a_replica_that_fails_is_told_with_its_log_and_ended(tmp_path, skyserve, session):
    broken = context(session, tmp_path, python=skyserve.python)
    (skyserve.folder / "bin" / "vllm").write_text("#!/bin/sh\necho CUDA out of memory\nexit 3\n")
    with pytest.raises(StepFailed, match=r"did not come up \(1 failed\) and was ended; what its replicas said is in .*service.log"):
        await deployment.run(broken)
    assert "CUDA out of memory" in (session.folder / "runs" / "service.log").read_text()
    assert skyserve.books["services"] == {}


# Once, and ended


def keeper_of(session) -> JobKeeper:
    return JobKeeper(session.journal, session.places, "one", "deployment", "abcdef0123456789")


def serve(session, task=TASK) -> str:
    return asyncio.run(keeper_of(session).serve("service", task, Resources(gpus=1), PLACE)).id


def in_a_process(skyserve, session, at: int | None) -> int:
    """Serve in a process of its own, killed at a boundary."""
    child = os.fork()
    if child == 0:
        try:
            skyserve.at = at
            journal = Journal(session.folder / "session.db")
            serve(SimpleNamespace(journal=journal, places=Places(session.folder / "jobs")))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@hollow
@pytest.mark.parametrize("boundary", [1, 2, 3])
def test_killed_at_a_boundary_and_run_again_there_is_one(tmp_path, skyserve, session, boundary):
    assert in_a_process(skyserve, session, boundary) == -signal.SIGKILL
    told = still_rented(session.journal)
    assert len(told) == (0 if boundary == 1 else 1), "a service nobody waits for is not forgotten"
    name = serve(session)
    assert skyserve.books["brought_up"] == [name]
    (job,) = session.journal.jobs()
    assert (job.id, job.state, job.target) == (name, "launched", PLACE)
    asyncio.run(keeper_of(session).stop("service"))
    assert skyserve.books["services"] == {}


@hollow
def test_asked_for_otherwise_the_earlier_one_is_ended_first(tmp_path, skyserve, session):
    before = serve(session)
    assert serve(session) == before
    after = serve(session, {**TASK, "envs": {VARIABLE: "other"}})
    assert skyserve.passed.count("before up") == 2
    assert list(skyserve.books["services"]) == [after]
    assert after != before


@hollow
def test_what_was_asked_for_and_is_not_listed_yet_is_not_forgotten(skyserve, session):
    session.journal.launching("one-deployment-abcdef01-service", "deployment", "abcdef01", PLACE)
    skyserve.coming = True
    assert still_rented(session.journal) == ["a service is coming up; `calmtune stop one` ends it"]
    assert session.places[PLACE].list() == []
    assert not skyserve.coming, "it was waited for"
    assert still_rented(session.journal) == []
    assert [job.state for job in session.journal.jobs()] == ["stopped"]


@hollow
def test_two_sessions_know_their_own(tmp_path, skyserve, session):
    name = serve(session)
    other = SkyServeTarget("aws", "0123456789ab")
    assert other.list() == []
    assert other.release(although_busy=True)
    assert list(skyserve.books["services"]) == [name]


@hollow
def test_a_budget_that_is_too_small_for_an_hour(tmp_path, skyserve):
    said: list[str] = []
    with pytest.raises(BudgetReached, match=r"an hour of 2 replicas costs \$1.60 or more"):
        SkyServeTarget("aws", "scope", left_usd=lambda: 1.0).serve("job", TASK, Resources(gpus=1), said.append)
    assert skyserve.books["services"] == {}
    SkyServeTarget("aws", "scope", left_usd=lambda: 16.0).serve("job", TASK, Resources(gpus=1), said.append)
    assert "2 to 8 replicas, such as AWS g6.xlarge at $0.80 an hour: $1.60 to $6.40 an hour" in "".join(said)
    assert "enough for 10 hours of 2 replicas" in "".join(said)


def test_a_place_that_serves_runs_no_jobs():
    target = SkyServeTarget("aws", "scope")
    for refused in (target.facts, target.free_port, lambda: target.prepare(Resources())):
        with pytest.raises(UsageError, match="serves models and runs no jobs"):
            refused()


# What it costs


@hollow
def test_replicas_and_the_controller_are_metered_and_never_forgotten(tmp_path, skyserve, session):
    name = serve(session)
    watch = MachineWatch(session.journal, session.places, "deployment", None)
    watch.look()
    assert {rent.name: rent.usd_per_hour for rent in rents(session.journal)} == {f"{name}-1": 2.0, CONTROLLER.name: 0.25}
    assert usd_per_hour(session.journal) == 2.25
    serving, shared = still_rented(session.journal)
    assert serving.startswith(f"{name} serves with 1 ready at $2.00 an hour, $0.00 so far")
    assert serving.endswith("`calmtune stop one` ends it")
    assert "`sky down sky-serve-controller-rig` ends it" in shared
    skyserve.down(name)
    assert still_rented(session.journal) == []
    assert usd_per_hour(session.journal) == 0
    (job,) = session.journal.jobs()
    assert job.state == "stopped"


@hollow
def test_the_budget_ends_services(tmp_path, skyserve, session):
    serve(session)
    (target,) = session.places.rented
    assert not target.release(), "one that serves is not idle"
    watch = MachineWatch(session.journal, session.places, "deployment", 0.0)
    watch._end_machines()
    assert skyserve.books["services"] == {}


@hollow
def test_the_doctor_tells_of_services_and_ends_those_of_nobody(tmp_path, skyserve, session, monkeypatch):
    monkeypatch.setattr(rented, "_is_used", lambda: True)
    monkeypatch.setattr(rented, "_rented", lambda home: iter(()))
    name = serve(session)
    row, controller = rented.look_at_rented(session.folder.parent)
    assert row["what"] == f"service {name}"
    assert "ready, 1 ready, at http://127.0.0.1:" in row["state"]
    assert row["state"].endswith("of session one; `calmtune stop one` ends it")
    assert controller["what"] == f"rented {CONTROLLER.name}"
    said: list[str] = []
    with pytest.raises(UsageError, match="belongs to session one"):
        rented.end_rented(name, session.folder.parent, said.append)
    (row, _) = rented.look_at_rented(tmp_path / "elsewhere")
    assert row["state"].endswith(f"of no session here; `calmtune doctor --end {name}` ends it")
    rented.end_rented(name, tmp_path / "elsewhere", said.append)
    assert skyserve.books["services"] == {}


@hollow
def test_services_that_cannot_be_asked_for_are_told_where_there_may_be_any(tmp_path, skyserve, session, monkeypatch):
    def services(names=None):
        raise ProviderError("no network")

    monkeypatch.setattr(rented, "_is_used", lambda: True)
    monkeypatch.setattr(rented, "_rented", lambda home: iter(()))
    monkeypatch.setattr(serve_sdk, "controllers", list)
    serve(session)
    monkeypatch.setattr(serve_sdk, "services", services)
    (row,) = rented.look_at_rented(session.folder.parent)
    assert row == {"what": "services", "state": "cannot be asked for, and may be there: no network"}
    assert rented.look_at_rented(tmp_path / "elsewhere") == []


def test_a_record_of_skyserve_is_read():
    status = SimpleNamespace(value="READY")
    replica = {
        "replica_id": 1, "name": "calmtune-x-1", "status": SimpleNamespace(value="NOT_READY"), "launched_at": 12, "is_spot": True,
        "resources_str_full": "1x(gpus=A100-80GB:8, cpus=96, mem=1152, p4de.24xlarge, image_id=x, disk=256, ports=['8000'])",
        "infra": "AWS (us-east-1a)",
    }  # fmt: skip
    coming = {"replica_id": 2, "name": "calmtune-x-2", "status": SimpleNamespace(value="PENDING"), "launched_at": None}
    record = {"name": "calmtune-x", "status": status, "endpoint": "http://1.2.3.4:30001", "replica_info": [replica, coming]}
    service = serve_sdk._service(record)
    assert (service.state, service.sentence) == ("ready", "1 not ready, 1 pending")
    (machine,) = service.machines
    assert (machine.instance, machine.gpu_type, machine.gpus, machine.spot) == ("p4de.24xlarge", "A100-80GB", 8, True)
    assert serve_sdk._service({**record, "endpoint": "http://None"}).endpoint == ""


