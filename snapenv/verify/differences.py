"""Name what differs between two environments, by consequence. Pure: values in, differences out.

``snapenv diff`` and the report list them; a proof folds the same ones into checks (``compare.py``).

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
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.facts import NEUTRAL_VARIABLES as _NEUTRAL
from snapenv.model.outcome import Difference, Group, Section, Topic
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from snapenv.model.conda import CondaEnvironment, CondaPackage
    from snapenv.model.facts import Facts, NativeLibrary
    from snapenv.model.hardware import Hardware
    from snapenv.model.python import (
        Distribution,
        Environment,
        Files,
        Interpreter,
        Torch,
        UntrackedFile,
    )

    _Path = tuple[str, ...] | None
    _Startup = Mapping[str, Sequence[str]] | None


class Consequence(Struct, frozen=True, kw_only=True):
    """What follows from the differences of a group, and what to do; None where nothing follows."""

    title: str
    reason: str
    fix: str | None


CONSEQUENCES: Mapping[Group, Consequence] = {
    "abi": Consequence(
        title="ABI",
        reason="compiled code of one may not load in the other",
        fix="Reinstall what is compiled; wheels of one do not fit the other.",
    ),
    "numerics": Consequence(
        title="numerics",
        reason="the same training may give different losses",
        fix="Make these equal before comparing losses.",
    ),
    "behaviour": Consequence(
        title="behaviour",
        reason="code may behave differently; same losses",
        fix="Make these equal, or check that none of them matters to your code.",
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
    r"|cudnn|cuda-.+|libcu.+|libblas|liblapack|libopenblas|openblas|llvm-openmp|libgomp|nccl"
)
# Of conda alone: what other packages are compiled against, and what computes under other names.
_ABI_OF_CONDA = frozenset(("python", "pytorch", "libtorch", "python_abi", "cudatoolkit"))
CONDA = "conda/"
"""How the ``package`` of a finding begins that is a package of conda, and no distribution."""
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
_BY_TOOLS = re.compile(
    r"(?:\.\./)+bin/(?:(?:de)?activate(?:\.(?:csh|fish|nu|ps1|bat|xsh|elv)|_this\.py)?|pydoc\.bat)"
    r"|_virtualenv\.(?:py|pth)",
    re.IGNORECASE,
)
IN_MEMORY = ("LD_AUDIT", "LD_PRELOAD")
"""Variables whose libraries are in the memory of every program."""

_DEFAULT_CHANGED = ("tensorboard", "wandb")
"""Integrations that are off by default since some ultralytics 8.3; the others are on in all.

