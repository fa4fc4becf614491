from __future__ import annotations

from typing import Any

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import UsageError
from snapenv.launch.portable import PortableRequest, portable_launch
from snapenv.model.launch import InImage, Launch, Limit, Mount
from snapenv.model.needs_label import NeedsLabel
from tests.render.workloads import IMAGE, LABEL

NO_UTF8 = b"a\xff".decode(errors="surrogateescape")


def launch(**wishes: Any) -> Launch:  # noqa: ANN401 - the fields of a PortableRequest
    return portable_launch(PortableRequest(**wishes), image=IMAGE, label=LABEL)


@pytest.mark.parametrize(
    "wishes",
    [
        {"argv": ("echo", NO_UTF8)},
        {"variables": {"A": NO_UTF8}},
        {"variables": {"A B": "c"}},
        {"variables": {"1A": "c"}},
        {"folder": f"/{NO_UTF8}"},
        {"folder": "/a\nb: c"},
        {"runs": "/a\x7f"},
        {"data": ("/a\tb",)},
        {"mounts": (Mount(source="/a\rb", target="/c"),)},
        {"mounts": (Mount(source="a b: c", target="/c", kind="volume"),)},
        {"mounts": (Mount(source="/a", target="/c\x85"),)},
    ],
)
def test_what_no_text_file_holds_is_a_usage_error(wishes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        launch(**wishes)


def test_the_errors_name_what_cannot_be_written() -> None:
    errors = []
    for wishes in ({"argv": (NO_UTF8,)}, {"variables": {"A B": ""}}, {"folder": "/a\nb"}):
        with pytest.raises(UsageError) as raised:
            launch(**wishes)
        errors.append((raised.value.message, raised.value.hint))

    assert errors == wording(
        [
            (
                "'a\\xff' is not UTF-8, and the files are",
                "Name it in UTF-8, or put it into a file that the command reads.",
            ),
            (
                "--env 'A B' is not a variable name",
                "Use letters, digits and _, with no digit first.",
            ),
            (
                "the path '/a\\nb' has control characters, or is not UTF-8",
                "Name another path: these cannot be written into the files.",
            ),
        ]
    )


def test_any_other_text_is_taken_as_it_is() -> None:
    made = launch(argv=("sh", "-c", "a\nb"), variables={"_A1": "é\n😀"}, folder="/data/a b é")

    assert made.argv == ("sh", "-c", "a\nb")
    assert made.variables["_A1"] == "é\n😀"
    assert made.folder == "/data/a b é"


def test_nothing_of_this_machine_is_in_a_launch_that_asks_for_nothing() -> None:
    assert launch() == Launch(
        run="",
        place=InImage(id=str(IMAGE.digest), name=str(IMAGE)),
        argv=(),
        folder="/workspace",
        variables={"PYTHONNOUSERSITE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"},
        gpus="all",
        shm_bytes=8 << 30,
        limits=(Limit(name="stack", soft=64 << 20, hard=64 << 20),),
    )


@pytest.mark.parametrize(
    ("device", "gpus"),
    [("auto", None), ("all", "all"), ("0,GPU-5e", "0,GPU-5e")],
)
def test_an_environment_for_the_cpu_gets_the_gpus_that_are_asked_for(
    device: str, gpus: str | None
) -> None:
    label = NeedsLabel(torch="2.11.0+cpu")

    made = portable_launch(PortableRequest(device=device), image=IMAGE, label=label)

    assert made.gpus == gpus
    assert launch(device="cpu").gpus is None


def test_results_in_the_project_need_no_mount_of_their_own() -> None:
    data = Mount(source="/data", target="/data", read_only=True)

    within = launch(folder="/projects/yolo", runs="/projects/yolo/runs", data=("/data",))
    outside = launch(folder="/projects/yolo", runs="/results", data=("/data",))

    assert (within.folder, within.mounts) == ("/projects/yolo", (data,))
    assert outside.mounts == (data, Mount(source="/results", target="/results"))


def test_a_limit_of_cpus_is_told_to_the_libraries_and_to_ultralytics() -> None:
    made = launch(argv=("yolo", "train"), cpus=3.5, memory_bytes=8 << 30)

    assert made.argv == ("yolo", "train", "workers=4")
    assert (made.variables["OMP_NUM_THREADS"], made.variables["PYTHON_CPU_COUNT"]) == ("4", "4")
    assert made.shm_bytes == 2 << 30
