"""Machines and environments of released parts, and what is wrong with each pair.

Drivers are told with the CUDA that their releases serve, engines with their API, GPUs with their
compute capability, torch with the architectures that its wheels are built for.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec.structs import replace

from snapenv.model.facts import Kernels
from snapenv.model.hardware import Driver, DriverFault, Gpu, GpuFault, Hardware, System
from snapenv.model.host import CdiSpec, GpuPlumbing, GpuState, Host, HostEngine, Needs, Unread
from snapenv.model.image import Layer

CUDA_OF = {
    "390.157": (9, 1),
    "440.33.01": (10, 2),
    "450.80.02": (11, 0),
    "470.82.01": (11, 4),
    "510.47.03": (11, 6),
    "520.61.05": (11, 8),
    "525.60.13": (12, 0),
    "535.183.01": (12, 2),
    "540.4.0": (12, 6),  # JetPack 6.2
    "545.23.08": (12, 3),
    "550.54.15": (12, 4),
    "555.42.06": (12, 5),
    "560.35.05": (12, 6),
    "565.57.01": (12, 7),
    "570.124.06": (12, 8),
    "575.57.08": (12, 9),
    "580.82.07": (13, 0),
    "580.95.05": (13, 0),
    "590.48.01": (13, 1),
    "610.43.02": (13, 3),
    "620.10": (14, 0),  # of the future
}


def gpu(name: str, capability: str, memory_gib: int = 24) -> Gpu:
    major, _, minor = capability.partition(".")
    return Gpu(name=name, memory_mib=memory_gib * 1024, compute_capability=(int(major), int(minor)))


GTX1080 = gpu("NVIDIA GeForce GTX 1080", "6.1", 8)
RTX2080 = gpu("NVIDIA GeForce RTX 2080 Ti", "7.5", 11)
RTX3090 = gpu("NVIDIA GeForce RTX 3090", "8.6")
RTX4090 = gpu("NVIDIA GeForce RTX 4090", "8.9")
RTX5090 = gpu("NVIDIA GeForce RTX 5090", "12.0", 32)
TITAN_V = gpu("NVIDIA TITAN V", "7.0", 12)
A6000 = gpu("NVIDIA RTX A6000", "8.6", 48)
K80 = gpu("Tesla K80", "3.7", 12)
P100 = gpu("Tesla P100-PCIE-16GB", "6.0", 16)
V100 = gpu("Tesla V100-SXM2-32GB", "7.0", 32)
T4 = gpu("Tesla T4", "7.5", 16)
A100 = gpu("NVIDIA A100-SXM4-80GB", "8.0", 80)
A10 = gpu("NVIDIA A10", "8.6")
L40S = gpu("NVIDIA L40S", "8.9", 48)
H100 = gpu("NVIDIA H100 80GB HBM3", "9.0", 80)
H200 = gpu("NVIDIA H200", "9.0", 141)
B200 = gpu("NVIDIA B200", "10.0", 180)
B300 = gpu("NVIDIA B300 SXM6 AC", "10.3", 270)
GH200 = gpu("NVIDIA GH200 480GB", "9.0", 96)
GB10 = gpu("NVIDIA GB10", "12.1", 120)
ORIN = gpu("Orin (nvgpu)", "8.7", 32)
THOR = gpu("NVIDIA Thor", "11.0", 128)
FUTURE = gpu("NVIDIA R100", "13.0", 288)

T400 = gpu("NVIDIA T400 4GB", "7.5", 4)
OLD_A100 = gpu("A100-SXM4-40GB", "8.0", 40)  # as drivers before 470 name it
NAMELESS = Gpu(name="NVIDIA L4")

MIG_EMPTY = replace(A100, mig=True)
MIG_ONE = replace(A100, mig=True, mig_devices=("3g.40gb",))
MIG_MANY = replace(A100, mig=True, mig_devices=("1g.10gb", "1g.10gb", "2g.20gb"))

E19 = HostEngine(version="19.03.15", api=(1, 40), address="unix:///var/run/docker.sock", local=True)
E17 = replace(E19, version="17.05.0", api=(1, 29), buildkit=False)
E20 = replace(E19, version="20.10.24", api=(1, 41), free_bytes=200 * 10**9)
E24 = replace(E20, version="24.0.9", api=(1, 43))
E25 = replace(E20, version="25.0.5", api=(1, 44), oldest_api=(1, 24))
E27 = replace(E25, version="27.5.1", api=(1, 47))
E28 = replace(E25, version="28.5.2", api=(1, 51), runtimes=("nvidia", "runc"), cdi=True)
E29 = replace(E28, version="29.0.0", api=(1, 52), oldest_api=(1, 44), containerd_store=True)
BARE28 = replace(E28, runtimes=("io.containerd.runc.v2", "runc"))
CDI28 = replace(BARE28, cdi_devices=("nvidia.com/gpu=0", "nvidia.com/gpu=all"))
ROOTLESS = replace(
    BARE28, rootless=True, cdi=False, root="/home/ann/.local/share/docker", cgroup_driver="systemd"
)
SNAP = replace(BARE28, root="/var/snap/docker/common/var-lib-docker", cdi=False)
FAR = replace(E28, local=False, address="ssh://gpu.example.com", free_bytes=None)
FAR_SNAP = replace(FAR, root="/var/snap/docker/common", runtimes=("runc",), cdi=False)
FAR_ARM = replace(FAR, architecture="arm64")
ARM28 = replace(E28, architecture="arm64")

NODES = ("/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl")
TOOLKIT = GpuPlumbing(devices=NODES, toolkit="1.17.8", no_cgroups=False)
NOTHING = GpuPlumbing(devices=NODES)
WSL = GpuPlumbing(wsl=True, devices=("/dev/dxg",), toolkit="1.17.8")
WSL_BARE = replace(WSL, toolkit=None)
JETSON = GpuPlumbing(jetson=True, devices=("/dev/nvidiactl",), toolkit="1.16.2")
UNKNOWN = GpuPlumbing()


def spec(driver: str | None, path: str = "/etc/cdi/nvidia.yaml") -> GpuPlumbing:
    found = CdiSpec(path=path, devices=("nvidia.com/gpu=0", "nvidia.com/gpu=all"), driver=driver)
    return replace(NOTHING, cdi=(found,))


def host(
    gpus: Gpu | tuple[Gpu, ...] = (),
    driver: str | None = None,
    engine: HostEngine | None = E28,
    plumbing: GpuPlumbing = TOOLKIT,
) -> Host:
    """Return a machine whose parts are in order; without GPU and driver, a CPU machine."""
    found = gpus if isinstance(gpus, tuple) else (gpus,)
    loaded = Driver(version=driver, cuda=CUDA_OF[driver], kernel_module=driver) if driver else None
    arm = engine is not None and engine.architecture == "arm64"
    system = System(
        os="ubuntu 24.04",
        machine="aarch64" if arm else "x86_64",
        glibc="2.39",
        cpu_count=16,
        shm_bytes=2**34,
    )
    return Host(
        hardware=Hardware(system=system, driver=loaded, gpus=found),
        plumbing=plumbing,
        engine=engine,
    )


def faulty(
    error: str,
    module: str | None = None,
    library: str | None = None,
    kind: Literal["error", "missing", "library", "crash", "hang"] = "error",
) -> Host:
    """Return a machine whose driver does not answer."""
    base = host()
    fault = DriverFault(error=error, kind=kind, kernel_module=module, library=library)
    return replace(base, hardware=replace(base.hardware, driver_fault=fault))


def halves(module: str, library: str) -> Host:
    """Return a machine whose kernel module is of another driver than its library."""
    base = host(RTX4090, library)
    driver = Driver(version=library, cuda=CUDA_OF[library], kernel_module=module)
    return replace(base, hardware=replace(base.hardware, driver=driver))


def small(shm_bytes: int = 2**26, glibc: str = "2.39") -> Host:
    """Return a machine with little shared memory, or an old C library."""
    base = host(RTX4090, "580.95.05")
    system = replace(base.hardware.system, shm_bytes=shm_bytes, glibc=glibc)
    return replace(base, hardware=replace(base.hardware, system=system))


def built(distribution: str, architectures: str) -> Kernels:
    return Kernels(distribution=distribution, architectures=tuple(architectures.split()))


def torch(version: str, cuda: str, architectures: str) -> Needs:
    """Return an environment with torch and torchvision of an index, in an image without compat."""
    return Needs(
        name="train-yolov8.4.190-base",
        architecture="amd64",
        torch=version,
        cuda=cuda,
        kernels=(built("torch", architectures), built("torchvision", architectures)),
        shm_bytes=2**30,
    )


OLD = "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86"
CU117 = torch("2.0.1+cu117", "11.7", OLD)
CU118 = torch("2.7.1+cu118", "11.8", OLD + " sm_90")
CU121 = torch("2.4.1+cu121", "12.1", OLD + " sm_90")
CU126 = torch("2.7.1+cu126", "12.6", OLD + " sm_90")
CU128 = torch("2.9.1+cu128", "12.8", "sm_70 sm_75 sm_80 sm_86 sm_90 sm_100 sm_120")
CU130 = torch("2.11.0+cu130", "13.0", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120")
CU130_PTX = torch("2.12.0+cu130", "13.0", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120")
CU132_PTX = torch("2.12.0+cu132", "13.2", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120")
CU128_PTX = torch("2.8.0a0", "12.8", "sm_80 sm_86 sm_90 compute_90")
CPU_TORCH = replace(CU130, torch="2.9.0+cpu", cuda=None, kernels=())
ARM130 = replace(CU130, architecture="arm64")
IGPU = replace(torch("2.6.0", "12.6", "sm_87"), architecture="arm64")
IMAGE_130 = Needs(name="example.com/team/env:1", image_cuda="13.0.2")
UNTOLD = Needs(name="example.com/team/env:1")


def nvidia(cuda: str, driver: str, architectures: str) -> Needs:
    """Return an environment that stands on an NVIDIA image's own torch, with its compat folder."""
    needs = torch("2.x.0a0.nv", cuda, architectures)
    return replace(
        needs,
        image_cuda=cuda,
        image_driver=driver,
        compat=True,
        requires={"NVIDIA_REQUIRE_CUDA": "cuda>=9.0"},
    )


