"""How containers get GPUs: what is chosen, and CDI on a real engine with a stub of NVML."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker.types import DeviceRequest, Ulimit
from msgspec.structs import replace

from snapenv.engine.docker import DockerEngine
from snapenv.engine.gpus import GpuAccess, choose_gpus, choose_shm
from snapenv.errors import EngineError
from snapenv.model.hardware import Driver
from snapenv.model.host import HostEngine
from snapenv.model.image import BuildContext
from snapenv.probe.probe import probe
from tests.engines.engine import SPARE_BRIDGE, start_engine
from tests.engines.newer_engine import (
    CONTAINERD,
    NEWER,
    Newer,
    cdi_spec,
    newer_address,
    start_newer,
)
from tests.engines.place import Place
from tests.engines.provide import provide
from tests.fakes import FakeTask
from tests.probe.environments import compile_library
from tests.probe.nvml import NVML

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.carried import Content
    from snapenv.model.image import Image
    from snapenv.ports import Target

GIB = 1 << 30
CAP_SYS_RESOURCE = 24
ALL, ONE = "nvidia.com/gpu=all", "nvidia.com/gpu=0"
MIG = "MIG-4b2cd5a1-6c8b-5b6c-9d64-3b1f2f6b2a10"
GPU = "GPU-8de47821-9ed2-75e0-acc4-4646a03f8b35"
MEMLOCK = Ulimit(name="memlock", soft=-1, hard=-1)
STACK = Ulimit(name="stack", soft=67108864, hard=67108864)
RUNTIMES = ("nvidia", "runc")
NOTHING = HostEngine(version="28.2.0", api=(1, 50), address="unix:///d.sock", local=True)
TOOLKIT = replace(NOTHING, runtimes=RUNTIMES)
CDI = replace(NOTHING, cdi=True, cdi_devices=("amd.com/gpu=0", ONE, ALL))
CDI_UNTOLD = replace(NOTHING, cdi=True, version="28.1.1")  # where it was turned on
NO_SPEC = replace(NOTHING, cdi=True, cdi_devices=("amd.com/gpu=0",))
BOTH = replace(CDI, runtimes=RUNTIMES)
ROOTLESS = replace(TOOLKIT, rootless=True)
ROOTLESS_BOTH = replace(BOTH, rootless=True)
ROOTLESS_NO_SPEC = replace(NO_SPEC, rootless=True, runtimes=RUNTIMES)
LOOK = """
import json, os, resource, sys
print("FACTS " + json.dumps({
    "variables": {name: os.environ.get(name) for name in sys.argv[1:]},
    "memlock": resource.getrlimit(resource.RLIMIT_MEMLOCK),
    "stack": resource.getrlimit(resource.RLIMIT_STACK),
}))
"""
NOT_IN_IMAGE = {"__pycache__", "site-packages", "test", "tests", "idlelib", "lib2to3", "ensurepip"}


def hook(*ids: str) -> tuple[DeviceRequest, ...]:
    which = {"device_ids": list(ids)} if ids else {"count": -1}
    return (DeviceRequest(capabilities=[["gpu"]], **which),)


def cdi(*names: str) -> tuple[DeviceRequest, ...]:
    return (DeviceRequest(driver="cdi", device_ids=[f"nvidia.com/gpu={name}" for name in names]),)


@pytest.mark.parametrize(
    ("wanted", "engine", "requests", "runtime"),
    [
        ("all", NOTHING, hook(), None),
        ("all", TOOLKIT, hook(), "nvidia"),
        ("all", BOTH, hook(), "nvidia"),
        ("all", NO_SPEC, hook(), None),
        ("0,1", TOOLKIT, hook("0", "1"), "nvidia"),
        (GPU, TOOLKIT, hook(GPU), "nvidia"),
        (MIG, TOOLKIT, hook(MIG), "nvidia"),
        ("all", CDI, cdi("all"), None),
        ("all", CDI_UNTOLD, cdi("all"), None),
        ("0,1", CDI, cdi("0", "1"), None),
        (GPU, CDI, cdi(GPU), None),
        (MIG, CDI, cdi(MIG), None),
        ("all", ROOTLESS, hook(), "nvidia"),
        ("all", ROOTLESS_BOTH, cdi("all"), None),
        ("all", ROOTLESS_NO_SPEC, hook(), "nvidia"),
    ],
)
def test_cdi_is_chosen_where_the_hook_does_not_serve_or_not_well(
    wanted: str, engine: HostEngine, requests: tuple[DeviceRequest, ...], runtime: str | None
) -> None:
    chosen = choose_gpus(wanted, engine)

    assert (chosen.requests, chosen.runtime) == (requests, runtime)


@pytest.mark.parametrize("engine", [NOTHING, TOOLKIT, CDI, ROOTLESS_BOTH])
def test_who_wants_no_gpu_gets_none_whatever_the_image_asks_for(engine: HostEngine) -> None:
    expected = GpuAccess(variables={"NVIDIA_VISIBLE_DEVICES": "void"})

    assert choose_gpus(None, engine) == expected


@pytest.mark.parametrize("wanted", ["all", "1", MIG])
def test_inside_no_variable_names_a_gpu_that_is_not_there(wanted: str) -> None:
    assert choose_gpus(wanted, TOOLKIT).variables == {"CUDA_VISIBLE_DEVICES": None}
    assert choose_gpus(wanted, CDI).variables == {
        "CUDA_VISIBLE_DEVICES": None,
        "NVIDIA_VISIBLE_DEVICES": "void",
    }


def test_an_engine_without_root_is_not_asked_to_raise_a_limit() -> None:
    assert choose_gpus("all", CDI).ulimits == (MEMLOCK, STACK)
    assert choose_gpus("all", ROOTLESS_BOTH).ulimits == (STACK,)


@pytest.mark.parametrize(("memory", "shm"), [(None, GIB), (GIB, GIB), (64 * GIB, 32 * GIB)])
def test_shared_memory_is_half_of_the_memory_and_never_small(memory: int | None, shm: int) -> None:
    assert choose_shm(replace(NOTHING, memory_bytes=memory)) == shm


@pytest.mark.parametrize(
    ("engine", "way"),
    [
        (NOTHING, None),
        (replace(NOTHING, version="dev"), None),
        (TOOLKIT, "runtime"),
        (NO_SPEC, None),
        (BOTH, "runtime"),
        (CDI, "cdi"),
        (CDI_UNTOLD, "cdi"),
        (ROOTLESS, "runtime"),
        (ROOTLESS_BOTH, "cdi"),
        (ROOTLESS_NO_SPEC, "runtime"),
    ],
)
def test_an_engine_says_how_it_hands_on_a_gpu(engine: HostEngine, way: str | None) -> None:
    assert engine.injects == way


def python_context() -> BuildContext:
    """Return a build of this machine's Python and the libraries that it loads, and nothing else."""
    library = Path(sysconfig.get_path("stdlib"))
    program = Path(sys.executable).resolve()
    modules = [
        path
        for path in library.rglob("*")
        if path.suffix in {".py", ".so"} and not NOT_IN_IMAGE & {*path.relative_to(library).parts}
    ]
    compiled = [path for path in modules if path.suffix == ".so"]
    said = subprocess.run(["ldd", program, *compiled], capture_output=True, text=True, check=True)
    loaded = {Path(one) for one in re.findall(r"(/\S+\.so[.\d]*) \(", said.stdout)}
    libc = next(path for path in loaded if path.name.startswith("libc.so")).parent
    loader = next(path for path in loaded if path.name.startswith("ld-linux"))
    lines = (
        "FROM scratch",
        "COPY --chmod=755 root /",
        'ENV PYTHONHOME="/python" PATH="/python/bin" LD_LIBRARY_PATH="/python/lib"',
        'ENV NVIDIA_VISIBLE_DEVICES="all" CUDA_VISIBLE_DEVICES="7"',
    )
    files: dict[str, Content] = {
        "Dockerfile": "\n".join(lines).encode(),
        "root/python/bin/python3": program,
        f"root{loader}": loader,
        **{f"root{libc}/{path.name}": path for path in loaded},
        **{f"root/python/lib/{library.name}/{path.relative_to(library)}": path for path in modules},
    }
    return BuildContext(files=files, labels={})


