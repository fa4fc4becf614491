"""Whether the engine of this machine can hand its GPUs on to a container; of CDI, ``cdi`` tells.

Source: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.nvidia import advice
from snapenv.nvidia.catalogue import major_minor
from snapenv.preflight.case import Case, failed, passed, warning
from snapenv.preflight.cdi import is_unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.outcome import Check

_CDI_SINCE = 25  # Docker's first major version with features.cdi
_UVM = "/dev/nvidia-uvm"


def check_plumbing(case: Case) -> Iterator[Check]:
    """Return whether there is any way for a GPU into a container.

    What engines say without one: ``could not select device driver``, ``no known GPU vendor
    found``, ``AMD CDI spec not found``. Of Docker from snap ``engine.snap`` tells.
    """
    engine = case.gpu_engine
    if engine is None or (case.snap and case.injection == "none"):
        return
    major = (major_minor(engine.version) or (0, 0))[0]
    file, restart = "/etc/docker/daemon.json", "sudo systemctl restart docker"
    if engine.rootless:
        file, restart = "$HOME/.config/docker/daemon.json", "systemctl --user restart docker"
    if case.specs and not (engine.cdi or case.hook) and major >= _CDI_SINCE:
        yield failed(
            "gpu.cdi-feature",
            "an engine that takes CDI devices, the one way here",
            f"Docker {engine.version} without features.cdi",
            f'Put {{"features": {{"cdi": true}}}} into {file}, then: {restart}',
        )
    elif case.injection == "none" and not is_unread(case):
        yield failed(
            "gpu.plumbing",
            "NVIDIA's container toolkit, or a CDI specification",
            f"neither; Docker {engine.version} cannot give containers a GPU",
            "Install nvidia-container-toolkit, then: "
            f"{advice.configure_runtime(file, rootless=engine.rootless)} && {restart}",
        )
    elif case.injection != "none":
        toolkit = case.plumbing.toolkit
        way = f"container toolkit {toolkit}" if toolkit else f"a runtime of Docker {engine.version}"
        way = "CDI" if case.injection == "cdi" else way
        yield passed("gpu.plumbing", "NVIDIA's container toolkit, or CDI", way)


def check_char_links(case: Case) -> Iterator[Check]:
    """Warn where ``systemctl daemon-reload`` takes GPUs from containers (nvidia-docker#1730)."""
    engine = case.gpu_engine
    if engine is None or case.injection != "legacy" or case.plumbing.wsl:
        return
    if engine.cgroup_driver == "systemd" and not (engine.rootless or case.plumbing.char_links):
        yield warning(
            "gpu.char-links",
            "links to the GPUs in /dev/char, as systemd makes the device rules",
            "none: systemctl daemon-reload takes the GPU from running containers",
            "sudo nvidia-ctk system create-dev-char-symlinks --create-all",
        )


def check_no_cgroups(case: Case) -> Iterator[Check]:
    """Say that with ``no-cgroups = true`` containers of root lose the GPU (toolkit#85)."""
    engine = case.gpu_engine
    if engine is None or engine.rootless or case.injection != "legacy":
        return
    if case.plumbing.no_cgroups and not case.plumbing.wsl:
        yield failed(
            "gpu.no-cgroups",
            "no-cgroups = false, as the engine runs as root",
            "no-cgroups = true: containers may not open the GPU",
            advice.set_no_cgroups(on=False),
        )


def check_uvm(case: Case) -> Iterator[Check]:
    """Return whether CUDA's own device node is there, where nodes could be listed at all."""
    devices = case.plumbing.devices
    if not case.gpus or not devices or case.plumbing.wsl or case.jetson:
        return
    if _UVM in devices:
        yield passed("gpu.uvm", _UVM, "there")
    else:
        say = failed if case.injection == "cdi" else warning
        fix = f"{advice.LOAD_UVM} && sudo nvidia-modprobe -c 0 -u"
        yield say("gpu.uvm", _UVM, "not there: CUDA may say unknown error", fix)