NGC_2212 = nvidia("11.8.0", "520.61.05", "sm_52 sm_60 sm_61 sm_70 sm_75 sm_80 sm_86 sm_90")
NGC_2310 = nvidia("12.2.2", "535.104.05", "sm_52 sm_60 sm_61 sm_70 sm_75 sm_80 sm_86 sm_90")
NGC_2501 = nvidia("12.8.0", "570.86.10", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120")
NGC_2510 = nvidia("13.0.2", "580.95.05", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120")
ON_2310 = replace(CU128, image_cuda="12.2.2")  # a newer torch in a venv of an older image
CUDA_128 = replace(  # as NVIDIA's CUDA images have it, shortened
    CU126,
    image_cuda="12.6.3",
    requires={"NVIDIA_REQUIRE_CUDA": "cuda>=12.6 brand=tesla,driver>=535,driver<536"},
)
DRIVER_570 = replace(
    CU126, requires={"NVIDIA_REQUIRE_CUDA": "cuda>=12.0", "NVIDIA_REQUIRE_DRIVER": "driver>=570"}
)


def unread(*, gone: bool) -> Needs:
    """Return what is to be built on a base image of which its registry tells nothing."""
    there = Unread(
        image="example.com/nvidia/pytorch:25.01-py3",
        error="example.com has no such image" if gone else "example.com does not answer",
        hint="Name a mirror: --mirror example.com",
        gone=gone,
    )
    return replace(CU130, builds=True, base_unread=there)


UNREAD = replace(
    UNTOLD,
    unread=Unread(
        image="example.com/team/env:1",
        error="example.com does not answer",
        hint="See that example.com can be reached from here.",
        gone=False,
    ),
)


def missing(*sizes_gb: float) -> Needs:
    layers = (
        Layer(digest=f"sha256:{i}", size_bytes=int(gb * 1e9)) for i, gb in enumerate(sizes_gb)
    )
    return replace(CU130, missing=tuple(layers))


OLD_FILTER = replace(E20, version="20.10.9")
NEW_FILTER = replace(E20, version="20.10.10")
NO_FILTER = replace(OLD_FILTER, seccomp=False)
JAMMY = replace(CU130, gpu=False, glibc="2.31", image_glibc="2.35")
FOCAL = replace(JAMMY, glibc="2.39", image_glibc="2.31")
NO_NVML = faulty("libnvidia-ml.so.1 is not found", "580.95.05", kind="missing")
ODD_NVML = faulty("libnvidia-ml.so.1: wrong ELF class: ELFCLASS32", kind="library")


def silent(gpus: Gpu | tuple[Gpu, ...], *numbers: int) -> Host:
    """Return a machine some of whose GPUs are lost."""
    base = host(gpus, "580.95.05")
    faults = tuple(GpuFault(number=number, error="GPU is lost") for number in numbers)
    return replace(base, hardware=replace(base.hardware, gpu_faults=faults))


def busy(*, free_mib: int | None = None, compute_mode: str | None = None) -> Host:
    """Return a machine whose GPU, of 24 GiB, others use, or that may not be used."""
    state = GpuState(number=0, free_mib=free_mib, compute_mode=compute_mode)
    return replace(host(RTX4090, "580.95.05"), gpu_states=(state,))


def untold_cuda() -> Host:
    base = host(RTX4090)
    driver = Driver(version="unknown")
    return replace(base, hardware=replace(base.hardware, driver=driver))


def on(*devices: str) -> Needs:
    return replace(CU130, devices=devices, gpu_required=True)


def packed(media_type: str) -> Needs:
    layer = Layer(digest="sha256:0", size_bytes=4 * 10**9, media_type=media_type)
    return replace(CU130, missing=(layer,))


def zstd() -> Needs:
    return packed("application/vnd.oci.image.layer.v1.tar+zstd")


def odd_layers() -> Needs:
    return packed("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")


def of_unknown_files() -> Needs:
    return replace(UNTOLD, missing=missing(4).missing, gpu=False)


def inodes(count: int) -> Host:
    return host(RTX4090, "580.95.05", replace(E28, free_inodes=count))


class Row(NamedTuple):
    """A machine, an environment, and the ids of what is not in order; ``?`` marks a warning."""

    name: str
    host: Host
    needs: Needs
    wrong: str = ""

    @property
    def expected(self) -> set[str]:
        return set(self.wrong.split())


def free(gigabytes: int, engine: HostEngine = E28) -> Host:
    return host(RTX4090, "580.95.05", replace(engine, free_bytes=gigabytes * 10**9))


def free_unknown() -> Host:
    return host(RTX4090, "580.95.05", replace(E28, free_bytes=None))


def rootless(plumbing: GpuPlumbing, *, cdi: bool = False) -> Host:
    found = CDI28.cdi_devices if cdi else ()
    return host(RTX4090, "580.95.05", replace(ROOTLESS, cdi=cdi, cdi_devices=found), plumbing)


def unknown_driver(engine: HostEngine, plumbing: GpuPlumbing) -> Host:
    base = host(A100, "580.95.05", engine, plumbing)
    driver = Driver(version="unknown", cuda=(13, 0))
    return replace(base, hardware=replace(base.hardware, driver=driver))


def debian(version: str, *, cdi: bool) -> Host:
    engine = replace(BARE28, version=version, cdi=cdi)
    return host(A100, "580.95.05", engine, spec("580.95.05"))


CDI27 = replace(E27, cdi=True)
BOTH28 = replace(CDI28, runtimes=("nvidia", "runc"))
STALE = replace(spec("570.124.06"), toolkit="1.17.8")
SBSA = (built("torch", "sm_80 sm_90 sm_100 sm_110 sm_120"),)
IGPU_COMPAT = replace(IGPU, compat=True, image_driver="560.35.03")
WSL_NO_LINKS = replace(WSL, char_links=False)
CDI_NO_CGROUPS = replace(spec("580.95.05"), no_cgroups=True)
IGPU_OLD = replace(IGPU, image_cuda="11.0")
NEXT = replace(E29, oldest_api=(1, 51))
OF_ALL = Kernels(
    distribution="torch",
    architectures=("sm_70", "sm_75", "sm_80"),
    common=("sm_75", "sm_80"),
)
FEW_OLD = replace(CU130, kernels=(OF_ALL,))
SYSTEMD = replace(E27, runtimes=("runc", "nvidia"), cgroup_driver="systemd")
NEVER_ASKS = replace(TOOLKIT, disable_require=True)
NO_LINKS = replace(TOOLKIT, char_links=False)
NO_UVM = replace(TOOLKIT, devices=("/dev/nvidia0", "/dev/nvidiactl"))
CDI_NO_UVM = replace(spec("580.95.05"), devices=("/dev/nvidia0", "/dev/nvidiactl"))
NO_CGROUPS = replace(TOOLKIT, no_cgroups=True)
WANTED = replace(CU130, gpu_required=True)
VENV = replace(CU130, venv=True, glibc="2.36")
CONDA = replace(VENV, conda=True)
FLASH = replace(CU130, kernels=(*CU130.kernels, built("flash-attn", "sm_80 sm_90")))
VISION = replace(CU130, kernels=(built("torch", "sm_120"), built("torchvision", "sm_80 sm_90")))
CUFFT = replace(CU130, kernels=(*CU130.kernels, built("nvidia-cufft", "sm_75")))
TO_BUILD = replace(CU130, builds=True, gpu=False)
NO_HELPER = replace(host(RTX4090, "580.95.05"), missing_helpers=("docker-credential-desktop",))
DOWN = replace(host(RTX4090, "580.95.05", None), engine_error="no Docker engine answers")
INIT = "Failed to initialize NVML: Unknown Error"
WSL_HALVES = replace(halves("580.82.07", "580.95.05"), plumbing=WSL)
WSL_NOTHING = host(RTX4090, "580.95.05", BARE28, WSL_BARE)
UPDATED = faulty("Driver/library version mismatch", "570.124.06", "580.95.05")
ON_CPU = replace(CU130, gpu=False)
IGPU_UNTOLD = replace(IGPU, kernels=())
NO_BUILDER = host(engine=replace(E28, buildkit=False))
CGROUPS_UNKNOWN = replace(TOOLKIT, no_cgroups=None)

ROWS = (
    # driver and CUDA: GeForce
    Row("4090 580 cu130", host(RTX4090, "580.95.05"), CU130),
    Row("4090 580 cu126", host(RTX4090, "580.82.07"), CU126),
    Row("4090 580 cu118", host(RTX4090, "580.95.05"), CU118),
    Row("4090 610 cu130", host(RTX4090, "610.43.02"), CU130),
    Row("4090 575 cu130", host(RTX4090, "575.57.08"), CU130, "driver.cuda"),
    Row("4090 570 cu128", host(RTX4090, "570.124.06"), CU128),
    Row("4090 535 cu128 by minor version", host(RTX4090, "535.183.01"), CU128),
    Row("4090 525 cu126 by minor version", host(RTX4090, "525.60.13"), CU126),
    Row("4090 535 cu130", host(RTX4090, "535.183.01"), CU130, "driver.cuda"),
    Row("3090 470 cu121", host(RTX3090, "470.82.01"), CU121, "driver.cuda"),
    Row("3090 470 cu118 by minor version", host(RTX3090, "470.82.01"), CU118),
    Row("3090 450 cu117 by minor version", host(RTX3090, "450.80.02"), CU117),
    Row("2080 440 cu118", host(RTX2080, "440.33.01"), CU118, "driver.cuda"),
    Row("1080 390 cu118", host(GTX1080, "390.157"), CU118, "driver.cuda"),
    Row("A6000 of a workstation, 535 cu130", host(A6000, "535.183.01"), CU130, "?driver.cuda"),
    Row("a driver of the future", host(RTX4090, "620.10"), CU130),
    # driver and CUDA: data centre, where forward compatibility is
    Row("H200 580 cu130", host(H200, "580.95.05"), CU130),
    Row("H100 590 cu132", host(H100, "590.48.01"), CU132_PTX),
    Row("A100 535 cu130 without compat", host(A100, "535.183.01"), CU130, "?driver.cuda"),
    Row("A100 535 NGC 25.10 with compat", host(A100, "535.183.01"), NGC_2510),
    Row("A100 550 NGC 25.10, not known", host(A100, "550.54.15"), NGC_2510, "?driver.cuda"),
    Row("A100 550 cu130, without compat", host(A100, "550.54.15"), CU130, "driver.cuda"),
    Row("K80 470 cu126", host(K80, "470.82.01"), CU126, "driver.cuda gpu.kernels"),
    Row("A100 570 NGC 25.10", host(A100, "570.124.06"), NGC_2510),
    Row("T4 555 NGC 25.10, a short branch", host(T4, "555.42.06"), NGC_2510, "driver.cuda"),
    Row("T4 470 NGC 23.10, not known", host(T4, "470.82.01"), NGC_2310, "?driver.cuda"),
    Row("A6000 535 NGC 25.10, not known", host(A6000, "535.183.01"), NGC_2510, "?driver.cuda"),
    Row("T400 535 NGC 25.10", host(T400, "535.183.01"), NGC_2510, "driver.cuda"),
    Row("A100 of an old driver, NGC 22.12", host(OLD_A100, "450.80.02"), NGC_2212),
    Row("a driver that does not tell its CUDA", untold_cuda(), CU130, "?driver.cuda"),
    Row(
        "T4 470 NGC 23.10, its notes allow it",
        host(T4, "470.82.01"),
        replace(NGC_2310, datacenter_branches=(450, 470)),
    ),
    Row(
        "A100 beside a GeForce, 535 NGC 25.10",
        host((A100, RTX4090), "535.183.01"),
        NGC_2510,
        "driver.cuda",
    ),
    Row("V100 510 cu117", host(V100, "510.47.03"), CU117),
    Row("A10 545 cu121", host(A10, "545.23.08"), CU121),
    Row("L40S 560 cu126", host(L40S, "560.35.05"), CU126),
    # NVIDIA's images: libcuda of their own, and what they ask of a driver
    Row("4090 550 NGC 25.01, 804", host(RTX4090, "550.54.15"), NGC_2501, "?driver.forward"),
    Row("A100 550 NGC 25.01", host(A100, "550.54.15"), NGC_2501),
    Row("4090 580 NGC 25.01, 803", host(RTX4090, "580.95.05"), NGC_2501, "?driver.compat"),
    Row("A100 580 NGC 23.10, 803", host(A100, "580.95.05"), NGC_2310, "?driver.compat"),
    Row("4090 580 NGC 25.10", host(RTX4090, "580.95.05"), NGC_2510),
    Row("4090 535 NGC 25.10", host(RTX4090, "535.183.01"), NGC_2510, "driver.cuda"),
    Row("4090 550 cuda>=12.6", host(RTX4090, "550.54.15"), CUDA_128, "driver.requirement"),
    Row("A100 535 cuda>=12.6, allowed", host(A100, "535.183.01"), CUDA_128),
    Row("4090 560 driver>=570", host(RTX4090, "560.35.05"), DRIVER_570, "driver.requirement"),
    Row("4090 575 driver>=570", host(RTX4090, "575.57.08"), DRIVER_570),
    Row("a toolkit that does not ask", host(RTX4090, "550.54.15", E28, NEVER_ASKS), CUDA_128),
    Row("4090 560 cuda>=12.6", host(RTX4090, "560.35.05"), CUDA_128),
    Row(
        "4090 550 cuda>=12.6 by CDI",
        host(RTX4090, "550.54.15", CDI28, spec("550.54.15")),
        CUDA_128,
        "?driver.requirement",
    ),
    Row("NGC 25.01 in a venv, 580", host(RTX4090, "580.95.05"), replace(NGC_2501, venv=True)),
    Row("cuda>=12.6 in a venv", host(RTX4090, "550.54.15"), replace(CUDA_128, venv=True)),
    Row("CUDA of the image alone", host(RTX4090, "535.183.01"), IMAGE_130, "driver.cuda"),
    # kernels
    Row("5090 580 cu128", host(RTX5090, "580.95.05"), CU128),
    Row(
        "5090 580 cu126", host(RTX5090, "580.95.05"), CU126, "gpu.kernels"
    ),
    Row("5090 580 cu118", host(RTX5090, "580.95.05"), CU118, "gpu.kernels"),
    Row("B200 580 cu126", host(B200, "580.95.05"), CU126, "gpu.kernels"),
    Row("B200 580 cu128", host(B200, "580.95.05"), CU128),
    Row("B300 580 cu130, a minor above", host(B300, "580.95.05"), CU130),
    Row("1080 580 cu130", host(GTX1080, "580.95.05"), CU130, "gpu.kernels"),
    Row("1080 580 cu126", host(GTX1080, "580.95.05"), CU126),
    Row("P100 580 cu128", host(P100, "580.95.05"), CU128, "gpu.kernels"),
    Row("V100 580 cu130", host(V100, "580.95.05"), CU130, "gpu.kernels"),
    Row("V100 580 cu128", host(V100, "580.95.05"), CU128),
    Row("TITAN V 580 cu130", host(TITAN_V, "580.95.05"), CU130, "gpu.kernels"),
    Row(
        "V100 580 cu130 as released",
        host(V100, "580.95.05"),
        replace(CU130, kernels=()),
        "gpu.kernels",
    ),
    Row(
        "4090 and 1080, cu130",
        host((RTX4090, GTX1080), "580.95.05"),
        CU130,
        "?gpu.kernels",
    ),
    Row("a GPU of the future, PTX", host(FUTURE, "580.95.05"), CU130_PTX),
    Row("a GPU of the future, no PTX", host(FUTURE, "610.43.02"), CU130, "gpu.kernels"),
    Row("PTX of 13.2 on 580", host(FUTURE, "580.95.05"), CU132_PTX, "gpu.ptx"),
    Row("PTX of 12.8 on 560, B200", host(B200, "560.35.05"), CU128_PTX, "gpu.ptx"),
    Row("PTX of 12.8 on 570, B200", host(B200, "570.124.06"), CU128_PTX),
    Row("H100, flash-attn for it", host(H100, "580.95.05"), FLASH),
    Row("5090, flash-attn of others", host(RTX5090, "580.95.05"), FLASH, "?gpu.extensions"),
    Row(
        "5090 and A100, torchvision of one",
        host((RTX5090, A100), "580.95.05"),
        replace(VISION, kernels=(built("torch", "sm_80 sm_120"), built("torchvision", "sm_80"))),
        "?gpu.extensions",
    ),
    Row("5090, torchvision of others", host(RTX5090, "580.95.05"), VISION, "gpu.extensions"),
    Row("NVIDIA's libraries make their own", host(RTX5090, "580.95.05"), CUFFT),
    Row("5090 on a base of 12.2", host(RTX5090, "580.95.05"), ON_2310, "?gpu.image"),
    Row("4090 on a base of 12.2", host(RTX4090, "580.95.05"), ON_2310),
    Row("torch without CUDA", host(RTX4090, "580.95.05"), CPU_TORCH, "?gpu.torch"),
    Row(
        "torch without CUDA, GPU asked for",
        host(RTX4090, "580.95.05"),
        replace(CPU_TORCH, gpu_required=True),
        "gpu.torch",
    ),
    Row("V100, a few kernels for it", host(V100, "580.95.05"), FEW_OLD, "gpu.kernels"),
    Row("5090 in a venv, base of 12.2", host(RTX5090, "580.95.05"), replace(ON_2310, venv=True)),
    Row("torch without CUDA on CPU", host(plumbing=UNKNOWN), CPU_TORCH, "?gpu.present"),
    # no GPU, or a driver that does not answer
    Row("CPU alone", host(plumbing=UNKNOWN), CU130, "?gpu.present"),
    Row("CPU alone, GPU asked for", host(plumbing=UNKNOWN), WANTED, "gpu.present"),
    Row("CPU alone, and that is wanted", host(plumbing=UNKNOWN), ON_CPU),
    Row("a driver without a GPU", host((), "580.95.05"), CU130, "?gpu.present"),
    Row("updated, not rebooted", UPDATED, CU130, "driver.mismatch"),
    Row("NVML does not start", faulty(INIT, "580.95.05", "580.95.05"), CU130, "driver.fault"),
    Row("NVML does not start, nothing known", faulty(INIT), CU130, "driver.fault"),
    Row("NVML does not start, half known", faulty(INIT, "580.95.05"), CU130, "driver.fault"),
    Row("halves that answer, 803", halves("580.82.07", "580.95.05"), CU130, "driver.mismatch"),
    Row("WSL, halves that differ", WSL_HALVES, CU130, "driver.mismatch"),
    Row("no library, as the probe says", NO_NVML, CU130, "?driver.library"),
    Row("no library, GPU asked for", NO_NVML, WANTED, "driver.library"),
    Row("a library of another machine", ODD_NVML, CU130, "?driver.library"),
    Row("NVML crashes", faulty("NVML crashed with SIGSEGV", kind="crash"), CU130, "driver.fault"),
    Row("NVML hangs", faulty("NVML gave no answer", kind="hang"), CU130, "driver.fault"),
    # GPUs that do not answer, or are not free
    Row("one of two is lost", silent(L40S, 1), CU130, "?gpu.silent"),
    Row("the one is lost", silent((), 0), CU130, "gpu.silent"),
    Row("the one that is asked for is lost", silent(L40S, 1), on("1"), "gpu.silent"),
    Row("another than the one asked for is lost", silent(L40S, 1), on("0"), ""),
    Row("its memory is held", busy(free_mib=1024), CU130, "?gpu.free"),
    Row("half of its memory is free", busy(free_mib=12 * 1024), CU130),
    Row("it is prohibited", busy(compute_mode="prohibited"), CU130, "gpu.mode"),
    Row("one program at a time", busy(compute_mode="exclusive process"), CU130),
    Row("a GPU that tells its name alone", host(NAMELESS, "580.95.05"), CU130),
    # MIG
    Row("MIG without an instance", host(MIG_EMPTY, "580.95.05"), CU130, "gpu.mig"),
    Row("MIG, one instance", host(MIG_ONE, "580.95.05"), CU130),
    Row("MIG, three instances", host(MIG_MANY, "580.95.05"), CU130, "?gpu.mig-several"),
    Row("MIG empty beside a whole GPU", host((A100, MIG_EMPTY), "580.95.05"), CU130, "?gpu.mig"),
    Row("MIG empty beside MIG", host((MIG_ONE, MIG_EMPTY), "580.95.05"), CU130, "?gpu.mig"),
    # into the container
    Row("20.10 with toolkit", host(A100, "580.95.05", E20), CU130),
    Row("24.0 with toolkit", host(A100, "580.95.05", E24), CU130),
    Row("29.0 with runtime", host(A100, "580.95.05", E29), CU130),
    Row("nothing installed", host(A100, "580.95.05", BARE28, NOTHING), CU130, "gpu.plumbing"),
    Row("nothing, GPU not wanted", host(A100, "580.95.05", BARE28, NOTHING), ON_CPU),
    Row("24.0 cannot CDI", host(A100, "580.95.05", E24, spec("580.95.05")), CU130, "gpu.plumbing"),
    Row("27.5 CDI off", host(A100, "580.95.05", E27, spec("580.95.05")), CU130, "gpu.cdi-feature"),
    Row("25.0 CDI off", host(A100, "580.95.05", E25, spec("580.95.05")), CU130, "gpu.cdi-feature"),
    Row("27.5 CDI on", host(A100, "580.95.05", CDI27, spec("580.95.05")), CU130),
    Row("27.5 CDI on, stale", host(A100, "580.95.05", CDI27, spec("570.124.06")), CU130, "gpu.cdi"),
    Row("27.5 CDI on, no file", host(A100, "580.95.05", CDI27), CU130, "gpu.cdi"),
    Row("27.5 CDI on, nothing", host(A100, "580.95.05", CDI27, NOTHING), CU130, "gpu.plumbing"),
    Row("28.5 runtime first, stale CDI", host(A100, "580.95.05", BOTH28, STALE), CU130),
    Row("28.2 CDI, none found", debian("28.2.0", cdi=True), CU130, "gpu.cdi"),
    Row("28.5 CDI, file elsewhere", host(A100, "580.95.05", CDI28, NOTHING), CU130),
    Row("27.5 of Debian, CDI off", debian("27.5.1+dfsg4", cdi=False), CU130, "gpu.cdi-feature"),
    Row("28.5 of Debian, none found", debian("28.5.2+dfsg1", cdi=True), CU130, "gpu.cdi"),
    Row("28.5 runtime alone", host(A100, "580.95.05", E28, NOTHING), CU130),
    Row("28.5 CDI", host(A100, "580.95.05", CDI28, spec("580.95.05")), CU130),
    Row("28.5 CDI, driver untold", host(A100, "580.95.05", CDI28, spec(None)), CU130),
    Row(
        "28.5 CDI, another GPU than it has",
        host((A100, A100), "580.95.05", CDI28, spec("580.95.05")),
        on("1"),
        "gpu.cdi-device",
    ),
    Row("28.5 CDI, stale", host(A100, "580.95.05", CDI28, spec("570.124.06")), CU130, "gpu.cdi"),
    Row(
        "28.5 CDI, in a folder it does not read",
        host(
            A100,
            "580.95.05",
            replace(CDI28, cdi_devices=("amd.com/gpu=0",)),
            spec("580.95.05", "/opt/cdi/nvidia.yaml"),
        ),
        CU130,
        "gpu.cdi",
    ),
    Row("systemd, no links", host(A100, "580.95.05", SYSTEMD, NO_LINKS), CU130, "?gpu.char-links"),
    Row("systemd, links", host(A100, "580.95.05", SYSTEMD), CU130),
    Row(
        "systemd, no links, CDI",
        host(
            A100,
            "580.95.05",
            replace(CDI28, cgroup_driver="systemd"),
            replace(spec("580.95.05"), char_links=False),
        ),
        CU130,
    ),
    Row("no uvm", host(A100, "580.95.05", E28, NO_UVM), CU130, "?gpu.uvm"),
    Row("no uvm, CDI", host(A100, "580.95.05", CDI28, CDI_NO_UVM), CU130, "gpu.uvm"),
    Row("no-cgroups for root", host(A100, "580.95.05", E28, NO_CGROUPS), CU130, "gpu.no-cgroups"),
    Row("rootless", rootless(TOOLKIT), CU130, "engine.rootless"),
    Row("rootless, no-cgroups", rootless(NO_CGROUPS), CU130),
    Row("rootless, unknown", rootless(CGROUPS_UNKNOWN), CU130, "?engine.rootless"),
    Row("rootless, CDI", rootless(spec("580.95.05"), cdi=True), CU130),
    Row("rootless, CDI off", rootless(spec("580.95.05")), CU130, "gpu.cdi-feature"),
    Row("rootless, nothing", rootless(NOTHING), CU130, "gpu.plumbing"),
    Row("snap", host(A100, "580.95.05", SNAP), CU130, "engine.snap"),
    Row(
        "snap with a runtime",
        host(A100, "580.95.05", replace(SNAP, runtimes=("nvidia", "runc"))),
        CU130,
        "?engine.snap",
    ),
    Row("snap without a GPU", host((), None, SNAP, UNKNOWN), CU130, "?gpu.present"),
    Row("snap elsewhere", host(engine=FAR_SNAP), CU130, "?engine.elsewhere engine.snap"),
    Row("systemd, no links, WSL", host(A100, "580.95.05", SYSTEMD, WSL_NO_LINKS), CU130),
    Row("systemd, no links, rootless", rootless(replace(NO_CGROUPS, char_links=False)), CU130),
    Row("no-cgroups, CDI", host(A100, "580.95.05", CDI28, CDI_NO_CGROUPS), CU130),
    Row("no-cgroups, WSL", host(A100, "580.95.05", E28, replace(WSL, no_cgroups=True)), CU130),
    Row("nodes without a library", host((), None, E28, NO_UVM), CU130, "?driver.library"),
    Row("nodes not listed", host(A100, "580.95.05", E28, UNKNOWN), CU130),
    Row("a driver of unknown version", unknown_driver(CDI28, spec("580.95.05")), CU130),
    Row("a driver of unknown version, NGC", unknown_driver(E28, TOOLKIT), NGC_2501),
    Row("NGC, its libcuda untold", host(A100, "580.95.05"), replace(NGC_2501, image_driver=None)),
    # WSL, arm64, Jetson
    Row("WSL 4090", host(RTX4090, "580.95.05", E28, WSL), CU130),
    Row("WSL 4090 old driver", host(RTX4090, "535.183.01", E28, WSL), CU130, "driver.cuda"),
    Row("WSL, PTX of 13.2 on 580", host(FUTURE, "580.95.05", E28, WSL), CU132_PTX, "gpu.ptx"),
    Row("WSL without a GPU", host((), None, E28, WSL), CU130, "?gpu.wsl"),
    Row("WSL without a GPU, asked for", host((), None, E28, WSL), WANTED, "gpu.wsl"),
    Row("WSL, no NVML", replace(faulty("libnvidia-ml.so.1"), plumbing=WSL), CU130, "gpu.wsl"),
    Row("amd64 on arm64", host(GH200, "580.95.05", ARM28), CU130, "platform"),
    Row("WSL, nothing installed", WSL_NOTHING, CU130, "gpu.plumbing"),
    Row("arm64 on amd64", host(H100, "580.95.05"), ARM130, "platform"),
    Row("GH200", host(GH200, "580.95.05", ARM28), ARM130),
    Row("GB10", host(GB10, "580.95.05", ARM28), ARM130),
    Row("Orin, common", host(ORIN, "540.4.0", ARM28, JETSON), ARM130, "driver.cuda gpu.jetson"),
    Row("Orin, its own image", host(ORIN, "540.4.0", ARM28, JETSON), IGPU),
    Row("Orin, untold", host(ORIN, "540.4.0", ARM28, JETSON), IGPU_UNTOLD, "?gpu.jetson"),
    Row("Orin without its file", host(ORIN, "540.4.0", ARM28), IGPU),
    Row("Orin, an image with compat", host(ORIN, "540.4.0", ARM28, JETSON), IGPU_COMPAT),
    Row("Orin on an old base", host(ORIN, "540.4.0", ARM28, JETSON), IGPU_OLD),
    Row("Thor", host(THOR, "580.95.05", ARM28, JETSON), replace(ARM130, kernels=SBSA)),
    # engines
    Row("no engine", DOWN, CU130, "engine"),
    Row("no engine, a venv", DOWN, VENV),
    Row("an arm64 engine elsewhere", host(engine=FAR_ARM), CU130, "?engine.elsewhere platform"),
    Row("engine elsewhere", host(A100, "390.157", FAR, NOTHING), CU130, "?engine.elsewhere"),
    Row("17.05", host(plumbing=UNKNOWN, engine=E17), ON_CPU, "?engine.api"),
    Row("17.05 with a GPU", host(A100, "580.95.05", E17), CU130, "engine.api"),
    Row("19.03 with a GPU", host(A100, "580.95.05", E19), CU130, "?engine.api"),
    Row("1.12", host(engine=replace(E17, api=(1, 23))), ON_CPU, "engine.api"),
    Row(
        "an engine of the future",
        host(A100, "580.95.05", replace(E29, api=(1, 60), oldest_api=(1, 54))),
        CU130,
        "?engine.api",
    ),
    Row("an engine that does not tell its API", host(engine=replace(E28, api=(0, 0))), ON_CPU),
    Row("an engine that begins where we end", host(A100, "580.95.05", NEXT), CU130),
    Row("no BuildKit", NO_BUILDER, TO_BUILD, "engine.buildkit"),
    Row("no BuildKit, nothing to build", NO_BUILDER, ON_CPU),
    Row("no helper", NO_HELPER, CU130, "?credentials.helper"),
    Row("no helper, all here", NO_HELPER, replace(CU130, local=True)),
    Row("a base that is gone", host(RTX4090, "580.95.05"), unread(gone=True), "base"),
    Row("a silent registry", host(RTX4090, "580.95.05"), unread(gone=False), "?base"),
    Row("an image unread", host(RTX4090, "580.95.05"), UNREAD, "?registry"),
    Row("20.10.9, Ubuntu 22.04", host(engine=OLD_FILTER), JAMMY, "?engine.clone3"),
    Row("20.10.9, Ubuntu 20.04", host(engine=OLD_FILTER), FOCAL),
    Row("20.10.10, Ubuntu 22.04", host(engine=NEW_FILTER), JAMMY),
    Row("20.10.9 without a filter", host(engine=NO_FILTER), JAMMY),
    Row("20.10 and zstd", free(200, E20), zstd(), "engine.layers"),
    Row("24.0 and zstd", free(200, E24), zstd()),
    Row("20.10 and gzip", free(200, E20), missing(4)),
    Row("layers that are encrypted", free(200), odd_layers(), "?engine.layers-unknown"),
    # disk, shared memory, C library
    Row("no inodes", inodes(2_000), missing(4), "disk.inodes"),
    Row("few inodes", inodes(30_000), missing(4), "?disk.inodes"),
    Row("no inodes, an image that says nothing", inodes(10), of_unknown_files(), "?disk.inodes"),
    Row("inodes enough", inodes(100_000), missing(4)),
    Row("no inodes, nothing to fetch", inodes(0), missing()),
    Row("room", free(26), missing(4, 6)),
    Row("room to the byte", free(25), missing(4, 6)),
    Row("little room", free(22), missing(4, 6), "?disk"),
    Row("the least room", free(20), missing(4, 6), "?disk"),
    Row("no room", free(19), missing(4, 6), "disk"),
    Row("no room in containerd's store", free(26, E29), missing(4, 6), "disk"),
    Row("little room in containerd's store", free(32, E29), missing(4, 6), "?disk"),
    Row("no room, and the engine does not tell", free_unknown(), missing(4, 6)),
    Row("no room, nothing to fetch", free(0), missing()),
    Row("little shm, a container", small(), CU130),
    Row("little shm, a venv", small(), VENV, "?shm"),
    Row("shm to the byte, a venv", small(2**30), VENV),
    Row("old glibc, a venv", small(2**34, "2.31"), VENV, "?platform.glibc"),
    Row("the same glibc, a venv", small(2**34, "2.36"), VENV),
    Row("glibc untold, a venv", small(2**34, "2.31"), replace(VENV, glibc=None)),
    Row("conda without py-rattler", replace(small(2**34), rattler=False), CONDA, "conda"),
    Row("conda with py-rattler", small(2**34), CONDA),
    Row(
        "conda in a container",
        replace(small(2**34), rattler=False),
        replace(CU130, conda=True),
    ),
    Row("old glibc, a container", small(2**34, "2.31"), replace(CU130, glibc="2.36")),
    # an image that says nothing of itself
    Row("untold on 4090", host(RTX4090, "580.95.05"), UNTOLD),
    Row("untold on 1080", host(GTX1080, "390.157"), UNTOLD),
    Row("untold on CPU", host(plumbing=UNKNOWN), UNTOLD, "?gpu.present"),
    # several faults at once
    Row(
        "Blackwell, old driver, nothing installed",
        host(RTX5090, "570.124.06", BARE28, NOTHING),
        CU130,
        "driver.cuda gpu.plumbing",
    ),
    Row(
        "old everything",
        replace(host(GTX1080, "470.82.01", E19, NOTHING), missing_helpers=("docker-credential-x",)),
        CU130,
        "?engine.api driver.cuda gpu.kernels gpu.plumbing ?credentials.helper",
    ),
)  # fmt: skip
