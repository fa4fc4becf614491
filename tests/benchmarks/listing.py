"""``list --remote --fits`` over a registry's tags, and ``doctor`` of one, beside the same by hand.

The registry is the tests' own, on loopback, and the images are small ones with configs of 11 kB. By
hand means one session of requests and 16 threads, which read each manifest and each config, and
decide nothing. snapenv has read the configs in the round that is not counted, and reads the
manifests anew.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from snapenv.model.host import NEEDS_LABEL
from snapenv.model.needs_label import make_label
from snapenv.model.oci import OCI_MANIFEST
from snapenv.model.snapshot import SNAPSHOT_LABEL
from tests.benchmarks.bench import SNAPENV, home_of
from tests.benchmarks.measure import Work
from tests.registry.pushed import Shelf
from tests.samples import sample_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.results import Table

NOWHERE = "unix:///nonexistent/docker.sock"
BY_HAND_NAME = "the same requests by hand"
BY_HAND = """
import sys
from concurrent.futures import ThreadPoolExecutor
import requests
from requests.adapters import HTTPAdapter
url, accept = sys.argv[1], {"Accept": "application/vnd.oci.image.manifest.v1+json"}
session = requests.Session()
session.trust_env = False
session.mount("http://", HTTPAdapter(pool_maxsize=16))
def read(tag):
    manifest = session.get(f"{url}/manifests/{tag}", headers=accept).json()
    return session.get(f"{url}/blobs/{manifest['config']['digest']}").json()
tags = session.get(f"{url}/tags/list?n=1000").json()["tags"]
with ThreadPoolExecutor(16) as pool:
    print(len(list(pool.map(read, tags))))
"""
OF_ONE_NAME = "its manifest and config by hand"
OF_ONE = """
import sys
import requests
url, accept = sys.argv[1], {"Accept": "application/vnd.oci.image.manifest.v1+json"}
session = requests.Session()
session.trust_env = False
manifest = session.get(f"{url}/manifests/{sys.argv[2]}", headers=accept).json()
print(session.get(f"{url}/blobs/{manifest['config']['digest']}").json()["config"]["Labels"])
"""


def measure(bench: Bench) -> Iterator[Table]:
    works = listings(bench, 200)
    title = "200 tags of a registry on loopback"
    yield bench.table(title, works, rounds=7, against=BY_HAND_NAME)
    title = "Whether one image of that registry runs here"
    yield bench.table(title, questions(bench), rounds=9, against=OF_ONE_NAME)


def questions(bench: Bench) -> list[Work]:
    """Return the requests for one image by hand, and doctor, with and without an engine."""
    shelf = fill(bench.registry, 1)
    host, _, path = shelf.repository.partition("/")
    tag = "train-yolov8.4.0-base-cu130"
    words = (*SNAPENV, "doctor", f"{shelf.repository}:{tag}")
    home = home_of(bench.folder / "doctor")
    return [
        Work(
            name=OF_ONE_NAME, argv=(sys.executable, "-c", OF_ONE, f"http://{host}/v2/{path}", tag)
        ),
        *(
            Work(name=name, argv=words, environment={**home, "DOCKER_HOST": address}, codes=(0, 1))
            for name, address in (
                ("snapenv doctor", bench.engine),
                ("snapenv doctor, no Docker", NOWHERE),
            )
        ),
    ]


def listings(bench: Bench, tags: int) -> list[Work]:
    """Return the listings of a new repository with so many tags, by hand and by snapenv."""
    shelf = fill(bench.registry, tags)
    host, _, path = shelf.repository.partition("/")
    by_hand = (sys.executable, "-c", BY_HAND, f"http://{host}/v2/{path}")
    words = {
        "snapenv list --fits": ("--fits", bench.engine),
        "snapenv list --remote": ("--remote", bench.engine),
        "snapenv list --remote, no Docker": ("--remote", NOWHERE),
    }
    return [
        Work(name=BY_HAND_NAME, argv=by_hand),
        *(
            Work(
                name=name,
                argv=(*SNAPENV, "list", word, shelf.repository),
                environment={**home_of(bench.folder / f"list-{tags}"), "DOCKER_HOST": address},
            )
            for name, (word, address) in words.items()
        ),
    ]


def fill(registry: str, tags: int) -> Shelf:
    """Push as many images, each with a config of its own."""
    shelf = Shelf.new(registry)
    labels = {SNAPSHOT_LABEL: f"sha256:{'a' * 64}", NEEDS_LABEL: make_label(sample_lock())}
    first = shelf.push("first", media_type=OCI_MANIFEST, labels=labels, layer_bytes=1600)
    manifest = json.loads(first.manifest)
    for number in range(tags):
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": f"2026-03-01T12:{number // 60:02}:{number % 60:02}Z",
            "config": {"Labels": {**labels, "padding": "x" * 10_000}},
            "rootfs": {"type": "layers", "diff_ids": list(first.diff_ids)},
        }
        described = shelf.put_blob(json.dumps(config).encode(), manifest["config"]["mediaType"])
        content = json.dumps({**manifest, "config": described}).encode()
        shelf.put_manifest(f"train-yolov8.4.{number}-base-cu130", content, OCI_MANIFEST)
    return shelf
