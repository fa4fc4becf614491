"""What people read: one example of each check that is not in order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from tests.preflight.hosts import ROWS

if TYPE_CHECKING:
    from snapenv.model.outcome import Check

KNOWN = load_catalogue()

COMMANDS = {"sudo", "wsl", "nvidia-ctk", "docker"}
VERBS = {
    "Add", "Allow", "Build", "Capture", "Check", "Disable", "Enable", "Free", "Install", "Keep",
    "Name", "Push", "Put", "Reboot", "Reinstall", "Remove", "Replace", "Run", "See", "Start",
    "Take", "Update", "Use",
}  # fmt: skip


def wrong(row_name: str) -> dict[str, Check]:
    row = next(row for row in ROWS if row.name == row_name)
    return {one.id: one for one in preflight(row.host, row.needs, KNOWN) if not one.ok}


def all_wrong() -> list[Check]:
    return [
        check for row in ROWS for check in preflight(row.host, row.needs, KNOWN) if not check.ok
    ]


def all_held() -> list[Check]:
    return [check for row in ROWS for check in preflight(row.host, row.needs, KNOWN) if check.ok]


EXAMPLES = (
    (
        "no engine",
        "engine",
        wording("no Docker engine answers"),
        wording("Start Docker, or use --engine venv, which does not need it."),
    ),
    (
        "engine elsewhere",
        "engine.elsewhere",
        wording("ssh://gpu.example.com is on another machine: its GPUs and disk were not checked"),
        wording("Run snapenv doctor on the engine's own machine."),
    ),
    (
        "17.05 with a GPU",
        "engine.api",
        "API 1.12 to 1.29",
        wording("Update Docker to 20.10 or newer; docker version shows the current one."),
    ),
    (
        "an engine of the future",
        "engine.api",
        "API 1.54 to 1.60",
        wording("Update snapenv, or set min-api-version in the engine's daemon.json."),
    ),
    (
        "no BuildKit",
        "engine.buildkit",
        wording("Docker 28.5.2 without BuildKit"),
        wording(
            "Enable BuildKit in the engine's daemon.json, and restart Docker: "
            '{"features": {"buildkit": true}}'
        ),
    ),
    (
        "snap",
        "engine.snap",
        wording("Docker from snap, its data in /var/snap/docker/common/var-lib-docker"),
        wording(
            "Replace the snap with Docker's own package: sudo snap remove docker, then see "
            "https://docs.docker.com/engine/install/"
        ),
    ),
    (
        "rootless",
        "engine.rootless",
        wording("rootless, without CDI, no-cgroups = false"),
        wording(
            "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml, with "
            '{"features": {"cdi": true}} in ~/.config/docker/daemon.json, then: '
            "systemctl --user restart docker"
        ),
    ),
    (
        "amd64 on arm64",
        "platform",
        "arm64",
        wording("Capture and build the environment on arm64, or use a machine of amd64."),
    ),
    (
        "old glibc, a venv",
        "platform.glibc",
        wording("glibc 2.31: a wheel may require a newer one"),
        wording("Use --engine docker, whose image brings its own glibc."),
    ),
    (
        "conda without py-rattler",
        "conda",
        wording("not installed beside snapenv"),
        wording("Install it: pip install 'snapenv[conda]'; or use --engine docker."),
    ),
    (
        "NVML does not start",
        "driver.fault",
        wording("Failed to initialize NVML: Unknown Error"),
        wording(
            "Reboot, or reinstall the driver; sudo dmesg | grep -iE 'nvrm|xid' shows the cause."
        ),
    ),
    (
        "20.10.9, Ubuntu 22.04",
        "engine.clone3",
        wording("Docker 20.10.9: programs may fail to start threads"),
        wording("Update Docker to 20.10.10 or newer, with libseccomp 2.5.2 or newer."),
    ),
    (
        "20.10 and zstd",
        "engine.layers",
        wording("Docker 20.10.24, which does not unpack it"),
        wording("Update Docker to 23.0 or newer, or push the image with layers packed by gzip."),
    ),
    (
        "layers that are encrypted",
        "engine.layers-unknown",
        wording("application/vnd.oci.image.layer.v1.tar+gzip+encrypted, which it may not know"),
        wording("Push the image again with Docker or buildx."),
    ),
    (
        "no inodes",
        "disk.inodes",
        "2,000 free at /var/lib/docker",
        wording(
            "Remove small files there, such as unused images (docker image prune); df -i shows it."
        ),
    ),
    (
        "28.5 CDI, another GPU than it has",
        "gpu.cdi-device",
        "those of nvidia.com/gpu=0, nvidia.com/gpu=all",
        wording("sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml; or use --device 0"),
    ),
    (
        "no library, as the probe says",
        "driver.library",
        wording("the driver 580.95.05 is loaded and its library is not found"),
        wording(
            "Install the driver's libraries (libnvidia-compute on Ubuntu, libnvidia-ml1 on "
            "Debian), or put their folder into LD_LIBRARY_PATH: /run/opengl-driver/lib on NixOS, "
            "/home/kubernetes/bin/nvidia/lib64 on Container-Optimized OS, "
            "/run/nvidia/driver/usr/lib/x86_64-linux-gnu with a driver container."
        ),
    ),
    (
        "one of two is lost",
        "gpu.silent",
        wording("GPU 1: GPU is lost"),
        wording(
            "Use --device 0, and see sudo dmesg | grep -iE 'nvrm|xid' for what failed; a reboot "
            "may bring it back."
        ),
    ),
    (
        "it is prohibited",
        "gpu.mode",
        wording("GPU 0 in compute mode Prohibited"),
        wording("Allow it: sudo nvidia-smi -i 0 -c DEFAULT"),
    ),
    (
        "its memory is held",
        "gpu.free",
        wording("1.0 GiB: other programs hold the rest"),
        wording("See which with nvidia-smi, and end them, or name another GPU with --device."),
    ),
    (
        "updated, not rebooted",
        "driver.mismatch",
        wording("kernel module 570.124.06, library 580.95.05"),
        "sudo reboot",
    ),
    (
        "WSL, halves that differ",
        "driver.mismatch",
        wording("kernel module 580.82.07, library 580.95.05"),
        "wsl --shutdown",
    ),
    (
        "3090 470 cu121",
        "driver.cuda",
        wording("driver 470.82.01 serves CUDA 11.4"),
        wording(
            "Install NVIDIA driver 525.60.13 or newer and reboot, "
            "or use an environment for an older CUDA."
        ),
    ),
    (
        "WSL 4090 old driver",
        "driver.cuda",
        wording("driver 535.183.01 serves CUDA 12.2"),
        wording(
            "Install NVIDIA driver 580 or newer in Windows, never in WSL, then: wsl --shutdown"
        ),
    ),
    (
        "Orin, common",
        "driver.cuda",
        wording("driver 540.4.0 serves CUDA 12.6"),
        wording("Update JetPack to one with CUDA 13.x; its driver comes with it."),
    ),
    (
        "A100 535 cu130 without compat",
        "driver.cuda",
        wording("driver 535.183.01 serves CUDA 12.2, and 13.0 only with the package cuda-compat"),
        wording(
            "Install NVIDIA driver 580 or newer and reboot, or use an environment for an older CUDA."
        ),
    ),
    (
        "4090 550 cuda>=12.6",
        "driver.requirement",
        "driver 550.54.15, CUDA 12.4",
        wording("Update the driver until it meets cuda>=12.6, which nvidia-smi shows."),
    ),
    (
        "4090 580 NGC 25.01, 803",
        "driver.compat",
        wording("LD_LIBRARY_PATH leads to the image's own 570.86.10 first"),
        wording("Keep the image's entrypoint, which takes /usr/local/cuda/compat out of the way."),
    ),
    (
        "4090 550 NGC 25.01, 804",
        "driver.forward",
        wording("NVIDIA GeForce RTX 4090 has no forward compatibility; the image brings 570.86.10"),
        wording(
            "Update the driver to branch 570, or run with another LD_LIBRARY_PATH: "
            "docker run -e LD_LIBRARY_PATH="
        ),
    ),
    (
        "CPU alone",
        "gpu.present",
        wording("no NVIDIA driver: it trains on the CPU"),
        wording("Use a machine with an NVIDIA GPU and its driver. Or use --device cpu."),
    ),
    (
        "a driver without a GPU",
        "gpu.present",
        wording("driver 580.95.05 shows none: it trains on the CPU"),
        wording("Use a machine with an NVIDIA GPU and its driver. Or use --device cpu."),
    ),
    (
        "CPU alone, GPU asked for",
        "gpu.present",
        "no NVIDIA driver",
        wording("Check that lspci | grep -i nvidia lists it. Or use --device cpu."),
    ),
    (
        "WSL, no NVML",
        "gpu.wsl",
        "libnvidia-ml.so.1",
        wording("Install NVIDIA's driver in Windows, never in WSL, then in Windows: wsl --update"),
    ),
    (
        "torch without CUDA",
        "gpu.torch",
        wording("torch 2.9.0+cpu: it trains on the CPU"),
        wording("Capture an environment whose torch is from a CUDA index, such as cu126."),
    ),
    (
        "Orin, common",
        "gpu.jetson",
        wording("built for other GPUs"),
        wording("Capture in an image of NVIDIA's whose tag ends in -igpu, on a Jetson."),
    ),
    (
        "5090 580 cu126",
        "gpu.kernels",
        (
            "none for NVIDIA GeForce RTX 5090 (12.0), "
            "but for sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90"
        ),
        wording("Use an environment whose torch runs on this GPU: cu128 or cu130 or cu132."),
    ),
    (
        "1080 580 cu130",
        "gpu.kernels",
        "none for NVIDIA GeForce GTX 1080 (6.1), but for sm_75 sm_80 sm_86 sm_90 sm_100 sm_120",
        wording("Use an environment whose torch runs on this GPU: cu118 or cu126."),
    ),
    (
        "4090 and 1080, cu130",
        "gpu.kernels",
        "none for NVIDIA GeForce GTX 1080 (6.1), but for sm_75 sm_80 sm_86 sm_90 sm_100 sm_120",
        "Use --device 0.",
    ),
    (
        "PTX of 13.2 on 580",
        "gpu.ptx",
        wording("driver 580.95.05 translates that of CUDA 13.0"),
        wording("Install the NVIDIA driver that came with CUDA 13.2, or newer, and reboot."),
    ),
    (
        "5090, flash-attn of others",
        "gpu.extensions",
        wording("flash-attn has none for NVIDIA GeForce RTX 5090 (12.0)"),
        wording("Build flash-attn again with TORCH_CUDA_ARCH_LIST for these, then capture."),
    ),
    (
        "5090 on a base of 12.2",
        "gpu.image",
        wording("it has CUDA 12.2: its entrypoint may warn, or refuse to start"),
        wording("Build on another base image: snapenv bases lists those for this GPU."),
    ),
    (
        "MIG empty beside a whole GPU",
        "gpu.mig",
        wording("GPU 1 in MIG mode without one: CUDA does not see it"),
        wording(
            "Disable MIG: sudo nvidia-smi -i 1 -mig 0; or create an instance: "
            "sudo nvidia-smi mig -cgi 0 -C"
        ),
    ),
    (
        "MIG, three instances",
        "gpu.mig-several",
        "3: 1g.10gb, 1g.10gb, 2g.20gb",
        wording("Name one by its UUID, as listed by nvidia-smi -L: --device MIG-…"),
    ),
    (
        "nothing installed",
        "gpu.plumbing",
        wording("neither; Docker 28.5.2 cannot give containers a GPU"),
        wording(
            "Install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure "
            "--runtime=docker --config=/etc/docker/daemon.json && sudo systemctl restart docker"
        ),
    ),
    (
        "rootless, nothing",
        "gpu.plumbing",
        wording("neither; Docker 28.5.2 cannot give containers a GPU"),
        wording(
            "Install nvidia-container-toolkit, then: nvidia-ctk runtime configure --runtime=docker "
            "--config=$HOME/.config/docker/daemon.json && systemctl --user restart docker"
        ),
    ),
    (
        "27.5 CDI off",
        "gpu.cdi-feature",
        "Docker 27.5.1 without features.cdi",
        wording(
            'Put {"features": {"cdi": true}} into /etc/docker/daemon.json, then: '
            "sudo systemctl restart docker"
        ),
    ),
    (
        "28.5 CDI, stale",
        "gpu.cdi",
        wording("/etc/cdi/nvidia.yaml is of driver 570.124.06"),
        wording("sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"),
    ),
    (
        "27.5 CDI on, no file",
        "gpu.cdi",
        "none",
        wording("sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"),
    ),
    (
        "28.5 CDI, in a folder it does not read",
        "gpu.cdi",
        wording("it found no device of NVIDIA's"),
        wording(
            "Add the folder of /opt/cdi/nvidia.yaml to cdi-spec-dirs in the engine's daemon.json."
        ),
    ),
    (
        "systemd, no links",
        "gpu.char-links",
        wording("none: systemctl daemon-reload takes the GPU from running containers"),
        wording("sudo nvidia-ctk system create-dev-char-symlinks --create-all"),
    ),
    (
        "no-cgroups for root",
        "gpu.no-cgroups",
        wording("no-cgroups = true: containers may not open the GPU"),
        wording("sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups=false --in-place"),
    ),
    (
        "no uvm",
        "gpu.uvm",
        wording("not there: CUDA may say unknown error"),
        "sudo modprobe nvidia_uvm && sudo nvidia-modprobe -c 0 -u",
    ),
    (
        "no helper",
        "credentials.helper",
        "not found",
        wording(
            "Install docker-credential-desktop, or take its name out of credsStore and "
            "credHelpers in ~/.docker/config.json, then: docker login"
        ),
    ),
    (
        "a base that is gone",
        "base",
        wording("example.com has no such image"),
        wording("Name a mirror: --mirror example.com"),
    ),
    (
        "an image unread",
        "registry",
        wording("example.com does not answer"),
        wording("See that example.com can be reached from here."),
    ),
    (
        "no room",
        "disk",
        wording("19.0 GB free at /var/lib/docker"),
        wording("Free 6.0 GB more; docker system df shows what images hold."),
    ),
    (
        "little shm, a venv",
        "shm",
        wording("67.1 MB: workers of a DataLoader may end with a bus error"),
        "sudo mount -o remount,size=1073741824 /dev/shm",
    ),
)


@pytest.mark.parametrize(("row", "name", "actual", "fix"), EXAMPLES)
def test_a_finding_says_what_was_found_and_what_mends_it(
    row: str, name: str, actual: str, fix: str
) -> None:
    check = wrong(row)[name]

    assert (check.actual, check.fix) == (actual, fix)


@pytest.mark.parametrize(
    ("row", "name", "actual"),
    [
        ("4090 580 cu130", "driver.cuda", wording("driver 580.95.05 serves CUDA 13.0")),
        (
            "4090 535 cu128 by minor version",
            "driver.cuda",
            wording("driver 535.183.01 serves CUDA 12.2, and 12.8 as every 12.x"),
        ),
        (
            "A100 535 NGC 25.10 with compat",
            "driver.cuda",
            wording(
                "driver 535.183.01 serves CUDA 12.2, and 13.0 by the image's "
                "forward-compatibility package"
            ),
        ),
        ("4090 580 cu130", "gpu.plumbing", "container toolkit 1.17.8"),
        ("28.5 CDI", "gpu.plumbing", "CDI"),
        ("28.5 runtime alone", "gpu.plumbing", wording("a runtime of Docker 28.5.2")),
        ("a GPU of the future, PTX", "gpu.kernels", "PTX"),
        ("4090 580 cu130", "gpu.kernels", "machine code"),
        ("room", "disk", wording("26.0 GB free at /var/lib/docker")),
        ("shm to the byte, a venv", "shm", "1.1 GB"),
        ("MIG, one instance", "gpu.mig", "3g.40gb"),
    ],
)
def test_what_held_says_by_what(row: str, name: str, actual: str) -> None:
    found = next(one for one in ROWS if one.name == row)
    checks = {check.id: check for check in preflight(found.host, found.needs, KNOWN)}

    assert checks[name].ok
    assert checks[name].actual == actual


def test_every_id_that_can_fail_has_an_example() -> None:
    assert {check.id for check in all_wrong()} == {name for _, name, _, _ in EXAMPLES}


def test_no_two_ids_say_the_same() -> None:
    of_fix: dict[str | None, set[str]] = {}
    for check in all_wrong():
        of_fix.setdefault(check.fix, set()).add(check.id)

    assert {fix: ids for fix, ids in of_fix.items() if len(ids) > 1} == {}


def test_every_fix_is_a_command_or_begins_with_what_to_do() -> None:
    first_words = {(check.fix or "").split()[0].rstrip(",") for check in all_wrong()}

    assert first_words <= COMMANDS | VERBS


def test_nobody_is_told_to_switch_off_nvidia_s_own_guard() -> None:
    said = " ".join(f"{check.fix} {check.actual} {check.expected}" for check in all_wrong())

    assert "NVIDIA_DISABLE_REQUIRES" not in said


def test_no_linux_driver_goes_into_wsl() -> None:
    on_wsl = [
        check.fix or ""
        for row in ROWS
        if row.host.plumbing.wsl
        for check in preflight(row.host, row.needs, KNOWN)
    ]
    of_drivers = [fix for fix in on_wsl if re.search(r"\bdriver\b", fix)]

    assert of_drivers
    assert all("in Windows, never in WSL" in fix for fix in of_drivers)
    assert not any("reboot" in fix for fix in on_wsl)


def test_what_held_needs_no_fix_and_is_short_to_read() -> None:
    held = all_held()

    assert all(check.fix is None for check in held)
    assert max(len(check.actual) for check in held) < 100


def test_every_finding_is_of_the_host_the_transport_or_the_image() -> None:
    parts = {check.id: check.part for check in all_wrong()}

    assert {name for name, part in parts.items() if part == "transport"} == {
        "base",
        "credentials.helper",
        "registry",
    }
    assert {name for name, part in parts.items() if part == "image"} == {
        "gpu.extensions",
        "gpu.image",
        "gpu.jetson",
        "gpu.kernels",
        "gpu.torch",
        "platform",
    }
    assert set(parts.values()) == {"host", "transport", "image"}