@pytest.fixture(scope="module", params=[NEWER, CONTAINERD], ids=lambda newer: newer.name)
def newer(request: pytest.FixtureRequest) -> Newer:
    newer: Newer = request.param
    assert provide(lambda place: start_newer(place, newer))
    return newer


@pytest.fixture
def engine(newer: Newer, monkeypatch: pytest.MonkeyPatch) -> DockerEngine:
    monkeypatch.setenv("DOCKER_HOST", newer_address(Place.default(), newer))
    return DockerEngine()


@pytest.fixture(scope="module")
def image(newer: Newer) -> Iterator[Image]:
    """Python alone; its variables ask for all GPUs, and name one that is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", newer_address(Place.default(), newer))
        engine = DockerEngine()
        image = engine.build(python_context(), FakeTask())
    yield image
    engine.remove(image.id)


@pytest.fixture
def library() -> Iterator[Path]:
    """The stub of NVML, where the engine sees it."""
    with tempfile.TemporaryDirectory(prefix="nvml-", dir=Place.default().folder) as folder:
        yield compile_library(Path(folder, "libnvidia-ml.so.550.54.15"), NVML)


def specification(library: Path) -> dict[str, object]:
    """Write what nvidia-ctk writes, for a machine with two GPUs and this NVML."""
    inside = sysconfig.get_config_var("MULTIARCH") or "."
    mount = {
        "hostPath": str(library),
        "containerPath": f"/usr/lib/{inside}/libnvidia-ml.so.1",
        "options": ["ro", "nosuid", "nodev", "bind"],
    }

    def device(name: str, gpus: int, mig: int = 0) -> dict[str, object]:
        variables = [f"STUB_GPUS={gpus}", f"STUB_MIG={mig}"]
        return {"name": name, "containerEdits": {"env": variables}}

    return {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "containerEdits": {"mounts": [mount]},
        "devices": [device("0", 1), device("1", 1), device("all", 2), device(MIG, 1, mig=1)],
    }


@pytest.fixture
def with_gpus(newer: Newer, library: Path) -> Iterator[None]:
    """An engine whose CDI specification gives two GPUs."""
    with cdi_spec(Place.default(), newer, specification(library)):
        yield


def look(target: Target, **asked: str) -> dict[str, Any]:
    names = ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
    done = target.run(["python3", "-c", LOOK, *names], environment=asked)
    found: dict[str, Any] = json.loads(done.stdout.rpartition("FACTS ")[2])
    return found


@pytest.mark.docker
@pytest.mark.usefixtures("with_gpus")
def test_gpus_of_a_cdi_specification_are_seen_by_the_probe(
    engine: DockerEngine, image: Image
) -> None:
    seen = {
        gpus: probe(engine.image_target(image, python="python3", gpus=gpus)).hardware
        for gpus in ("all", "0", MIG, None)
    }

    names = {gpus: [gpu.name for gpu in hardware.gpus] for gpus, hardware in seen.items()}
    h200, l4 = "NVIDIA H200", "NVIDIA L4"
    assert names == {"all": [h200, l4], "0": [h200], MIG: [h200], None: []}
    assert [seen[gpus].gpus[0].mig for gpus in ("0", MIG)] == [False, True]
    for gpus in ("all", "0", MIG):
        driver = seen[gpus].driver
        assert driver
        assert (driver.version, driver.cuda) == ("550.54.15", (12, 4))
    assert seen[None].driver is None


def may_raise_limits(newer: Newer) -> bool:
    """Tell whether an engine may; one that runs in a container of somebody else's may not."""
    pid = (Place.default().run / f"{newer.name}.pid").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    effective = int(re.findall(r"CapEff:\s+(\w+)", status)[0], 16)
    return bool(effective >> CAP_SYS_RESOURCE & 1)


