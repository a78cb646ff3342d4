"""Runs a Python program as a member of a job on several nodes, by torchrun. Standard library only: it lies beside the job.

    python member.py NODES PROCESSES PROGRAM ARGUMENTS…

starts PROCESSES of the program on this node, which find those of the other nodes at the address of the first one. Which node this is, the
addresses and what keeps the job apart from others are in the environment, as SkyPilot puts them there
(docs.skypilot.co/en/latest/running-jobs/distributed-jobs.html).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence

_PORTS = (20_000, 30_000)
"""Below those that systems give away, above those that SkyPilot's own programs take."""


def torchrun(nodes: str, processes: str, program: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Arguments of the interpreter. The rendezvous is static, so that the first node's processes have the lowest ranks and lead."""
    id = hashlib.sha256(environment["SKYPILOT_TASK_ID"].encode()).hexdigest()[:16]  # another one each time a job is started
    first, last = _PORTS
    return [
        "-m", "torch.distributed.run", "--nnodes", nodes, "--nproc_per_node", processes, "--rdzv_id", id,
        "--node_rank", environment["SKYPILOT_NODE_RANK"], "--master_addr", environment["SKYPILOT_NODE_IPS"].split()[0],
        "--master_port", str(first + int(id, 16) % (last - first)), *program,
    ]  # fmt: skip


def main() -> None:
    nodes, processes, *program = sys.argv[1:]
    try:
        arguments = torchrun(nodes, processes, program, os.environ)
    except KeyError as missing:
        print(f"this is no node of a job on several: {missing.args[0]} is not in the environment", flush=True)
        sys.exit(1)
    os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main()
