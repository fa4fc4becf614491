"""A realistic small environment as values: torch with CUDA 13 from an index, and ultralytics.

Each function gives the same value each time; a keyword replaces one part of it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from snapenv.lock.pins import pinned
from snapenv.lock.store import make_snapshot
from snapenv.model.conda import CondaArchive, CondaEnvironment, CondaLock, CondaPackage
from snapenv.model.facts import PROBE_SCHEMA, Facts, Kernels, Native, NativeLibrary
from snapenv.model.fingerprint import Conditions, Fingerprint, Speed
from snapenv.model.hardware import Driver, Gpu, Hardware, System
from snapenv.model.launch import InVenv, Launch, RunRecord
from snapenv.model.python import (
    Distribution,
    Environment,
    Files,
    Interpreter,
    Libraries,
    Torch,
    UntrackedFile,
)
from snapenv.model.snapshot import Base, Installer, Lock
from snapenv.model.wheels import FromBase, IndexWheel, Pinned, Vendored
from snapenv.pylock import write_pylock
from snapenv.render.dockerfile import render_dockerfile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snapenv.model.python import OriginKind
    from snapenv.model.snapshot import Snapshot
    from snapenv.model.wheels import Locked

TAG = "train-yolov8.4.190-base-cu130"
CAPTURED_AT = "2026-03-01T12:00:00+00:00"
ANY = ("py3-none-any",)

INDEX_TORCH = Torch(
    version="2.11.0+cu130", cuda="13.0", git="70d99e998b4955e0049d13a98d77ae1b14db1f45"
)
BASE_TORCH = Torch(version="2.6.0a0+ecf3bae40a.nv25.1", cuda="12.8", git="ecf3bae40a")
DRIVER = Driver(version="580.95.05", cuda=(13, 0))
GPU = Gpu(name="NVIDIA H200", memory_mib=143_771, compute_capability=(9, 0))
NVIDIA_IMAGE = {"NVIDIA_PYTORCH_VERSION": "25.01", "CUDA_VERSION": "12.8.0.038"}

EXACT_BASE = Base(
    image="nvcr.io/nvidia/pytorch:25.10-py3",
    site_packages="isolated",
    reasons=("no package is a base image's own: all are installed from the lock",),
)
OWN_BASE = Base(
    image="nvcr.io/nvidia/pytorch:25.01-py3",
    site_packages="inherited",
    reasons=(
        "torch is the base image's own, one of its 2 packages",
        "NVIDIA_PYTORCH_VERSION names 25.01-py3",
    ),
)


def sample_files(content: str = "as installed", **found: tuple[str, ...]) -> Files:
    """Return what a distribution put on disk; ``edited`` and ``missing`` name files."""
    return Files(
        count=12,
        size_bytes=34_567,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        edited=found.get("edited", ()),
        missing=found.get("missing", ()),
    )


def sample_distribution(
    name: str = "numpy",
    version: str = "2.4.6",
    *,
    origin: OriginKind = "index",
    tags: tuple[str, ...] = ANY,
    files: Files | None = None,
) -> Distribution:
    """Return one installed distribution, with files of its own where none are given."""
    return Distribution(
        name=name,
        version=version,
        origin=origin,
        installer="pip",
        tags=tags,
        files=files or sample_files(f"{name} {version}"),
    )


def sample_distributions(**origins: OriginKind) -> tuple[Distribution, ...]:
    """Return the packages of the environment, from the index but for those named in ``origins``."""
    return tuple(
        sample_distribution(name, version, tags=tags, origin=origins.get(name, "index"))
        for name, version, tags in (
            ("numpy", "2.4.6", _compiled("cp311-cp311", "manylinux_2_27", "manylinux_2_28")),
            ("nvidia-cudnn-cu13", "9.19.0.56", ("py3-none-manylinux_2_27_x86_64",)),
            ("opencv-python", "5.0.0.93", _compiled("cp37-abi3", "manylinux_2_28")),
            ("pyyaml", "6.0.3", _compiled("cp311-cp311", "manylinux2014", "manylinux_2_17")),
            ("torch", "2.11.0", _compiled("cp311-cp311", "manylinux_2_28")),
            ("torchvision", "0.26.0", _compiled("cp311-cp311", "manylinux_2_28")),
            ("ultralytics", "8.4.190", ANY),
        )
    )


def sample_environment(
    *,
    python: str = "3.11.7",
    torch: Torch | None = INDEX_TORCH,
    distributions: Sequence[Distribution] | None = None,
    untracked: tuple[UntrackedFile, ...] = (),
) -> Environment:
    """Return an environment; without torch it has no CUDA libraries either."""
    found = sample_distributions() if distributions is None else distributions
    return Environment(
        interpreter=Interpreter(implementation="cpython", version=python),
        distributions=tuple(sorted(found, key=lambda one: one.name)),
        untracked=untracked,
        torch=torch,
        libraries=Libraries(cudnn="9.19.0", nccl="2.28.9") if torch else Libraries(),
    )


def sample_hardware(*, driver: Driver | None = DRIVER, glibc: str | None = "2.36") -> Hardware:
    """Return a machine with one GPU, or with none where ``driver`` is None."""
    return Hardware(
        system=System(
            os="debian 12",
            machine="x86_64",
            glibc=glibc,
            cpu="Intel(R) Xeon(R) Platinum 8480C",
            cpu_count=16,
        ),
        driver=driver,
        gpus=(GPU,) if driver else (),
    )


def sample_native() -> Native:
    """Return the compiled code of the environment: torch for CUDA 13, OpenCV with its windows."""
    built_for = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
    return Native(
        kernels=(
            Kernels(
                distribution="torch",
                architectures=(*built_for[:4], "sm_90a", *built_for[4:]),
                common=built_for,
            ),
            Kernels(
                distribution="torchvision",
                architectures=(*built_for, "compute_120"),
                common=(*built_for, "compute_120"),
            ),
        ),
        libraries=(
            NativeLibrary(
                soname="libGL.so.1", package="libgl1", found=True, needed_by=("opencv-python",)
            ),
            NativeLibrary(soname="libcuda.so.1", found=True, needed_by=("torch",)),
            NativeLibrary(
                soname="libibverbs.so.1",
                package="libibverbs1",
                found=True,
                required=False,
                needed_by=("nvidia-cufile",),
            ),
        ),
        cublas="13.1.0",
    )


def sample_facts(
    *,
    environment: Environment | None = None,
    hardware: Hardware | None = None,
    variables: Mapping[str, str] | None = None,
    image: Mapping[str, str] | None = None,
    native: Native | None = None,
) -> Facts:
    """Return one look at the environment, outside of an NVIDIA image unless ``image`` says so."""
    return Facts(
        schema=PROBE_SCHEMA,
        hardware=hardware or sample_hardware(),
        environment=environment or sample_environment(),
        variables=variables or {},
        image=image or {},
        native=native,
    )


def sample_base_facts() -> Facts:
    """Return one look inside an NVIDIA image: torch and torchvision are its own."""
    own = sample_distributions(torch="base", torchvision="base")
    environment = sample_environment(python="3.12.3", torch=BASE_TORCH, distributions=own)
    return sample_facts(environment=environment, image=NVIDIA_IMAGE)


def sample_fingerprint(
    losses: Sequence[float] = (3.4375, 2.90625, 2.5), *, device: str = "NVIDIA H200"
) -> Fingerprint:
    """Return a smoke-train's losses and conditions."""
    return Fingerprint(
        losses=tuple(float(loss).hex() for loss in losses),
        conditions=Conditions(
            device=device,
            threads=1,
            tf32=False,
            ultralytics="8.4.190",
            torch="2.11.0+cu130",
            numpy="2.4.6",
            opencv="5.0.0",
            cudnn=None if device == "cpu" else 91_900,
            arguments={"imgsz": "64", "optimizer": '"SGD"', "seed": "0"},
            images_sha256=hashlib.sha256(b"images").hexdigest(),
        ),
        speed=Speed(
            images_per_s=210.5, step_ms_median=19.0, step_ms_p95=23.25, peak_gpu_memory_mib=412
        ),
    )


