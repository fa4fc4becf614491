"""Files for Docker Compose, read by the real program and run on both engines."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.model.image import ImageRef
from snapenv.model.launch import Mount, Port
from snapenv.render.compose import ComposeOptions, render_compose
from snapenv.workspace.serving import Wanted, serve_in_container
from snapenv_workspace import served
from tests.render.workloads import IMAGE, LABEL, content, differing, workload

if TYPE_CHECKING:
    from snapenv.model.rendering import Rendered

PROGRAMS = Path(sys.executable).parent
TRAINING = ("yolo", "train", "data=coco.yaml", "epochs=3")
OWN = ComposeOptions()
TOOLS = ImageRef.parse(f"example.com/team/env:workspace@sha256:{'70' * 32}")


def write(rendered: Rendered, folder: Path) -> Path:
    for file in rendered.files:
        (folder / file.name).write_text(file.content, encoding="utf-8")
    return folder


def compose(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the real docker compose in a folder, without this process's variables."""
    return subprocess.run(
        [PROGRAMS / "docker-compose", *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def resolved(rendered: Rendered, folder: Path, **variables: str) -> dict[str, Any]:
    """Return the services as docker compose reads them, those of all profiles."""
    words = ("--profile", "*", "config", "--format", "json")
    done = compose(write(rendered, folder), *words, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def devices(service: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the GPUs that a service reserves."""
    reserved = service.get("deploy", {}).get("resources", {}).get("reservations", {})
    found: list[dict[str, Any]] = reserved.get("devices", [])
    return found


def test_a_training_on_gpus_is_rendered_as_the_goldens() -> None:
    asked = workload(
        *TRAINING, data=("/datasets/coco",), cpus=8.0, memory_bytes=32 << 30, project="vision"
    )

    assert differing(render_compose(asked, OWN), "compose") == {}


def test_without_gpus_there_is_no_file_for_them(tmp_path: Path) -> None:
    rendered = render_compose(workload(device="cpu"), OWN)

    assert differing(rendered, "compose-cpu") == {}
    services = resolved(rendered, tmp_path)
    assert set(services) == {"workspace", "jupyter", "tensorboard"}
    assert services["workspace"]["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_all_gpus_or_some_are_reserved_where_programs_run(tmp_path: Path) -> None:
    services = resolved(render_compose(workload(*TRAINING), OWN), tmp_path)

    every = {"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}
    assert {name: devices(service) for name, service in services.items()} == {
        "workspace": [every],
        "run": [every],
        "jupyter": [every],
        "tensorboard": [],
    }

    named = resolved(render_compose(workload(device="1,GPU-5e"), OWN), tmp_path)

    assert [device["device_ids"] for device in devices(named["workspace"])] == [["1", "GPU-5e"]]


def test_a_line_of_the_settings_turns_the_gpus_off(tmp_path: Path) -> None:
    write(render_compose(workload(), OWN), tmp_path)
    settings = tmp_path / ".env"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(f"{text}COMPOSE_FILE=compose.yaml\n", encoding="utf-8")

    done = compose(tmp_path, "config", "--format", "json")

    assert devices(json.loads(done.stdout)["services"]["workspace"]) == []


@pytest.mark.parametrize(("machine", "platform"), [("arm64", "linux/arm64"), ("amd64", None)])
def test_an_image_for_arm64_says_so_to_the_engine(
    tmp_path: Path, machine: str, platform: str | None
) -> None:
    work = workload(*TRAINING, label=replace(LABEL, machine=machine))

    programs = resolved(render_compose(work, OWN), tmp_path)

    assert {one.get("platform") for one in programs.values()} == {platform}


def test_an_image_for_the_cpu_asks_for_no_gpus() -> None:
    label = type(LABEL)(torch="2.11.0+cpu")

    names = [file.name for file in render_compose(workload(label=label), OWN).files]

    assert names == ["compose.yaml", ".env"]


def test_every_value_arrives_as_it_was_given(tmp_path: Path) -> None:
    odd = 'it\'s $HOME, ${X:-y}: #1 "é" \\ *'
    asked = workload(
        *("python", "train.py", odd),
        variables={"ODD": odd, "ON": "on", "NUMBER": "010"},
        data=(f"/data/{odd}", "/data/plain"),
        mounts=(
            Mount(source="weights", target="/weights", kind="volume"),
            Mount(source="/over/there", target="/here"),
        ),
        ports=(Port(inside=9000), Port(inside=9001, host=19001, address="0.0.0.0")),
        user=(1234, 100),
        shm_bytes=768 << 20,
        grace_s=30,
        project=odd,
    )

    services = resolved(render_compose(asked, OWN), tmp_path)
    run = services["run"]

    # docker compose writes a dollar doubled where it prints what it has read
    literal = odd.replace("$", "$$")
    assert run["command"] == ["python", "train.py", literal]
    assert run["environment"]["ODD"] == literal
    assert (run["environment"]["ON"], run["environment"]["NUMBER"]) == ("on", "010")
    assert run["labels"] == {"io.snapenv.project": literal}
    assert run["image"] == str(IMAGE)
    assert run["user"] == "1234:100"
    assert run["shm_size"] == str(768 << 20)
    assert run["stop_grace_period"] == "30s"
    assert "ports" not in run
    assert [
        (one["type"], one["source"], one["target"], one.get("read_only", False))
        for one in run["volumes"]
    ] == [
        ("bind", str(tmp_path), "/workspace", False),
        ("bind", f"/data/{literal}", f"/data/{literal}", True),
        ("bind", "/data/plain", "/data/plain", True),
        ("volume", "weights", "/weights", False),
        ("bind", "/over/there", "/here", False),
    ]
    assert [
        (port["host_ip"], port.get("published"), port["target"])
        for port in services["workspace"]["ports"]
    ] == [("127.0.0.1", None, 9000), ("0.0.0.0", "19001", 9001)]


def test_limits_stand_for_memory_and_swap_together(tmp_path: Path) -> None:
    rendered = render_compose(workload(cpus=1.5, memory_bytes=8 << 30), OWN)

    service = resolved(rendered, tmp_path)["workspace"]

    assert service["deploy"]["resources"]["limits"] == {"cpus": 1.5, "memory": str(8 << 30)}
    assert service["memswap_limit"] == str(8 << 30)
    assert service["shm_size"] == str(2 << 30)
    assert service["ulimits"] == {"stack": {"soft": 64 << 20, "hard": 64 << 20}}


def test_tools_of_another_image_serve_where_they_are_asked_for(tmp_path: Path) -> None:
    options = ComposeOptions(bind="0.0.0.0", tools_image=TOOLS)

    services = resolved(render_compose(workload(), options), tmp_path)

    assert {name: service["image"] for name, service in services.items()} == {
        "workspace": str(IMAGE),
        "jupyter": str(TOOLS),
        "tensorboard": str(TOOLS),
    }
    assert services["jupyter"]["ports"][0]["host_ip"] == "0.0.0.0"
    assert "--ServerApp.allow_remote_access=True" in services["jupyter"]["command"][2]


def test_the_image_of_a_workspace_serves_results_as_it_does_of_itself(tmp_path: Path) -> None:
    asked = workload(runs="/results")
    services = resolved(render_compose(asked, OWN), tmp_path)
    script = services["tensorboard"]["command"][2]
    (line,) = (line for line in script.splitlines() if " serve " in line)
    wanted = Wanted(services=("tensorboard",), runs="/results")

    words = shlex.split(line.strip().removeprefix("exec "))
    own = serve_in_container(asked.launch, wanted, "sha256:1").argv

    assert words[: words.index("serve")] == list(own[: own.index("serve")])
    assert served.parse(words[words.index("serve") + 1 :]) == served.parse(
        list(own[own.index("serve") + 1 :])
    )


def test_tools_without_a_digest_are_refused() -> None:
    options = ComposeOptions(tools_image=ImageRef.parse("example.com/team/env:workspace"))

    with pytest.raises(UsageError, match="--tools-image example.com/team/env:workspace"):
        render_compose(workload(), options)


def test_the_files_are_of_the_schema_of_compose(tmp_path: Path) -> None:
    rendered = render_compose(workload(*TRAINING, cpus=2.0, memory_bytes=1 << 30), OWN)
    write(rendered, tmp_path)

    done = subprocess.run(
        [
            *(PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"),
            *("compose.yaml", "compose.gpu.yaml"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert content(rendered, "compose.yaml").startswith("# example.com/team/env:")