@pytest.mark.docker
@pytest.mark.usefixtures("with_gpus")
def test_a_container_with_gpus_has_room_and_no_variable_that_misleads(
    engine: DockerEngine, image: Image, newer: Newer
) -> None:
    target = engine.image_target(image, python="python3", gpus="1")
    without = engine.image_target(image, python="python3", gpus=None)

    assert look(target) == {
        "variables": {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": None},
        "memlock": [-1, -1] if may_raise_limits(newer) else look(without)["memlock"],
        "stack": [67108864, 67108864],
    }
    assert look(target, CUDA_VISIBLE_DEVICES="0")["variables"]["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.docker
@pytest.mark.usefixtures("with_gpus")
def test_a_gpu_that_a_cdi_specification_has_not_is_named(
    engine: DockerEngine, image: Image
) -> None:
    with pytest.raises(EngineError, match="knows no GPU 7") as caught:
        engine.image_target(image, python="python3", gpus="0,7").run(["python3", "-V"])

    assert "nvidia-smi -L" in caught.value.hint


@pytest.mark.docker
def test_a_specification_of_another_driver_is_told_with_the_file_that_is_gone(
    engine: DockerEngine, image: Image, newer: Newer, library: Path
) -> None:
    gone = library.with_name("libnvidia-ml.so.535.00.00")

    with (
        cdi_spec(Place.default(), newer, specification(gone)),
        pytest.raises(EngineError, match="CDI specification .* names what is not there") as caught,
    ):
        engine.image_target(image, python="python3", gpus="all").run(["python3", "-V"])

    assert gone.name in caught.value.message
    assert "nvidia-ctk cdi generate" in caught.value.hint


@pytest.mark.docker
def test_an_engine_without_a_toolkit_is_told_in_one_way(engine: DockerEngine, image: Image) -> None:
    for gpus in ("all", "0,1", MIG):
        with pytest.raises(EngineError, match="has no way to give a container GPUs") as caught:
            engine.image_target(image, python="python3", gpus=gpus).run(["python3", "-V"])

        assert "nvidia-ctk runtime configure --runtime=docker" in caught.value.hint


HOOK = """\
#!{python}
import json, subprocess, sys
state = json.load(sys.stdin)
config = json.load(open(state["bundle"] + "/config.json"))
inside = config["root"]["path"] + "/python/lib/libnvidia-ml.so.1"
open(inside, "w").close()
enter = ["nsenter", "--target", str(state["pid"]), "--mount"]
subprocess.run([*enter, "mount", "--bind", "{library}", inside], check=True)
open("{log}", "a").write(json.dumps(dict(one.split("=", 1) for one in config["process"]["env"])))
open("{log}", "a").write("\\n")
"""


@pytest.fixture
def with_hook(own: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine of its own that finds a hook where NVIDIA's would be; give what it was told."""
    library = compile_library(tmp_path / "libnvidia-ml.so.1", NVML)
    hook, log = tmp_path / "bin" / "nvidia-container-runtime-hook", tmp_path / "told"
    hook.parent.mkdir()
    hook.write_text(HOOK.format(python=sys.executable, library=library, log=log))
    hook.chmod(0o755)
    monkeypatch.setenv("PATH", str(hook.parent), prepend=os.pathsep)
    start_engine(own, bridge=SPARE_BRIDGE)
    return log


@pytest.mark.docker
def test_where_nvidias_hook_is_it_is_told_of_the_very_gpus(with_hook: Path) -> None:
    engine = DockerEngine()
    image = engine.build(python_context(), FakeTask())

    seen = {
        gpus: probe(engine.image_target(image, python="python3", gpus=gpus)).hardware.driver
        for gpus in ("all", "0,1", MIG, None)
    }

    driver = Driver(version="550.54.15", cuda=(12, 4))
    assert seen == {"all": driver, "0,1": driver, MIG: driver, None: None}
    told = [json.loads(line) for line in with_hook.read_text().splitlines()]
    # Where a limit cannot be raised, each is told twice: the container is made anew without.
    wanted = dict.fromkeys(one["NVIDIA_VISIBLE_DEVICES"] for one in told)
    assert list(wanted) == ["all", "0,1", MIG]
    assert not any("CUDA_VISIBLE_DEVICES" in one for one in told)
