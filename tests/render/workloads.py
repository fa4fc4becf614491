"""A workload as values, to render files from, and the goldens that they are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapenv.launch.portable import PortableRequest, portable_launch
from snapenv.model.image import ImageRef
from snapenv.model.needs_label import NeedsLabel
from snapenv.model.rendering import Workload
from tests.samples import TAG

if TYPE_CHECKING:
    from snapenv.model.rendering import Rendered

GOLDEN = Path(__file__).parents[1] / "golden" / "render"
IMAGE = ImageRef(repository="example.com/team/env", tag=TAG, digest=f"sha256:{'5e' * 32}")
LABEL = NeedsLabel(
    python="3.11.7",
    torch="2.11.0+cu130",
    cuda="13.0",
    ultralytics="8.4.190",
    gpus=("NVIDIA H200",),
)


def workload(
    *argv: str,
    image: ImageRef = IMAGE,
    label: NeedsLabel = LABEL,
    **wishes: Any,  # noqa: ANN401 - the fields of a PortableRequest
) -> Workload:
    """Return what every target is rendered from; ``wishes`` are what a user asks."""
    request = PortableRequest(argv=argv, **wishes)
    launch = portable_launch(request, image=image, label=label)
    return Workload(
        image=image,
        snapshot=f"sha256:{'1' * 64}",
        launch=launch,
        label=label,
        program="snapenv 0.1.0",
        runs=request.runs or f"{launch.folder}/runs",
        project_folder=request.folder,
    )


def content(rendered: Rendered, name: str) -> str:
    """Return the content of one file."""
    return next(file.content for file in rendered.files if file.name == name)


def differing(rendered: Rendered, folder: str) -> dict[str, str]:
    """Return what differs from the goldens of a folder, by name."""
    place = GOLDEN / folder
    stored = {
        str(path.relative_to(place)): path.read_text(encoding="utf-8")
        for path in place.rglob("*")
        if path.is_file()
    }
    made = {file.name: file.content for file in rendered.files}
    names = sorted({*stored, *made})
    return {name: made.get(name, "gone") for name in names if stored.get(name) != made.get(name)}