def sample_lock(
    *,
    facts: Facts | None = None,
    base: Base = EXACT_BASE,
    tag: str = TAG,
    baseline: Fingerprint | None = None,
) -> Lock:
    """Return the lock of an environment."""
    seen = facts or sample_facts()
    return Lock(
        snapenv="0.1.0",
        tag=tag,
        base=base,
        installer=Installer(
            version="0.9.3",
            url="https://files.example.com/uv-0.9.3-py3-none-manylinux_2_28_x86_64.whl",
            sha256=hashlib.sha256(b"uv").hexdigest(),
        ),
        hardware=seen.hardware,
        variables=seen.variables,
        image=seen.image,
        baseline=baseline,
        environment=seen.environment,
        packages={each.name: sample_locked(each) for each in seen.environment.distributions},
    )


def sample_locked(distribution: Distribution) -> Locked:
    """Return how a distribution comes back, of which nobody has read a RECORD."""
    if distribution.origin == "base":
        return FromBase()
    if distribution.origin != "index":
        return Vendored()
    return Pinned(wheel=sample_wheel(distribution.name, distribution.version), proof="none")


def sample_conda_package(name: str = "zlib", **fields: Any) -> CondaPackage:  # noqa: ANN401
    """Return a package of a channel; its fields can be given."""
    stem = f"{name}-1.3-h1_0"
    url = f"https://example.com/main/linux-64/{stem}.conda"
    usual: dict[str, Any] = {
        "version": "1.3",
        "build": "h1_0",
        "subdir": "linux-64",
        "channel": "https://example.com/main",
        "url": url,
        "file_name": f"{stem}.conda",
        "md5": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "size_bytes": 1000,
        "files": sample_files(name),
    }
    return CondaPackage(name=name, **{**usual, **fields})


