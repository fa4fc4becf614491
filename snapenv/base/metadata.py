"""What an image says of itself, in its variables and labels; that beats the catalogue.

No variable and no label names the Python. A short program tells it, in a container without
network; it imports no torch and reads no package, so that an image of 20 GB costs a second too.

Of NVIDIA's labels ``com.nvidia.cuda.version`` is not read: it is 9.0 on every PyTorch image.
Source: ``docker inspect`` of nvcr.io/nvidia/pytorch:23.10-py3 and 25.10-py3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import ProbeError
from snapenv.json_text import read_json
from snapenv.nvidia.catalogue import CatalogueImage, Kernels, major_minor, read_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.ports import Target

MARK = "snapenv-base: "  # an image's entrypoint prints a banner before
_PROGRAM = """
import ast, importlib.util, json, os, sys
seen = {"python": "%d.%d.%d" % sys.version_info[:3]}
found = importlib.util.find_spec("torch")
names = {"__version__": "torch", "cuda": "cuda"}
if found and found.origin:
    with open(os.path.join(os.path.dirname(found.origin), "version.py")) as file:
        lines = ast.parse(file.read()).body
    for line in lines:
        targets = getattr(line, "targets", [getattr(line, "target", None)])
        name, value = getattr(targets[0], "id", None), getattr(line, "value", None)
        if name in names and isinstance(getattr(value, "value", None), str):
            seen[names[name]] = value.value
sys.stdout.write("\\n" + sys.argv[1] + json.dumps(seen) + "\\n")
"""


class ImageMetadata(Struct, frozen=True, kw_only=True):
    """What is known of an image by itself; None where it does not say so."""

    python: str | None = None  # "3.12.3"
    cuda: str | None = None  # "13.0.2.006"
    torch: str | None = None  # "2.9.0a0+145a3a7"
    cudnn: str | None = None  # "9.14.0.64"
    nccl: str | None = None  # "2.27.7"
    kernels: Kernels | None = None

    def over(self, other: ImageMetadata) -> ImageMetadata:
        """Put this in the place of what another says, wherever this says something."""
        return ImageMetadata(
            python=self.python or other.python,
            cuda=self.cuda or other.cuda,
            torch=self.torch or other.torch,
            cudnn=self.cudnn or other.cudnn,
            nccl=self.nccl or other.nccl,
            kernels=self.kernels or other.kernels,
        )


def read_metadata(variables: Mapping[str, str], labels: Mapping[str, str]) -> ImageMetadata:
    """Read what an image says of itself; a variable, which programs see, beats a label."""

    def version(variable: str, name: str) -> str | None:
        written = (variables.get(variable, ""), labels.get(f"com.nvidia.{name}.version", ""))
        return next((text for text in written if major_minor(text)), None)

    cuda = variables.get("CUDA_VERSION", "")
    return ImageMetadata(
        cuda=cuda if major_minor(cuda) else None,
        torch=version("PYTORCH_VERSION", "pytorch"),
        cudnn=version("CUDNN_VERSION", "cudnn"),
        nccl=version("NCCL_VERSION", "nccl"),
        kernels=read_kernels(variables.get("TORCH_CUDA_ARCH_LIST", ""), separator=" "),
    )


def corrected_by_variables(
    image: CatalogueImage, variables: Mapping[str, str], *, machine: str
) -> CatalogueImage:
    """Correct what is known of an image by what its variables alone say."""
    return correct(image, read_metadata(variables, {}), machine=machine)


def correct(image: CatalogueImage, metadata: ImageMetadata, *, machine: str) -> CatalogueImage:
    """Correct what is known of an image by what it says; it exists for ``machine``."""
    python = major_minor(metadata.python or "")
    return replace(
        image,
        python=f"{python[0]}.{python[1]}" if python else image.python,
        cuda=major_minor(metadata.cuda or "") or image.cuda,
        torch=major_minor(metadata.torch or "") or image.torch,
        machines=tuple(sorted({*image.machines, machine})),
        kernels={**(image.kernels or {}), machine: metadata.kernels}
        if metadata.kernels
        else image.kernels,
    )


def inspect_image(target: Target) -> ImageMetadata:
    """Return the Python, torch and its CUDA that an image holds; None for what it has not.

    Raises:
        ProbeError: The program failed on the target, or its answer cannot be read.
        InterpreterError: The image has no such Python.
        EngineError: The container did not start, or was ended.
    """
    done = target.run((target.python, "-B", "-c", _PROGRAM, MARK))
    answers = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.exit_code or len(answers) != 1:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise ProbeError(
            f"{target.python} of the image exited with {done.exit_code}: {last}",
            hint="The image may be incomplete: pull it again.",
        )
    return parse_seen(answers[0].removeprefix(MARK))


class _Seen(Struct, frozen=True):
    python: str
    torch: str | None = None
    cuda: str | None = None


def parse_seen(text: str) -> ImageMetadata:
    """Read what the program tells, as one JSON object.

    Raises:
        ProbeError: It is of another form.
    """
    try:
        seen = read_json(text, _Seen)
    except ValueError as error:
        raise _unreadable(text) from error
    given = [version for version in (seen.torch, seen.cuda) if version is not None]
    if not all(map(major_minor, (seen.python, *given))):
        raise _unreadable(text)
    return ImageMetadata(python=seen.python, torch=seen.torch, cuda=seen.cuda)


def _unreadable(text: str) -> ProbeError:
    return ProbeError(
        f"the image reported its versions as {text[:80]!r}",
        hint="Pull the image again, or choose another with --base.",
    )
