from __future__ import annotations

import json

from msgspec.structs import replace

from snapenv.model.image import Image, ImageRef
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.workspace.layer import (
    LAYER_LABEL,
    Installed,
    Locks,
    Parts,
    Tools,
    constraints,
    kernel_spec,
    kernel_words,
    layer_context,
    layer_digest,
    parse_installed,
)

BOTH = Parts(tools=True, ssh=True)
IMAGE = Image(
    id="sha256:1", diff_ids=("sha256:2",), labels={}, variables={}, machine="amd64", size_bytes=1
)
REF = ImageRef(repository="example.com/team/env", tag="train")
TOOLS = Tools(
    locks=Locks(work="jupyterlab==4\n", kernel="ipykernel==7\n"),
    work={"lib/python3.11/site-packages/jupyterlab/__init__.py": b""},
    kernel={"ipykernel/__init__.py": b""},
)


def installed(**versions: str) -> Installed:
    return Installed(python="3.11", machine="x86_64", versions=versions)


def dockerfile(parts: Parts) -> str:
    context = layer_context(
        REF, parts, TOOLS if parts.tools else None, digest="0" * 64, certificates=None
    )
    return bytes(context.files["Dockerfile"]).decode()


def test_a_version_is_demanded_as_an_index_has_it() -> None:
    has = installed(torch="2.6.0+cu126", numpy="2.2.4", odd="not a version")

    assert constraints(has) == "numpy==2.2.4\ntorch==2.6.0\n"


def test_what_the_environment_has_is_not_in_the_kernel_s_lock() -> None:
    words = kernel_words(installed(psutil="7.0.0"))

    assert words[-2:] == ("--no-emit-package", "psutil")


def test_a_banner_before_the_answer_does_no_harm() -> None:
    has = installed(numpy="2.2.4")
    answer = '{"python": "3.11", "machine": "x86_64", "versions": {"numpy": "2.2.4"}}'

    assert parse_installed(f"== PyTorch ==\nsnapenv-installed {answer}\n") == has


def test_the_kernel_is_the_environment_s_python() -> None:
    spec = json.loads(kernel_spec("/env/bin/python", "/w"))

    assert spec["argv"][:4] == ["/env/bin/python", "/w/workspace.pyz", "kernel", "/w/kernel"]
    assert "env" not in spec  # PYTHONPATH would reach what a cell starts


def test_an_image_of_a_workspace_is_no_environment() -> None:
    context = layer_context(REF, BOTH, TOOLS, digest="0" * 64, certificates=None)

    assert f'LABEL {SNAPSHOT_LABEL}=""' in dockerfile(BOTH)
    assert context.labels[LAYER_LABEL] == "0" * 64


def test_what_is_not_asked_for_is_not_in_the_image() -> None:
    assert "apt-get" not in dockerfile(Parts(tools=True, ssh=False))
    assert "compileall" not in dockerfile(Parts(tools=False, ssh=True))


def test_another_environment_or_other_parts_are_another_image() -> None:
    images = [IMAGE, replace(IMAGE, diff_ids=("sha256:3",))]
    digests = {
        layer_digest(one, parts) for one in images for parts in (BOTH, replace(BOTH, ssh=False))
    }

    assert len(digests) == 4