Source: SettingsManager in ultralytics/utils/__init__.py of 8.1.0 to 8.4.190.
"""
_NAMED = 3  # of what many packages share


class Finding(Struct, frozen=True, kw_only=True):
    """A difference, and what a proof makes of it.

    ``topic`` is that of the check which it fails, None where it fails none. ``package`` is the
    distribution that it is in, "" of files that belong to none. What is not ``listed`` goes without
    saying beside another difference, or one side did not look for it.
    """

    difference: Difference
    topic: Topic | None = None
    package: str | None = None
    listed: bool = True


def differences(left: Facts, right: Facts) -> tuple[Difference, ...]:
    """Return what differs, the gravest group first; empty where both sides are the same.

    Of compiled code only what both sides looked at is compared: an older snapshot does not hold
    it. Within a group, the parts come in one order: Python, torch, libraries, packages by name,
    files by path, variables, settings, the machine.
    """
    listed = [finding.difference for finding in find_differences(left, right) if finding.listed]
    order = list(CONSEQUENCES)
    return tuple(sorted(listed, key=lambda difference: order.index(difference.group)))


def find_differences(left: Facts, right: Facts) -> tuple[Finding, ...]:
    """Return everything that differs, with the check which it fails, part by part."""
    environments = (left.environment, right.environment)
    return (
        *_judged("python", _python(*(side.interpreter for side in environments))),
        *_judged("frameworks", _frameworks(*environments)),
        *_judged(None, _torch_commit(*(side.torch for side in environments))),
        *_native(left, right),
        *_distributions(*environments),
        *_conda(left.conda, right.conda),
        *_untracked(*(side.untracked for side in environments)),
        *_judged(None, _outside(*(side.outside for side in environments))),
        *_judged("import-path", _import_path(*(side.import_path for side in environments))),
        *_judged("variables", _variables(left.variables, right.variables)),
        *_startup(left.startup, right.startup),
        *_judged(None, _settings(left.settings, right.settings)),
        *_judged(None, _machine(left.hardware, right.hardware)),
        *_judged(None, _image(left.image, right.image)),
    )


def sections(differing: Sequence[Difference]) -> tuple[Section, ...]:
    """Group differences by what follows from them; a group without any is there, too."""
    return tuple(_section(group, differing) for group in CONSEQUENCES)


def _section(group: Group, differing: Sequence[Difference]) -> Section:
    of_group = tuple(difference for difference in differing if difference.group == group)
    consequence = CONSEQUENCES[group]
    return Section(
        title=consequence.title,
        ok=consequence.fix is None or not of_group,
        reason=consequence.reason if of_group else "the same",
        differences=of_group,
    )


def _judged(
    topic: Topic | None,
    differing: Iterable[Difference],
    *,
    package: str | None = None,
    listed: bool = True,
) -> Iterator[Finding]:
    for difference in differing:
        yield Finding(difference=difference, topic=topic, package=package, listed=listed)


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


def _frameworks(left: Environment, right: Environment) -> Iterator[Difference]:
    """Compare what torch says of itself; where one side has none, all else follows from that."""
    versions = [side.torch.version if side.torch else None for side in (left, right)]
    yield from _differ("abi", "torch", *versions)
    if left.torch and right.torch:
        cuda = (left.torch.cuda, right.torch.cuda)
        same_major = _major(cuda[0]) == _major(cuda[1])
        yield from _differ("numerics" if same_major else "abi", "CUDA", *cuda)
    yield from _differ("numerics", "cuDNN", left.libraries.cudnn, right.libraries.cudnn)
    yield from _differ("numerics", "NCCL", left.libraries.nccl, right.libraries.nccl)


def _major(version: str | None) -> str | None:
    return version and version.partition(".")[0]


def _torch_commit(left: Torch | None, right: Torch | None) -> Iterator[Difference]:
    if left and right and left.version == right.version:
        yield from _differ("abi", "torch's commit", _short(left.git), _short(right.git))


def _short(digest: str | None) -> str | None:
    return digest and digest[:12]


def _native(left: Facts, right: Facts) -> Iterator[Finding]:
    if left.native is None or right.native is None:
        return
    cublas = _differ("numerics", "cuBLAS", left.native.cublas, right.native.cublas)
    yield from _judged("kernels", cublas)
    yield from _kernels(left, right)
    yield from _system_libraries(left.native.libraries, right.native.libraries)


def _kernels(left: Facts, right: Facts) -> Iterator[Finding]:
    """Compare the GPU architectures; those of a package on one side alone go without saying."""
    installed = [
        {package.name for package in side.environment.distributions} for side in (left, right)
    ]
    shared = {"", *(installed[0] & installed[1])}
    architectures = [
        {kernels.distribution or "": kernels.architectures for kernels in side.native.kernels}
        if side.native
        else {}
        for side in (left, right)
    ]
    for name in sorted(architectures[0].keys() | architectures[1].keys()):
        of_name = (side.get(name, ()) for side in architectures)
        differing = _only("abi", f"kernels of {name or 'untracked files'}", *of_name)
        yield from _judged("kernels", differing, package=name, listed=name in shared)


def _only(
    group: Group, subject: str, left: Sequence[str], right: Sequence[str]
) -> Iterator[Difference]:
    """Name what each side has and the other has not."""
    yield from _differ(
        group,
        subject,
        " ".join(word for word in left if word not in right) or None,
        " ".join(word for word in right if word not in left) or None,
    )


def _system_libraries(
    left: Sequence[NativeLibrary], right: Sequence[NativeLibrary]
) -> Iterator[Finding]:
    """Compare the libraries that the left side names; the driver's own belong to the host.

    What no import loads may be missing. One that the right side does not even name goes without
    saying: the package that needs it is not there, either.
    """
    by_soname = {library.soname: library for library in right}
    for library in left:
        if _OF_DRIVER.fullmatch(library.soname):
            continue
        other = by_soname.get(library.soname)
        is_missing = library.required and library.found and not (other and other.found)
        differing = _library(library, other or replace(library, found=False, package=None))
        yield from _judged(
            "libraries" if is_missing else None, differing, listed=library.soname in by_soname
        )


def _library(left: NativeLibrary, right: NativeLibrary) -> Iterator[Difference]:
    if left.found != right.found:
        if left.required or right.required:
            yield from _differ("behaviour", left.soname, _package_of(left), _package_of(right))
    elif left.package and right.package:
        yield from _differ("cosmetic", f"package of {left.soname}", left.package, right.package)


def _package_of(library: NativeLibrary) -> str | None:
    return (library.package or "found") if library.found else None


def _distributions(left: Environment, right: Environment) -> Iterator[Finding]:
    sides = [{package.name: package for package in side.distributions} for side in (left, right)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    same_python = _abi(left.interpreter) == _abi(right.interpreter)
    # torch tells its own version better than METADATA does.
    named = {"torch"} if left.torch or right.torch else set()
    for name in sorted(sides[0].keys() | sides[1].keys()):
        pair = (sides[0].get(name), sides[1].get(name))
        yield from _judged(
            "packages", _version(name, *pair), package=name, listed=name not in named
        )
        if name in shared:
            both = (sides[0][name], sides[1][name])
            yield from _content(*both, same_python=same_python)
    origins = {name: (_origin(sides[0][name]), _origin(sides[1][name])) for name in shared}
    yield from _judged(None, _shared("origin", origins))
    tools = {name: (sides[0][name].installer, sides[1][name].installer) for name in shared}
    yield from _judged(None, _shared("installer", tools))


def _conda(left: CondaEnvironment | None, right: CondaEnvironment | None) -> Iterator[Finding]:
    """Compare the packages of two prefixes; whose other side is none is one difference."""
    if left is None or right is None:
        counts = [
            counted(len(side.packages), "package") if side else None for side in (left, right)
        ]
        yield from _judged("packages", _differ("abi", "conda", *counts), package=f"{CONDA}conda")
        return
    sides = [{package.name: package for package in side.packages} for side in (left, right)]
    for name in sorted(sides[0].keys() | sides[1].keys()):
        yield from _judged(
            "packages",
            _of_conda(name, sides[0].get(name), sides[1].get(name)),
            package=CONDA + name,
        )
    yield from _judged("variables", _set_by_conda(left.variables, right.variables))


def _of_conda(
    name: str, left: CondaPackage | None, right: CondaPackage | None
) -> Iterator[Difference]:
    """Compare version and build, and of the same ones the files."""
    group: Group = "abi" if name in _ABI_OF_CONDA else _group_of(name)
    builds = [f"{side.version} {side.build}" if side else None for side in (left, right)]
    if builds[0] != builds[1] or left is None or right is None:
        yield from _differ(group, f"{name} (conda)", *builds)
        return
    edits = tuple(_edits(group, left.files, right.files))
    yield from edits
    if left.files.sha256 != right.files.sha256 and not edits:
        contents = map(_describe_files, (left.files, right.files))
        yield from _differ(group, f"{name} (conda)", *contents)


def _set_by_conda(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(left.keys() | right.keys()):
        yield from _differ("behaviour", f"{name} (conda)", left.get(name), right.get(name))


def _group_of(name: str) -> Group:
    return "numerics" if _NUMERICS.fullmatch(name) else "behaviour"


def _version(
    name: str, left: Distribution | None, right: Distribution | None
) -> Iterator[Difference]:
    group: Group = "abi" if name == "torch" else _group_of(name)
    versions = [side.version if side else None for side in (left, right)]
    yield from _differ(group, name, *versions)


def _content(left: Distribution, right: Distribution, *, same_python: bool) -> Iterator[Finding]:
    """Compare what two of one name hold; of two Pythons, a compiled wheel is never the same."""
    by_hand = tuple(_by_hand(left, right))
    if left.version == right.version:
        yield from _judged(None, _tags(left, right, same_python=same_python))
        comparable = same_python or set(left.tags) == set(right.tags)
        differing = _bytes(left, right, named=bool(by_hand))
        yield from _judged("packages", differing, package=left.name, listed=comparable)
        bits = _executable(left.files, right.files)
        yield from _judged("packages", bits, package=left.name, listed=comparable)
    yield from _judged("packages", by_hand, package=left.name)


def _tags(left: Distribution, right: Distribution, *, same_python: bool) -> Iterator[Difference]:
    """Compare what two wheels of one version are for; of two Pythons, the platforms alone."""
    if not left.tags or not right.tags:
        return
    is_compiled = any(not tag.endswith("-none-any") for tag in (*left.tags, *right.tags))
    start = 0 if same_python else 2  # a tag is python-abi-platform
    tags = (["-".join(tag.split("-")[start:]) for tag in side.tags] for side in (left, right))
    yield from _only("abi" if is_compiled else "cosmetic", f"tags of {left.name}", *tags)


def _bytes(left: Distribution, right: Distribution, *, named: bool) -> Iterator[Difference]:
    """Compare hashes; ``named`` where single files are named that can be all there is."""
    files = (left.files, right.files)
    if files[0] and files[1]:
        same = files[0].sha256 == files[1].sha256
        if same or (named and not _other_build(files[0], files[1])):
            return
    yield from _differ(_group_of(left.name), left.name, *map(_describe_files, files))


def _by_hand(left: Distribution, right: Distribution) -> Iterator[Difference]:
    """Name the files that were edited or deleted on one side, and not so on the other."""
    if left.files and right.files:
        yield from _edits(_group_of(left.name), left.files, right.files)


def _edits(group: Group, left: Files, right: Files) -> Iterator[Difference]:
    if left.sha256 == right.sha256:
        return
    states = [
        {**dict.fromkeys(files.missing), **dict.fromkeys(files.edited, "edited")}
        for files in (left, right)
    ]
    for path in sorted(states[0].keys() | states[1].keys()):
        of_path = (side.get(path, "as installed") for side in states)
        yield from _differ(group, path, *of_path)


def _other_build(left: Files, right: Files) -> bool:
    """Return whether two were not the same before anyone edited them, where that is known."""
    digests = (_before_edits(left), _before_edits(right))
    return None not in digests and digests[0] != digests[1]


def _before_edits(files: Files) -> str | None:
    """Return the digest of what was installed; of an edited script nothing tells its first line."""
    changed = (*files.edited, *files.missing)
    if any(path.startswith("../") for path in changed):
        return None
    return files.recorded if changed else files.sha256


def _describe_files(files: Files | None) -> str:
    if files is None:
        return "content unknown, no RECORD"
    edited = [f"edited {path}" for path in files.edited[:_NAMED]]
    return ", ".join([*edited, f"content {files.sha256[:12]}"])


def _executable(left: Files | None, right: Files | None) -> Iterator[Difference]:
    """Name the files that may be run on one side alone, where both sides looked."""
    if left is None or right is None or left.executable is None or right.executable is None:
        return
    for path in sorted({*left.executable} ^ {*right.executable}):
        bits = (_BITS[path in side] for side in (left.executable, right.executable))
        yield from _differ("behaviour", path, *bits)


_BITS = {True: "executable", False: "not executable"}


def _origin(distribution: Distribution) -> str:
    return f"{distribution.origin} {distribution.url or ''}".rstrip()


def _shared(what: str, pairs: Mapping[str, tuple[str | None, str | None]]) -> Iterator[Difference]:
    """Yield one cosmetic difference for all packages that differ alike."""
    alike: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    for name, pair in pairs.items():
        alike[pair].append(name)
    for (left, right), names in alike.items():
        more = len(names) - 1
        subject = f"{what} of {names[0]}" + (f" and {more} more" if more else "")
        yield from _differ("cosmetic", subject, left, right)


def _untracked(left: Sequence[UntrackedFile], right: Sequence[UntrackedFile]) -> Iterator[Finding]:
    """Compare the files of no package.

    One that the right side alone has fails no check where it may come of the tools that restored
    the others: a newer one may write its scripts in a way that no list has, and uv makes the empty
    folders of a wheel, which pip leaves out.
    """
    sides = [{own.path: own for own in files} for files in (left, right)]
    for path in sorted(sides[0].keys() | sides[1].keys()):
        group: Group = "numerics" if path.partition("/")[0] in _NUMERICS_FOLDERS else "behaviour"
        expected, actual = sides[0].get(path), sides[1].get(path)
        by_tool = expected is None and actual and (actual.folder or _BY_TOOLS.fullmatch(path))
        words = (_describe_untracked(expected, actual), _describe_untracked(actual, expected))
        differing = _differ(group, path, *words)
        yield from _judged(None if by_tool else "files", differing)


def _describe_untracked(file: UntrackedFile | None, other: UntrackedFile | None) -> str | None:
    """Describe a file beside ``other``, with what is told only where the two differ in it."""
    if file is None:
        return None
    if file.folder:
        return "an empty folder"
    words = [f"-> {file.link}" if file.link else f"content {_short(file.sha256)}"]
    if other and {file.executable, other.executable} == {True, False}:
        words.append(_BITS[bool(file.executable)])
    if other and file.placeholders and not other.placeholders:
        words.append("which names the environment's folder")
    return ", ".join(words)


def _outside(left: Sequence[str], right: Sequence[str]) -> Iterator[Difference]:
    for entry in sorted({*left, *right}):
        sides = ("leads outside" if entry in side else None for side in (left, right))
        yield from _differ("behaviour", entry, *sides)


def _import_path(left: _Path, right: _Path) -> Iterator[Difference]:
    if left is not None and right is not None:
        yield from _differ("behaviour", "import path", ", ".join(left), ", ".join(right))


def _variables(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(left.keys() | right.keys()):
        neutral = _NEUTRAL.get(name)
        if left.get(name, neutral) != right.get(name, neutral):
            group: Group = "behaviour" if name in _NO_ARITHMETIC else "numerics"
            yield from _differ(group, name, left.get(name), right.get(name))


def _startup(left: _Startup, right: _Startup) -> Iterator[Finding]:
    """Compare what variables put before the environment's own, by the variable.

    What the right side does not bring any more fails a check only where it was in the memory of
    every program, which does not travel.
    """
    is_known = left is not None and right is not None
    for name in sorted({*(left or {}), *(right or {})}):
        named = [side.get(name) if side else None for side in (left, right)]
        more = {*(named[1] or ())} - {*(named[0] or ())}
        less = {*(named[0] or ())} - {*(named[1] or ())}
        counts = more or (less and right is not None and name in IN_MEMORY)
        texts = (f"brings {', '.join(names)}" if names is not None else None for names in named)
        differing = _differ("behaviour", name, *texts)
        yield from _judged("startup" if counts else None, differing, listed=is_known)


def _settings(left: Mapping[str, bool], right: Mapping[str, bool]) -> Iterator[Difference]:
    """Compare ultralytics' integrations: what they call back may run, the losses are the same.

    ultralytics writes the file with its defaults when it is first imported: what may be one is
    cosmetic beside no file at all.
    """
    words: Mapping[bool | None, str | None] = {True: "on", False: "off", None: None}
    for name in sorted(left.keys() | right.keys()):
        switches = (left.get(name), right.get(name))
        written = not (left and right) and (any(switches) or name in _DEFAULT_CHANGED)
        group: Group = "cosmetic" if written else "behaviour"
        yield from _differ(group, f"ultralytics' {name}", *(words[switch] for switch in switches))


def _machine(left: Hardware, right: Hardware) -> Iterator[Difference]:
    system, other = left.system, right.system
    yield from _differ("abi", "glibc", system.glibc, other.glibc)
    yield from _differ("abi", "architecture", system.machine, other.machine)
    yield from _differ("cosmetic", "operating system", system.os, other.os)
    yield from _differ("cosmetic", "container", system.container, other.container)
    yield from _differ("cosmetic", "processor", system.cpu, other.cpu)
    yield from _differ("cosmetic", "processors", str(system.cpu_count), str(other.cpu_count))
    yield from _differ("cosmetic", "CUDA toolkit", system.cuda_toolkit, other.cuda_toolkit)
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
