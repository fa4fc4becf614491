"""Ends of runs that were seen on real engines, and what each of them asks for."""

from __future__ import annotations

import pytest

from snapenv.launch.ending import Ending, Victim, Xid, explain_end, find_victims, find_xids

CONTAINER = "0f2c8d9a4b5e"
GROUP = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,"
WHOLE = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
OF_CONTAINER = f"oom_memcg=/docker/{CONTAINER},task_memcg=/docker/{CONTAINER},"
LOG = (
    f"{GROUP}{OF_CONTAINER}task=pt_data_worker,pid=77,uid=0",
    f"{WHOLE}task_memcg=/system.slice/docker-{CONTAINER}.scope,task=python,pid=78,uid=1000",
    f"{WHOLE}task_memcg=/user.slice,task=a, b,pid=79,uid=1000",
    "Memory cgroup out of memory: Killed process 77 (pt_data_worker) total-vm:1kB",
    "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', GPU has fallen off the bus.",
)
WORKER = "RuntimeError: DataLoader worker (pid(s) 77) exited unexpectedly"
BUS = (
    "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient "
    "shared memory (shm).\nRuntimeError: DataLoader worker (pid 9) is killed by signal: Bus error."
)
FULL = "RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 384 vs 342"
ENDS = {
    "the program itself": (
        Ending(exit_code=137, out_of_memory=True, memory_bytes=300_000_000),
        ("the kernel ended it, as its memory of 300.0 MB was full", "--memory"),
    ),
    "a worker of a data loader, by its words": (
        Ending(exit_code=1, out_of_memory=True, output=WORKER),
        ("a worker of its data loader", "workers="),
    ),
    "a worker of a data loader, by the kernel's": (
        Ending(exit_code=1, victims=(Victim(task="pt_data_worker", whole_machine=False),)),
        ("a worker of its data loader", "/dev/shm counts too"),
    ),
    "a child, and the program ended well": (
        Ending(exit_code=0, out_of_memory=True),
        ("one of its processes", "Free memory"),
    ),
    "a child by name": (
        Ending(exit_code=9, victims=(Victim(task="convert", whole_machine=False),)),
        ("the kernel ended convert", "Free memory"),
    ),
    "the whole machine": (
        Ending(
            exit_code=137,
            memory_bytes=1,
            victims=(Victim(task="python", whole_machine=True),),
        ),
        ("the machine's memory was full", "Free memory of the machine"),
    ),
    "shared memory": (
        Ending(exit_code=1, output=BUS, shm_bytes=64_000_000),
        ("its shared memory of 64.0 MB was full", "--shm-size"),
    ),
    "a bus error without a word": (Ending(exit_code=135), ("its shared memory", "--shm-size")),
    "a full disk in torch's words": (Ending(exit_code=1, output=FULL), ("no room", "df -h")),
    "a full disk by the disk": (
        Ending(exit_code=1, output=FULL, full=("/home/me/runs",)),
        ("no room to write to /home/me/runs", "df -h /home/me/runs"),
    ),
    "a lost GPU by the kernel": (
        Ending(exit_code=1, xids=(Xid(number=79, gpu="PCI:0000:3b:00"),)),
        ("Xid 79", "--resume"),
    ),
    "an Xid of the program's own": (
        Ending(
            exit_code=1,
            xids=(Xid(number=31, gpu="PCI:0000:3b:00"),),
            output="CUDA error: an illegal memory access was encountered",
        ),
        ("the GPU stopped", "dmesg"),
    ),
    "lost GPUs by NVML": (
        Ending(exit_code=255, output="Failed to initialize NVML: Unknown Error"),
        ("lost its GPUs", "cdi"),
    ),
    "killed": (Ending(exit_code=137), ("it was killed", "docker events")),
    "ended by another signal": (Ending(exit_code=143), ("SIGTERM", "last lines")),
}


KINDS = {
    "memory": (
        "the program itself",
        "a worker of a data loader, by its words",
        "a worker of a data loader, by the kernel's",
        "a child, and the program ended well",
        "a child by name",
        "the whole machine",
    ),
    "shared-memory": ("shared memory", "a bus error without a word"),
    "disk-full": ("a full disk in torch's words", "a full disk by the disk"),
    "gpu-failed": ("a lost GPU by the kernel",),
    "gpu-stopped": ("an Xid of the program's own",),
    "gpus-lost": ("lost GPUs by NVML",),
    "killed": ("killed",),
    "sigterm": ("ended by another signal",),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in names]
)
def test_an_end_has_a_kind_by_which_it_is_counted(kind: str, name: str) -> None:
    cause = explain_end(ENDS[name][0])

    assert cause
    assert cause.kind == kind


@pytest.mark.parametrize(("ending", "words"), ENDS.values(), ids=ENDS)
def test_an_end_is_explained(ending: Ending, words: tuple[str, str]) -> None:
    cause = explain_end(ending)

    assert cause
    assert words[0] in cause.reason
    assert words[1] in cause.fix


@pytest.mark.parametrize(
    "ending",
    [
        Ending(exit_code=0, output=FULL),
        Ending(exit_code=3, output="my own words"),
        Ending(exit_code=255),
        Ending(exit_code=130, signalled=True),
        Ending(exit_code=1, output=FULL + "\nand then" * 20),
    ],
)
def test_what_ended_well_or_for_reasons_of_its_own_is_not_explained(ending: Ending) -> None:
    assert explain_end(ending) is None


def test_the_kernel_names_those_of_one_container() -> None:
    victims = find_victims(LOG, container=CONTAINER, pid=None)

    assert victims == [
        Victim(task="pt_data_worker", whole_machine=False),
        Victim(task="python", whole_machine=True),
    ]


def test_the_kernel_names_a_process() -> None:
    assert find_victims(LOG, container=None, pid=79) == [Victim(task="a, b", whole_machine=True)]
    assert find_victims(LOG, container=None, pid=None) == []


def test_the_driver_names_a_gpu() -> None:
    assert find_xids(LOG) == [Xid(number=79, gpu="PCI:0000:3b:00")]
