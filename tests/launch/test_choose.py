from __future__ import annotations

from pathlib import Path

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError, UsageError
from snapenv.launch.choose import Caller, Known, LaunchRequirements, Machine, choose_launch
from snapenv.launch.settings import Settings
from snapenv.model.launch import Gpu, InImage, InVenv, Launch, Mount, Port, User
from tests.fakes import DESCRIBED
from tests.steady import steady

FOLDER = Path("/home/ann/project")
ASKED = LaunchRequirements(
    run="261128-192551-4f2a",
    created="2026-11-28T19:25:51Z",
    argv=("yolo", "train", "data=/data/d.yaml"),
    folder=FOLDER,
    runs=FOLDER / "runs",
)
KNOWN = Known(
    place=InImage(id="sha256:1", name="snapenv:train-yolov8.4.190-base-cpu"),
    snapshot="sha256:2",
    variables={"HOME": "/home/snapenv"},
    settings=Settings("Ultralytics/settings.json", '{"runs_dir": "runs", "sync": true}'),
)
VENV = replace(
    KNOWN,
    place=InVenv(folder="/srv/env"),
    variables={"PATH": "/bin"},
    scratch="/s",
    bytecode="/kept",
)
MACHINE = Machine(engine=DESCRIBED, cpus=8, memory_bytes=64 << 30)
GPUS = (Gpu(number=0, uuid="GPU-a"), Gpu(number=1, uuid="GPU-b"))
ANN = Caller(uid=4242, gid=4243, name="ann", groups=(4243, 100))


def choose(
    asked: LaunchRequirements = ASKED, known: Known = KNOWN, machine: Machine = MACHINE
) -> Launch:
    return choose_launch(asked, known, machine, ANN).launch


def test_a_program_runs_as_its_caller_in_the_callers_folder() -> None:
    launch = choose()

    assert launch.user == User(uid=4242, gid=4243, name="ann", home="/home/snapenv", groups=(100,))
    assert launch.mounts == (Mount(source=str(FOLDER), target=str(FOLDER)),)
    assert launch.folder == str(FOLDER)
    assert launch.variables["HOME"] == "/home/snapenv"
    assert launch.variables["YOLO_AUTOINSTALL"] == "false"
    assert launch.variables["PYTHONNOUSERSITE"] == "1"


def test_data_is_read_only_and_results_outside_of_the_folder_are_mounted_too() -> None:
    launch = choose(replace(ASKED, data=(Path("/data"),), runs=Path("/results")))

    assert launch.mounts[1:] == (
        Mount(source="/results", target="/results"),
        Mount(source="/data", target="/data", read_only=True),
    )


