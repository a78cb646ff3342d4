"""moto as the API of AWS, refusing machines when told to, and the metadata service of its machines: `ec2_api.py FOLDER PORT METADATA_PORT`.

`FOLDER/refusals.json` names what is not to be had, by region and kind ({"us-east-1": ["spot", "ondemand"]}); each machine asked for is
written to `FOLDER/asked.jsonl`. While `FOLDER/powerless` exists, machines have no role.
"""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.wrappers import Request, Response

CODE = "InsufficientInstanceCapacity"
ROLE = "skypilot-v1"


def main() -> None:
    folder, port, metadata_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    threading.Thread(target=run_simple, args=("127.0.0.1", metadata_port, metadata), kwargs={"threaded": True}, daemon=True).start()
    run_simple("127.0.0.1", port, refusing(DomainDispatcherApplication(create_backend_app), folder), threaded=True)


def refusing(api: Callable[..., Iterable[bytes]], folder: Path) -> Callable[..., Iterable[bytes]]:
    """The API without the machines that are not to be had."""

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if b"Action=RunInstances" not in body:
            return api(environ, start)
        asked = dict(urllib.parse.parse_qsl(body.decode()))
        signed = re.search(r"Credential=[^/]+/\d+/([^/]+)/ec2", environ.get("HTTP_AUTHORIZATION", ""))
        region = signed.group(1) if signed else ""
        kind = "spot" if any("MarketType" in name for name in asked) else "ondemand"
        refused = kind in json.loads((folder / "refusals.json").read_text()).get(region, [])
        with (folder / "asked.jsonl").open("a") as file:
            told = {"region": region, "kind": kind, "instance": asked.get("InstanceType"), "refused": refused}
            print(json.dumps(told), file=file, flush=True)
        if not refused:
            return api(environ, start)
        message = f"We currently do not have sufficient {asked.get('InstanceType')} capacity."
        text = (
            f"<Response><Errors><Error><Code>{CODE}</Code><Message>{message}</Message></Error></Errors>"
            "<RequestID>refused</RequestID></Response>"
        )
        return Response(text, 500, mimetype="text/xml")(environ, start)

    return application


@Request.application
def metadata(request: Request) -> Response:
    """What a machine may ask about itself: the credentials of its role (docs.aws.amazon.com, instance metadata)."""
    if request.path == "/latest/api/token":
        return Response("token", headers={"x-aws-ec2-metadata-token-ttl-seconds": "21600"})
    roles = "/latest/meta-data/iam/security-credentials/"
    if request.path == roles:
        return Response(ROLE)
    if request.path == roles + ROLE and not (Path(sys.argv[1]) / "powerless").exists():
        return Response(
            json.dumps({
                "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "role", "SecretAccessKey": "role", "Token": "role",
                "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z",
            })
        )  # fmt: skip
    return Response("", 404)


main()
