from __future__ import annotations

import pytest
from inline_snapshot import snapshot as wording

from snapenv.engine.failures import start_failure
from snapenv.engine.start_causes import _RULES, find_cause
from snapenv.errors import EngineError

RUNC = (
    "OCI runtime create failed: runc create failed: unable to start container process: error "
    "during container init: error running prestart hook #0: exit status 1, stdout: , stderr: "
)
CLI = f"{RUNC}nvidia-container-cli: "
TOLD = (  # what an engine says, a word of the message, a word of the hint
    (
        f"{CLI}initialization error: wsl environment detected but no adapters were found",
        "WSL",
        "wsl --update",
    ),
    (
        f"{CLI}initialization error: driver rpc error: timed out: unknown",
        "in time",
        "-pm 1",
    ),
    (
        f"{CLI}detection error: nvml error: insufficient permissions",
        "may not ask",
        "chmod 666",
    ),
    (
        (
            f"{CLI}initialization error: load library failed: libcuda.so.1: cannot open "
            "shared object file: permission denied"
        ),
        "may not read",
        "restorecon",
    ),
    (
        (
            f"{CLI}initialization error: load library failed: libnvidia-ml.so.1: cannot "
            "open shared object file: no such file"
        ),
        "not found",
        "ldconfig",
    ),
    (
        f"{CLI}initialization error: nvml error: driver not loaded",
        "not loaded",
        "modprobe nvidia",
    ),
    (
        f"{CLI}initialization error: nvml error: unknown error",
        "no NVIDIA driver answers",
        "dmesg",
    ),
    (
        f"{CLI}mount error: file creation failed: /x/merged/usr/lib/libcuda.so.1: file exists",
        "holds files of an NVIDIA driver",
        "libcuda1",
    ),
    (
        f"{CLI}container error: cgroup subsystem devices not found",
        "version 2",
        "1.8",
    ),
    (
        f"{CLI}ldcache error: open failed: /sbin/ldconfig.real: no such file or directory",
        "another distribution",
        "nvidia-container-cli.ldconfig",
    ),
    (
        f"{CLI}ldcache error: process /sbin/ldconfig terminated with signal 9",
        "cannot run ldconfig",
        "glibc",
    ),
    (
        f"{CLI}mount error: mount operation failed: /proc/driver/nvidia: operation not permitted",
        "may not mount",
        "userns-remap",
    ),
    (
        f"{CLI}mount error: stat failed: /dev/nvidia-uvm: no such file or directory",
        "device file of the GPUs",
        "nvidia-modprobe",
    ),
    (
        f"{CLI}mount error: failed to add device rules: bpf_prog_query(BPF_CGROUP_DEVICE) failed",
        "without root",
        "no-cgroups",
    ),
    (
        f"{CLI}initialization error: nvml error: driver/library version mismatch",
        "two versions",
        "Reboot",
    ),
    (
        f"{CLI}requirement error: unsatisfied condition: cuda>=99.0",
        "too old",
        "Update the driver",
    ),
    (
        f"{CLI}something new",
        "toolkit failed",
        "update nvidia-container-toolkit",
    ),
    (
        (
            'failed to inject CDI devices: failed to stat CDI host device "/dev/nvidia1": '
            "no such file or directory"
        ),
        "device file of the GPUs",
        "nvidia-modprobe",
    ),
    (
        (
            "error gathering device information while adding custom device "
            '"/dev/nvidia-modeset": no such file or directory'
        ),
        "device file of the GPUs",
        "nvidia-modprobe",
    ),
    (
        (
            'error gathering device information while adding custom device "/dev/kfd": no '
            "such file or directory"
        ),
        "a device file",
        "ls -l",
    ),
    (
        'error mounting "/usr/lib/libcuda.so.550.54.15" to rootfs: no such file or directory',
        "CDI specification",
        "cdi generate",
    ),
    (
        (
            "runc did not terminate successfully: exit status 127: runc: symbol lookup "
            "error: runc: undefined symbol: seccomp_notify_fd"
        ),
        "runc",
        "libseccomp",
    ),
    (
        (
            'unable to start container process: exec: "/opt/start.sh": operation not '
            "permitted: unknown"
        ),
        "security profile",
        "snap remove docker",
    ),
    (
        "cgroups: cgroup mountpoint does not exist: unknown",
        "no cgroups",
        "/sys/fs/cgroup",
    ),
)


@pytest.mark.parametrize(("text", "message", "hint"), TOLD)
def test_each_cause_of_a_start_that_failed_has_a_message_and_a_mend_of_its_own(
    text: str, message: str, hint: str
) -> None:
    for shouted in (text, text.upper(), f"{text}\nand more"):
        error = start_failure(shouted, "/x/python", "image a")

        assert type(error) is EngineError
        assert message in error.message
        assert hint in error.hint


def test_every_rule_is_reached_by_a_text_and_no_two_give_one_advice() -> None:
    causes = [find_cause(text) for text, _, _ in TOLD]

    assert {cause.message for cause in causes if cause} == {rule.message for rule in _RULES}
    assert len({rule.hint for rule in _RULES}) == len(_RULES)


@pytest.mark.parametrize(
    "text",
    [
        'exec: "/x/python": stat /x/python: no such file or directory',
        'exec: "/x/python": permission denied',
        "Conflict. The container name is already in use",
    ],
)
def test_what_is_not_the_engines_fault_is_left_to_others(text: str) -> None:
    assert find_cause(text) is None


def test_a_gpu_that_the_toolkit_does_not_know_is_named() -> None:
    error = start_failure(f"{CLI}device error: unknown device id: MIG-7", "/x/python", "image a")

    assert error.message == wording("the Docker engine knows no GPU MIG-7")
