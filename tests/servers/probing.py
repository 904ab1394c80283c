"""What answers to a pod: connections tried from inside, as its namespace sees the network."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from platform_pipelines.compute.pod_specs import PodSettings, pod_spec
from platform_pipelines.core.road.compute_profiles import seed_profiles
from tests.servers.for_pods import HOST, IMAGE, Space
from tests.servers.installed_chart import PROFILES

# A policy holds some seconds after its pod starts: what answers only before that does not count.
SOURCE = """
import json, socket, sys, time
from concurrent.futures import ThreadPoolExecutor
def tried(address):
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return "answers"
    except OSError as error:
        return type(error).__name__
targets = json.loads(sys.argv[1])
time.sleep(6)
with ThreadPoolExecutor(16) as pool:
    print(json.dumps(dict(zip(targets, pool.map(tried, targets.values())))))
"""


def probe(space: Space, targets: Mapping[str, str], **labels: str) -> set[str]:
    """The names of those `host:port` that answer to a pod with these labels."""
    spec = light_pod("python", "-c", SOURCE, json.dumps(dict(targets)))
    said = space.run(spec, seconds=90, labels=labels)
    found: dict[str, str] = json.loads(said.strip().splitlines()[-1])
    assert set(found) == set(targets)
    return {name for name, how in found.items() if how == "answers"}


def light_pod(*command: str) -> dict[str, Any]:
    """A pod of the platform's image that does something small, restricted as a stage's."""
    profile = seed_profiles()["cpu"].model_copy(update={**PROFILES["cpu"], "memory": "256Mi"})
    spec = pod_spec(profile, PodSettings("", IMAGE), arguments=[])
    spec["terminationGracePeriodSeconds"] = 1
    spec["containers"][0]["command"] = list(command)
    return spec


@contextmanager
def listening() -> Iterator[str]:
    """A server on this machine that anybody may reach: its `host:port`."""
    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=_accept, args=(server,), daemon=True)
        thread.start()
        yield f"{HOST}:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return
