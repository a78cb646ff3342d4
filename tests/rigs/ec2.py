"""AWS on loopback for unmodified SkyPilot: moto answers as the cloud, and each machine it gives out is booted as a real one.

A machine is a set of namespaces over this machine's own files, with a real sshd on the address moto gave it (127.10.0.0/16 and the
like); it runs whatever SkyPilot installs there. Needs root, `unshare`, the packages openssh-server, rsync, netcat-openbsd and sudo, and
moto. Prices are the rig's own. Machines share this machine's ports: one at a time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioning.machine import free_port
from tests.rigs.node_programs import write_programs
from tests.rigs.sky_home import sky_at_home, write_catalog

HERE = Path(__file__).parent
PYTHON = "/opt/rig/python"
"""An interpreter for jobs on the machines that has the packages of the one running here."""
REGIONS = {"us-east-1": 10, "us-east-2": 20, "us-west-2": 30}
"""With the second number of their addresses."""
ZONES = {"us-east-1": "use1-az", "us-east-2": "use2-az", "us-west-2": "usw2-az"}
ROLE = "skypilot-v1"
_SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin"
_DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL")


@dataclass
class Ec2:
    """The running rig."""

    folder: Path
    port: int
    metadata_port: int
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a user of AWS has in their environment."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ACCESS_KEY_ID": "rig", "AWS_SECRET_ACCESS_KEY": "rig",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip

    def client(self, region: str, service: str = "ec2") -> Any:
        import boto3

        return boto3.client(
            service, region_name=region, endpoint_url=f"http://127.0.0.1:{self.port}", aws_access_key_id="rig", aws_secret_access_key="rig"
        )

    def refuse(self, **kinds: list[str]) -> None:
        """What is not to be had from now on, by region (us_east_1=["spot"]); everything else is."""
        told = {region.replace("_", "-"): kind for region, kind in kinds.items()}
        (self.folder / "refusals.json").write_text(json.dumps(told))

    def give_role(self, given: bool) -> None:
        """Whether machines have the role that lets them end themselves."""
        path = self.folder / "powerless"
        path.unlink(missing_ok=True) if given else path.touch()

    def asked(self) -> list[dict[str, Any]]:
        """Every machine asked for: region, kind, instance, refused."""
        path = self.folder / "asked.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def machines(self) -> list[tuple[str, str]]:
        """Region and id of what runs."""
        return [(region, one["InstanceId"]) for region, one in self._running()]

    def terminate(self, region: str, id: str) -> None:
        """As the cloud takes back a machine, or its owner ends it in the console."""
        self.client(region).terminate_instances(InstanceIds=[id])

    def _running(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for region in REGIONS:
            for reservation in self.client(region).describe_instances()["Reservations"]:
                found += [(region, one) for one in reservation["Instances"] if one["State"]["Name"] in ("pending", "running")]
        return found

    def boot_and_bury(self) -> None:
        """Bring the machines in line with what the cloud says there is."""
        there = {one["InstanceId"]: (region, one) for region, one in self._running()}
        for id in [id for id in self.nodes if id not in there]:
            node = self.nodes.pop(id)
            node.kill()
            node.wait()
        for id, (region, one) in there.items():
            if id not in self.nodes:
                self._boot(region, one)

    def _boot(self, region: str, one: dict[str, Any]) -> None:
        id = one["InstanceId"]
        folder = self.folder / "nodes" / id
        folder.mkdir(parents=True)
        told = self.client(region).describe_instance_attribute(InstanceId=id, Attribute="userData")["UserData"]["Value"]
        (user,) = yaml.safe_load(base64.b64decode(told))["users"]
        (folder / "keys").write_text("".join(f"{key.strip()}\n" for key in user["ssh_authorized_keys"]))
        command = [
            *_DIE_WITH_US, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "bash", str(HERE / "ec2_node.sh"), str(folder),
            one["PrivateIpAddress"], user["name"], str(self.folder / "programs"), str(self.folder / "cache"),
            f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.metadata_port}",
        ]  # fmt: skip
        with (folder / "console.log").open("wb") as console:
            self.nodes[id] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)


def require_ec2() -> None:
    """Skips the test with the reason where the rig cannot be run."""
    missing = [name for name in ("unshare", "setpriv", "sshd", "nc", "rsync", "sudo") if shutil.which(name, path=_SBIN) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)} (packages util-linux openssh-server netcat-openbsd rsync sudo)")
    if os.geteuid() != 0:
        pytest.skip("machines in namespaces need root")
    pytest.importorskip("moto", reason="moto is not installed")


@contextlib.contextmanager
def running_ec2(**config: object) -> Iterator[Ec2]:
    """The rig, with SkyPilot knowing it and nothing else, for as long as the block lasts; `config` is more of SkyPilot's own."""
    require_ec2()
    folder = Path(tempfile.mkdtemp(prefix="calmtune-ec2-"))
    folder.chmod(0o755)
    (folder / "cache").mkdir(mode=0o777)
    (folder / "cache").chmod(0o777)
    write_programs(folder / "programs", cache="/opt/rig-cache")
    rig = Ec2(folder, free_port(), free_port())
    rig.refuse()
    done = threading.Event()
    with (folder / "api.log").open("wb") as log:
        command = [*_DIE_WITH_US, sys.executable, str(HERE / "ec2_api.py"), str(folder), str(rig.port), str(rig.metadata_port)]
        api = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    keeper = threading.Thread(target=_keep, args=(rig, done))
    try:
        _wait_for_api(rig, api)
        _furnish(rig)
        keeper.start()
        _write_prices(folder / "home")
        with sky_at_home(folder / "home", "aws", {**_config(), **config}, rig.environment):
            yield rig
    finally:
        done.set()
        if keeper.ident:
            keeper.join()
        for process in (*rig.nodes.values(), api):
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _keep(rig: Ec2, done: threading.Event) -> None:
    while not done.wait(0.5):
        rig.boot_and_bury()