def sample_conda_lock(
    *packages: CondaPackage, variables: Mapping[str, str] | None = None
) -> CondaLock:
    """Return the lock of a prefix whose packages come back from their channels."""
    return CondaLock(
        environment=CondaEnvironment(packages=packages, variables=variables or {}),
        archives={
            package.name: CondaArchive(
                file_name=package.file_name,
                url=package.url,
                sha256=package.sha256,
                md5=package.md5,
                size_bytes=package.size_bytes,
            )
            for package in packages
        },
    )


def pylock_of(lock: Lock) -> bytes:
    """Return the pylock.toml that belongs to a lock."""
    return write_pylock(
        lock.packages,
        machine=lock.hardware.system.machine,
        python=lock.environment.interpreter.minor,
    )


def sample_base_lock() -> Lock:
    """Return the lock of an environment that stands on an NVIDIA image."""
    return sample_lock(
        facts=sample_base_facts(), base=OWN_BASE, tag="train-yolov8.4.190-base-cu128"
    )


def sample_wheel(name: str, version: str) -> IndexWheel:
    """Return a wheel of an index, of 1 MB."""
    pin = sample_distribution(name, version)
    return IndexWheel(
        name=name,
        version=version,
        url=f"https://files.example.com/{wheel_name(pin)}",
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        size_bytes=1_000_000,
        index="https://example.com/simple",
    )


def sample_pylock(pins: Sequence[Distribution] | None = None) -> str:
    """Return a lock file as uv writes it: each package with one wheel that carries its tags."""
    found = pinned(sample_environment()) if pins is None else pins
    packages = "".join(_package(pin) for pin in found)
    return f'lock-version = "1.0"\ncreated-by = "uv"\nrequires-python = ">=3.11"\n{packages}'


def sample_snapshot(lock: Lock | None = None, *, captured_at: str = CAPTURED_AT) -> Snapshot:
    """Return a whole snapshot, with the Dockerfile that belongs to its lock."""
    written = lock or sample_lock()
    return make_snapshot(
        written,
        pylock=pylock_of(written),
        dockerfile=render_dockerfile(written),
        captured_at=captured_at,
    )


def wheel_name(pin: Distribution) -> str:
    """Return the file name of a distribution's wheel, its tags compressed as in the index."""
    python, abi, _ = pin.tags[0].split("-", 2)
    platforms = ".".join(sorted(tag.split("-", 2)[2] for tag in pin.tags))
    return f"{pin.name.replace('-', '_')}-{pin.version}-{python}-{abi}-{platforms}.whl"


def _compiled(python: str, *platforms: str) -> tuple[str, ...]:
    return tuple(f"{python}-{platform}_x86_64" for platform in platforms)


def _package(pin: Distribution) -> str:
    name = wheel_name(pin)
    return (
        f'\n[[packages]]\nname = "{pin.name}"\nversion = "{pin.version}"\n'
        f'wheels = [{{ url = "https://files.example.com/{name}", '
        f'hashes = {{ sha256 = "{hashlib.sha256(name.encode()).hexdigest()}" }} }}]\n'
    )


def sample_run_record(run: str = "261128-192551-4f2a", **fields: Any) -> RunRecord:  # noqa: ANN401
    """Return what is written down of a run that began in a venv, in the background."""
    record = RunRecord(
        run=run,
        kind="run",
        ref="tag",
        snapshot=None,
        created="2026-11-18T00:00:00Z",
        engine=None,
        results=None,
        detached=True,
        launch=Launch(run=run, place=InVenv(folder="/env"), argv=("true",)),
    )
    return replace(record, **fields)
