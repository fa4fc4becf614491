"""Name what two looks differ in, by consequence. Pure: values in, differences out.

What belongs to which group is the data at the top. Some of it needs a word:

- A patch release of Python is behaviour: wheels fit it, its library was mended.
- torch is ABI by its version, its commit and the CUDA major that it was built for; another CUDA
  minor is numerics, and so are files of torch that were edited.
- Another version is one difference: that its content and its tags differ too goes without saying,
  as it does that a compiled package of another Python is another wheel.
- Who installed a package and from where is cosmetic: its bytes are compared, whoever brought them.
- Of the machine, glibc and the architecture are ABI, since wheels are chosen by them. The GPUs,
  the driver, the processor and the name of the operating system are cosmetic: an environment is
  the same on another machine, and a smoke-train names its device itself. What a host allows
  (limits, /dev/shm, the ways between GPUs) is not compared at all.
- How an NVIDIA image names itself is cosmetic: what it holds is compared.
- The proof of a pin and the date of a capture are no facts of an environment, and not compared.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapenv.model.difference import Difference, Group, Section
from snapenv.model.facts import NEUTRAL_VARIABLES as _NEUTRAL
from snapenv.verify.executable import BITS, executable_apart, loose_executable_apart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from snapenv.model.facts import Facts
    from snapenv.model.hardware import Hardware
    from snapenv.model.native import Native, NativeLibrary
    from snapenv.model.python import (
        Distribution,
        Environment,
        Files,
        Interpreter,
        Libraries,
        LooseFile,
        Torch,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Consequence:
    """What follows from the differences of a group, and what to do; None where nothing follows."""

    title: str
    reason: str
    fix: str | None


CONSEQUENCES: Mapping[Group, Consequence] = {
    "abi": Consequence(
        title="ABI",
        reason="compiled code of one may not load in the other",
        fix="Reinstall what is compiled; no wheel of one side is good for the other.",
    ),
    "numerics": Consequence(
        title="numerics",
        reason="the same training may give other losses",
        fix="Bring these to one state before losses are compared.",
    ),
    "behaviour": Consequence(
        title="behaviour",
        reason="code may run otherwise; losses should stay",
        fix="Bring these to one state, or see that none of them matters to your code.",
    ),
    "cosmetic": Consequence(
        title="cosmetic",
        reason="names, origins, the machine; it runs the same",
        fix=None,
    ),
}

# Arithmetic of the model, of the images, or of what is done to images before the model sees them.
_NUMERICS = re.compile(
    r"torch|torchvision|ultralytics|numpy|scipy|pillow|pillow-simd|opencv-.+|albumentationsx?"
    r"|albucore|triton|pytorch-triton|mkl|intel-openmp|nvidia-(?!ml-py$).+"
)
# Their folders in site-packages: a file of no package in there is part of what is imported.
_NUMERICS_FOLDERS = frozenset(
    (
        "PIL",
        "albucore",
        "albumentations",
        "cv2",
        "numpy",
        "nvidia",
        "scipy",
        "torch",
        "torchvision",
        "triton",
        "ultralytics",
    )
)
# Order, memory, speed, caches, how Python runs code. All others that a probe reads choose kernels,
# precision or threads.
_NO_ARITHMETIC = frozenset(
    (
        "CUDA_DEVICE_MAX_CONNECTIONS",
        "CUDA_DEVICE_ORDER",
        "CUDA_DISABLE_PTX_JIT",
        "CUDA_FORCE_PTX_JIT",
        "CUDA_LAUNCH_BLOCKING",
        "PYTHONOPTIMIZE",
        "PYTHONSAFEPATH",
        "PYTHON_GIL",
        "PYTORCH_ALLOC_CONF",
        "PYTORCH_CUDA_ALLOC_CONF",
        "PYTORCH_NO_CUDA_MEMORY_CACHING",
    )
)
_OF_DRIVER = re.compile(r"lib(cuda|nvidia-.+|nvcuvid|nvoptix)\.so.*")  # comes with the GPU
_DEFAULT_CHANGED = ("tensorboard", "wandb")
"""Integrations that are off by default since some ultralytics 8.3; the others are on in all.