def _wait_for_api(rig: Ec2, api: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and api.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{rig.port}/moto-api/", timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError(f"moto does not come up: {(rig.folder / 'api.log').read_text()[-800:]}")


def _furnish(rig: Ec2) -> None:
    """What an account has that SkyPilot has been used with: a network on loopback in each region, and the role of its machines."""
    for region, number in REGIONS.items():
        ec2 = rig.client(region)
        vpc = ec2.create_vpc(CidrBlock=f"127.{number}.0.0/16")["Vpc"]["VpcId"]
        ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "rig"}])
        for index, zone in enumerate(ec2.describe_availability_zones()["AvailabilityZones"]):
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"127.{number}.{index}.0/24", AvailabilityZone=zone["ZoneName"])
    iam = rig.client("us-east-1", "iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    iam.create_instance_profile(InstanceProfileName=ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)


def _config() -> dict[str, object]:
    return {"aws": {"vpc_names": "rig", "use_internal_ips": True, "ssh_proxy_command": "nc %h %p"}}


def _write_prices(home: Path) -> None:
    """Spot is cheapest in us-east-1 and dearest in us-west-2, so who looks for the cheapest meets them in that order."""
    machines = []
    for rank, region in enumerate(REGIONS):
        for zone in (1, 2):
            for instance, gpu, gpus, cpus, memory, price in (
                ("m6i.large", "", "", 2, 8, 3.0), ("m6i.2xlarge", "", "", 8, 32, 12.0), ("p4d.24xlarge", "A100", 8, 96, 1152, 22.0),
            ):  # fmt: skip
                told = {"Gpus": [{"Name": gpu, "Manufacturer": "NVIDIA", "Count": gpus, "MemoryInfo": {"SizeInMiB": 40960}}]}
                machines.append({
                    "InstanceType": instance, "AcceleratorName": gpu, "AcceleratorCount": gpus, "vCPUs": cpus, "MemoryGiB": memory,
                    "GpuInfo": str({**told, "TotalGpuMemoryInMiB": 8 * 40960}) if gpu else "", "Price": price,
                    "SpotPrice": round(price * (0.3 + 0.1 * rank + 0.01 * zone), 4), "Region": region,
                    "AvailabilityZone": f"{ZONES[region]}{zone}", "Arch": "x86_64",
                })  # fmt: skip
    write_catalog(home, "aws/vms.csv", machines)
    tags = ("custom-gpu-ubuntu", "custom-cpu-ubuntu", "gpu-ubuntu-2004", "custom-gpu-ubuntu-cuda13", "custom-cpu-ubuntu-2204")
    images = [
        {
            "Tag": f"skypilot:{tag}", "Region": region, "OS": "ubuntu", "OSVersion": "22.04", "ImageId": "ami-1e749f67",
            "CreationDate": "20241104", "BaseImageId": "ami-005fc0f236362e99f",
        }
        for tag in tags
        for region in REGIONS
    ]  # fmt: skip
    write_catalog(home, "aws/images.csv", images)
    write_catalog(
        home, "aws/instance_quota_mapping.csv",
        [{"InstanceType": "p4d.24xlarge", "OnDemandInstanceCode": "L-417A185B", "SpotInstanceCode": "L-7212CCBC"}],
    )  # fmt: skip
    gpu = {"AcceleratorName": "A100", "AcceleratorCount": 8, "AcceleratorMemory": "40GB", "Clouds": "AWS"}
    write_catalog(home, "common/accelerators.csv", [gpu])