@pytest.mark.parametrize("folder", ["/", "/usr", "/opt/snapenv/venv", "/etc/project", "/tmp"])
def test_a_folder_that_would_hide_the_environment_is_refused(folder: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(replace(ASKED, folder=Path(folder)))

    assert steady(caught.value, folder=folder) == wording(
        "FOLDER cannot be mounted at FOLDER: it would hide parts of the image"
    )


@pytest.mark.parametrize("folder", ["/root", "/tmp/x", "/opt/work", "/home/snapenv/x", "/data"])
def test_other_folders_are_mounted(folder: str) -> None:
    assert choose(replace(ASKED, folder=Path(folder))).folder == folder


def test_shared_memory_is_8_gib_or_a_quarter() -> None:
    small = replace(MACHINE, memory_bytes=8 << 30)

    assert choose().shm_bytes == 8 << 30
    assert choose(machine=small).shm_bytes == 2 << 30
    assert choose(replace(ASKED, memory_bytes=4 << 30)).shm_bytes == 1 << 30
    assert choose(replace(ASKED, host_ipc=True)).shm_bytes is None


def test_a_limit_of_cpus_is_one_of_threads_and_workers_and_says_so() -> None:
    chosen = choose_launch(replace(ASKED, cpus=2.5), KNOWN, MACHINE, ANN)

    assert chosen.launch.cpus == 2.5
    assert chosen.launch.argv[-1] == "workers=3"
    assert chosen.launch.variables["OMP_NUM_THREADS"] == "3"
    assert chosen.notes == ("--cpus 2.5: OMP_NUM_THREADS=3 PYTHON_CPU_COUNT=3 workers=3",)


def test_workers_that_were_asked_for_stay() -> None:
    argv = (*ASKED.argv, "workers=0")

    assert choose(replace(ASKED, cpus=1.0, argv=argv)).argv == argv


def test_gpus_are_asked_for_by_uuid() -> None:
    machine = replace(MACHINE, gpus=GPUS)

    assert choose(machine=machine).gpus == "all"
    assert choose(machine=machine).gpu_uuids == ("GPU-a", "GPU-b")
    assert choose(replace(ASKED, device="1"), machine=machine).gpus == "GPU-b"
    assert choose(replace(ASKED, device="MIG-x"), machine=machine).gpus == "MIG-x"
    assert choose(replace(ASKED, device="cpu"), machine=machine).gpus is None
    assert choose().gpus is None


@pytest.mark.parametrize("device", ["2", "GPU-c", "0,7"])
def test_a_gpu_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        choose(replace(ASKED, device=device), machine=replace(MACHINE, gpus=GPUS))

    assert caught.value.message.rpartition(" ")[0] == wording("this machine has no GPU")


@pytest.mark.parametrize(
    "asked",
    [
        replace(ASKED, memory_bytes=65 << 30),
        replace(ASKED, shm_bytes=65 << 30),
        replace(ASKED, memory_bytes=1 << 30, shm_bytes=2 << 30),
        replace(ASKED, cpus=9.0),
    ],
)
def test_more_than_there_is_is_refused(asked: LaunchRequirements) -> None:
    with pytest.raises(UsageError):
        choose(asked)


def test_an_engine_without_root_has_its_user_as_root_and_raises_few_limits() -> None:
    launch = choose(machine=replace(MACHINE, engine=replace(DESCRIBED, rootless=True)))

    assert launch.user == User(uid=0, gid=0, name="root", home="/home/snapenv")
    assert [limit.name for limit in launch.limits] == ["stack"]


def test_a_limit_that_the_engine_cannot_hold_is_said() -> None:
    engine = replace(DESCRIBED, limits_memory=False, limits_cpus=False)
    asked = replace(ASKED, cpus=2, memory_bytes=2 << 30)
    without = replace(MACHINE, engine=engine)

    notes = choose_launch(asked, KNOWN, without, ANN).notes

    assert [note.partition(":")[0] for note in notes if "cgroups" in note] == [
        "--memory 2.1 GB is not held",
        "--cpus 2 limits threads alone",
    ]
    assert choose_launch(ASKED, KNOWN, without, ANN).notes == ()
    assert len(choose_launch(asked, KNOWN, MACHINE, ANN).notes) == 1


def test_with_selinux_the_container_goes_without_labels() -> None:
    launch = choose(machine=replace(MACHINE, engine=replace(DESCRIBED, selinux=True)))

    assert launch.security == ("no-new-privileges", "label=disable")


def test_an_engine_elsewhere_mounts_nothing_and_that_is_said() -> None:
    machine = replace(MACHINE, engine=replace(DESCRIBED, local=False))
    chosen = choose_launch(ASKED, KNOWN, machine, ANN)

    assert (chosen.launch.mounts, chosen.launch.folder) == ((), None)
    assert chosen.notes[0] == wording(
        "the engine is on another machine, memory: /home/ann/project is not there, and what the program writes is lost at its end, but for a --mount"
    )
    with pytest.raises(UsageError) as caught:
        choose(replace(ASKED, data=(Path("/data"),)), machine=machine)

    assert str(caught.value) == wording(
        "/data is on this machine, and the engine is on another one, memory"
    )


def test_a_venv_is_activated_and_nothing_leads_its_python_elsewhere() -> None:
    launch = choose(known=VENV, machine=replace(MACHINE, engine=None))

    assert launch.variables["PATH"] == "/srv/env/bin:/bin"
    assert launch.variables["PYTHONPATH"] is None
    assert launch.variables["PYTHONPYCACHEPREFIX"] == "/kept"
    assert (launch.mounts, launch.user, launch.limits) == ((), None, ())


def test_a_prefix_of_conda_is_activated_as_conda_does_it() -> None:
    launch = choose(known=replace(VENV, activation={"CONDA_PREFIX": "/srv/env", "MKL": None}))

    assert launch.variables["CONDA_PREFIX"] == "/srv/env"
    assert launch.variables["PATH"] == "/srv/env/bin:/bin"
    assert (launch.variables["VIRTUAL_ENV"], launch.variables["MKL"]) == (None, None)


@pytest.mark.parametrize(("device", "visible"), [("auto", None), ("cpu", ""), ("1", "GPU-b")])
def test_a_venv_shows_the_gpus_that_were_asked_for(device: str, visible: str | None) -> None:
    machine = replace(MACHINE, engine=None, gpus=GPUS)

    launch = choose(replace(ASKED, device=device), known=VENV, machine=machine)

    assert launch.variables.get("CUDA_VISIBLE_DEVICES") == visible


def test_what_only_a_container_has_is_refused_of_a_venv() -> None:
    asked = replace(ASKED, ports=(Port(inside=8888),))

    with pytest.raises(UsageError) as caught:
        choose(asked, known=VENV, machine=replace(MACHINE, engine=None))

    assert str(caught.value) == wording(
        "--port is of containers, and a venv runs on this machine as it is"
    )


def test_the_settings_of_ultralytics_are_its_own_with_ours_replaced() -> None:
    files = choose().files

    assert files == {
        "/tmp/snapenv/config/Ultralytics/settings.json": (
            b'{\n  "runs_dir": "/home/ann/project/runs",\n  "sync": false\n}'
        )
    }


def test_settings_of_old_versions_are_yaml() -> None:
    text = "settings_version: 0.0.4\nruns_dir: /x\nsync: true\ntensorboard: false\n"
    known = replace(KNOWN, settings=Settings("settings.yaml", text))

    assert choose(known=known).files == {
        "/tmp/snapenv/config/settings.yaml": (
            b'settings_version: 0.0.4\nruns_dir: "/home/ann/project/runs"\nsync: false\n'
            b"tensorboard: true\n"
        )
    }