Source: SettingsManager in ultralytics/utils/__init__.py of 8.1.0 to 8.4.190.
"""
_NAMED = 3  # of what many packages share


def differences(left: Facts, right: Facts) -> tuple[Difference, ...]:
    """Name all that differs, the gravest group first; nothing where two looks saw the same.

    Of compiled code only what both looks saw is compared: an older snapshot does not hold it.
    Within a group, the parts come in one order: Python, torch, libraries, packages by name,
    files by path, variables, settings, the machine.
    """
    there, here = left.environment, right.environment
    found = (
        *_python(there.interpreter, here.interpreter),
        *_torch(there.torch, here.torch),
        *_libraries(there.libraries, here.libraries),
        *_native(left, right),
        *_distributions(there, here),
        *_loose(there.unowned, here.unowned),
        *_outside(there.outside, here.outside),
        *_import_path(there.import_path, here.import_path),
        *_variables(left.variables, right.variables),
        *_startup(left.startup, right.startup),
        *_settings(left.settings, right.settings),
        *_machine(left.hardware, right.hardware),
        *_image(left.image, right.image),
    )
    order = list(CONSEQUENCES)
    return tuple(sorted(found, key=lambda one: order.index(one.group)))


def sections(found: Sequence[Difference]) -> tuple[Section, ...]:
    """Group what differs by what follows from it; a group without differences is there, too."""
    return tuple(_section(group, found) for group in CONSEQUENCES)


def _section(group: Group, found: Sequence[Difference]) -> Section:
    told = tuple(one for one in found if one.group == group)
    consequence = CONSEQUENCES[group]
    return Section(
        title=consequence.title,
        ok=consequence.fix is None or not told,
        reason=consequence.reason if told else "the same",
        differences=told,
    )


def _differ(
    group: Group, subject: str, left: str | None, right: str | None
) -> Iterator[Difference]:
    if left != right:
        yield Difference(group=group, subject=subject, left=left, right=right)


def _python(left: Interpreter, right: Interpreter) -> Iterator[Difference]:
    yield from _differ(
        "behaviour" if _abi(left) == _abi(right) else "abi",
        "Python",
        f"{left.implementation} {left.version}",
        f"{right.implementation} {right.version}",
    )


def _abi(interpreter: Interpreter) -> tuple[str, str]:
    return interpreter.implementation, interpreter.minor


def _torch(left: Torch | None, right: Torch | None) -> Iterator[Difference]:
    """Compare what torch says of itself; where one side has none, all else follows from that."""
    there, here = (torch.version if torch else None for torch in (left, right))
    yield from _differ("abi", "torch", there, here)
    if left is None or right is None:
        return
    same_major = _major(left.cuda) == _major(right.cuda)
    yield from _differ("numerics" if same_major else "abi", "CUDA", left.cuda, right.cuda)
    if left.version == right.version:
        yield from _differ("abi", "torch's commit", _short(left.git), _short(right.git))


def _major(version: str | None) -> str | None:
    return version and version.partition(".")[0]


def _short(digest: str | None) -> str | None:
    return digest and digest[:12]


def _libraries(left: Libraries, right: Libraries) -> Iterator[Difference]:
    yield from _differ("numerics", "cuDNN", left.cudnn, right.cudnn)
    yield from _differ("numerics", "NCCL", left.nccl, right.nccl)


def _native(left: Facts, right: Facts) -> Iterator[Difference]:
    if left.native is None or right.native is None:
        return
    yield from _differ("numerics", "cuBLAS", left.native.cublas, right.native.cublas)
    names = {one.name for one in left.environment.distributions}
    both = names & {one.name for one in right.environment.distributions}
    yield from _kernels(left.native, right.native, of={None, *both})
    here = {one.soname: one for one in right.native.libraries}
    for library in left.native.libraries:
        if library.soname in here and not _OF_DRIVER.fullmatch(library.soname):
            yield from _library(library, here[library.soname])


def _kernels(left: Native, right: Native, *, of: set[str | None]) -> Iterator[Difference]:
    """Give the GPU architectures that one side alone has kernels for."""
    there, here = (
        {one.distribution: one.architectures for one in native.kernels} for native in (left, right)
    )
    for name in sorted((there.keys() | here.keys()) & of, key=lambda name: name or ""):
        yield from _only(
            "abi", f"kernels of {name or 'loose files'}", there.get(name, ()), here.get(name, ())
        )


def _only(
    group: Group, subject: str, left: Iterable[str], right: Iterable[str]
) -> Iterator[Difference]:
    """Name what each side has and the other has not."""
    there, here = tuple(left), tuple(right)
    yield from _differ(
        group,
        subject,
        " ".join(one for one in there if one not in here) or None,
        " ".join(one for one in here if one not in there) or None,
    )


def _library(left: NativeLibrary, right: NativeLibrary) -> Iterator[Difference]:
    """Compare a library that both sides name; what no import loads may be missing."""
    if left.found != right.found:
        if left.required or right.required:
            yield from _differ("behaviour", left.soname, _found(left), _found(right))
    elif left.package and right.package:
        yield from _differ("cosmetic", f"package of {left.soname}", left.package, right.package)


def _found(library: NativeLibrary) -> str | None:
    return (library.package or "found") if library.found else None


def _distributions(left: Environment, right: Environment) -> Iterator[Difference]:
    there, here = (
        {one.name: one for one in environment.distributions} for environment in (left, right)
    )
    both = {name: (there[name], here[name]) for name in sorted(there.keys() & here.keys())}
    same_python = _abi(left.interpreter) == _abi(right.interpreter)
    told = {"torch"} if left.torch or right.torch else set()  # by itself, better than by METADATA
    for name in sorted(there.keys() | here.keys()):
        if name not in told:
            yield from _version(name, there.get(name), here.get(name))
        if name in both:
            yield from _content(*both[name], same_python=same_python)
    yield from _shared(
        "origin", {name: (_origin(one), _origin(two)) for name, (one, two) in both.items()}
    )
    yield from _shared(
        "installer", {name: (one.installer, two.installer) for name, (one, two) in both.items()}
    )


def _group_of(name: str) -> Group:
    return "numerics" if _NUMERICS.fullmatch(name) else "behaviour"


def _version(
    name: str, left: Distribution | None, right: Distribution | None
) -> Iterator[Difference]:
    group: Group = "abi" if name == "torch" else _group_of(name)
    there, here = (found.version if found else None for found in (left, right))
    yield from _differ(group, name, there, here)


def _content(left: Distribution, right: Distribution, *, same_python: bool) -> Iterator[Difference]:
    """Compare what two of one name hold; of two Pythons, a compiled wheel is never the same."""
    by_hand = tuple(_by_hand(left, right))
    if left.version == right.version:
        yield from _tags(left, right, same_python=same_python)
        if same_python or set(left.tags) == set(right.tags):
            yield from _bytes(left, right, told=bool(by_hand))
    yield from by_hand
    for path, (there, here) in executable_apart(left.files, right.files).items():
        yield from _differ("behaviour", path, there, here)


def _tags(left: Distribution, right: Distribution, *, same_python: bool) -> Iterator[Difference]:
    """Compare what two wheels of one version are for; of two Pythons, the platforms alone."""
    if not left.tags or not right.tags:
        return
    is_compiled = any(not tag.endswith("-none-any") for tag in (*left.tags, *right.tags))
    start = 0 if same_python else 2  # a tag is python-abi-platform
    there, here = (["-".join(tag.split("-")[start:]) for tag in one.tags] for one in (left, right))
    yield from _only("abi" if is_compiled else "cosmetic", f"tags of {left.name}", there, here)


def _bytes(left: Distribution, right: Distribution, *, told: bool) -> Iterator[Difference]:
    """Compare hashes; ``told`` where single files are named that can be all there is."""
    there, here = left.files, right.files
    if there and here and there.sha256 == here.sha256:
        return
    if there is None or here is None or not told or _other_build(there, here):
        yield from _differ(
            _group_of(left.name), left.name, _describe_files(there), _describe_files(here)
        )


def _by_hand(left: Distribution, right: Distribution) -> Iterator[Difference]:
    """Name the files that were edited or deleted on one side, and not so on the other."""
    if left.files is None or right.files is None or left.files.sha256 == right.files.sha256:
        return
    there, here = (
        {**dict.fromkeys(files.missing), **dict.fromkeys(files.edited, "edited")}
        for files in (left.files, right.files)
    )
    for path in sorted(there.keys() | here.keys()):
        yield from _differ(
            _group_of(left.name),
            path,
            there.get(path, "as installed"),
            here.get(path, "as installed"),
        )


def _other_build(left: Files, right: Files) -> bool:
    """Say whether two were not the same before anyone edited them, where that is known."""
    there, here = _before_edits(left), _before_edits(right)
    return there is not None and here is not None and there != here


def _before_edits(files: Files) -> str | None:
    """Give the digest of what was installed; of an edited script nothing tells its first line."""
    changed = (*files.edited, *files.missing)
    if any(path.startswith("../") for path in changed):
        return None
    return files.recorded if changed else files.sha256


def _describe_files(files: Files | None) -> str:
    if files is None:
        return "content unknown, no RECORD"
    edited = [f"edited {path}" for path in files.edited[:_NAMED]]
    return ", ".join([*edited, f"content {files.sha256[:12]}"])


def _origin(distribution: Distribution) -> str:
    return f"{distribution.origin} {distribution.url or ''}".rstrip()


def _shared(what: str, pairs: Mapping[str, tuple[str | None, str | None]]) -> Iterator[Difference]:
    """Give one cosmetic difference for all packages that differ alike."""
    alike: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    for name, pair in pairs.items():
        alike[pair].append(name)
    for (left, right), names in alike.items():
        more = len(names) - 1
        subject = f"{what} of {names[0]}" + (f" and {more} more" if more else "")
        yield from _differ("cosmetic", subject, left, right)


def _loose(left: tuple[LooseFile, ...], right: tuple[LooseFile, ...]) -> Iterator[Difference]:
    there, here = ({file.path: file for file in files} for files in (left, right))
    for path in sorted(there.keys() | here.keys()):
        one, two = there.get(path), here.get(path)
        told = loose_executable_apart(one, two)
        group: Group = "numerics" if path.partition("/")[0] in _NUMERICS_FOLDERS else "behaviour"
        yield from _differ(group, path, *(_describe_loose(file, bit=told) for file in (one, two)))


def _describe_loose(file: LooseFile | None, *, bit: bool) -> str | None:
    if file is None:
        return None
    if file.folder:
        return "an empty folder"
    end = f", {BITS[bool(file.executable)]}" if bit else ""
    return f"-> {file.link}" if file.link else f"content {_short(file.sha256)}{end}"


def _outside(left: tuple[str, ...], right: tuple[str, ...]) -> Iterator[Difference]:
    there, here = (dict.fromkeys(entries, "leads outside") for entries in (left, right))
    for entry in sorted(there.keys() | here.keys()):
        yield from _differ("behaviour", entry, there.get(entry), here.get(entry))


def _import_path(
    left: tuple[str, ...] | None, right: tuple[str, ...] | None
) -> Iterator[Difference]:
    if left is not None and right is not None:
        yield from _differ("behaviour", "import path", ", ".join(left), ", ".join(right))


def _variables(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(left.keys() | right.keys()):
        there, here = (values.get(name) for values in (left, right))
        if (there or _NEUTRAL.get(name)) != (here or _NEUTRAL.get(name)):
            group: Group = "behaviour" if name in _NO_ARITHMETIC else "numerics"
            yield from _differ(group, name, there, here)


def _startup(
    left: Mapping[str, Sequence[str]] | None, right: Mapping[str, Sequence[str]] | None
) -> Iterator[Difference]:
    if left is None or right is None:
        return
    there, here = (
        {name: f"brings {', '.join(names)}" for name, names in one.items()} for one in (left, right)
    )
    for name in sorted(there.keys() | here.keys()):
        yield from _differ("behaviour", name, there.get(name), here.get(name))


def _settings(left: Mapping[str, bool], right: Mapping[str, bool]) -> Iterator[Difference]:
    """Compare ultralytics' integrations: what they call back may run, the losses are the same.

    ultralytics writes the file with its defaults when it is first imported: what may be one is
    cosmetic beside no file at all.
    """
    words: Mapping[bool | None, str | None] = {True: "on", False: "off", None: None}
    for name in sorted(left.keys() | right.keys()):
        there, here = left.get(name), right.get(name)
        written = not (left and right) and (there or here or name in _DEFAULT_CHANGED)
        group: Group = "cosmetic" if written else "behaviour"
        yield from _differ(group, f"ultralytics' {name}", words[there], words[here])


def _machine(left: Hardware, right: Hardware) -> Iterator[Difference]:
    there, here = left.system, right.system
    yield from _differ("abi", "glibc", there.glibc, here.glibc)
    yield from _differ("abi", "architecture", there.machine, here.machine)
    yield from _differ("cosmetic", "operating system", there.os, here.os)
    yield from _differ("cosmetic", "container", there.container, here.container)
    yield from _differ("cosmetic", "processor", there.cpu, here.cpu)
    yield from _differ("cosmetic", "processors", str(there.cpu_count), str(here.cpu_count))
    yield from _differ("cosmetic", "CUDA toolkit", there.cuda_toolkit, here.cuda_toolkit)
    yield from _differ("cosmetic", "driver", _driver(left), _driver(right))
    yield from _differ("cosmetic", "GPUs", _gpus(left), _gpus(right))


def _driver(hardware: Hardware) -> str | None:
    if hardware.driver_fault:
        return "does not answer"
    return hardware.driver.version if hardware.driver else None


def _gpus(hardware: Hardware) -> str | None:
    """Count the GPUs by their names; those that do not answer are there all the same."""
    if hardware.driver_fault and not hardware.gpus:
        return "unknown"
    names = Counter(gpu.name for gpu in hardware.gpus)
    names.update("that does not answer" for _ in hardware.gpu_faults)
    return ", ".join(f"{count} x {name}" for name, count in names.items()) or None


def _image(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(left.keys() | right.keys()):
        yield from _differ("cosmetic", name, left.get(name), right.get(name))
