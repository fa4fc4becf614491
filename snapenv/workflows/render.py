"""Write files that run an environment on other systems, or show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import field
from msgspec.structs import asdict, replace

from snapenv import __version__
from snapenv.errors import UsageError
from snapenv.launch.portable import PortableRequest, portable_launch
from snapenv.model.outcome import Outcome
from snapenv.model.rendering import Workload
from snapenv.model.results import RenderResult, WrittenFile
from snapenv.ownership.file_set import refuse_existing, write_files
from snapenv.render.registry import MONITORING
from snapenv.render.registry import render as render_target
from snapenv.secrets.refuse import refuse_leaking_files
from snapenv.steps.declaring import declared_in
from snapenv.steps.pinned_image import pinned_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from snapenv.model.image import ImageRef
    from snapenv.model.rendering import Rendered, RenderedFile
    from snapenv.ports import Services
    from snapenv.steps.pinned_image import PinnedImage


class Render(PortableRequest, frozen=True, kw_only=True):
    """What a user may ask of files for another system."""

    ref: str | None  # None of a target that names no image
    target: str
    repository: str
    image: ImageRef | None = None  # of a snapshot folder or an archive
    output: Path = Path()
    force: bool = False
    dry_run: bool = False
    options: Mapping[str, object] = field(default_factory=dict)  # of the target


def render(request: Render, services: Services) -> Outcome[RenderResult]:
    """Render all files of a target, and write them, or none.

    Raises:
        LeakError: A file would hold a credential of this machine.
        NotFoundError: The REF is nowhere, or was never pushed.
        PlaceTakenError: A file is there already.
        RegistryError: The registry does not answer, or refuses.
        UsageError: A value is not of the target's grammar, or is of this machine alone; or no
            project is named, and one is required.
        WriteError: A file cannot be written.
    """
    image, rendered = _rendered(request, services)
    files = {file.name: file.content.encode() for file in rendered.files}
    refuse_leaking_files(files, services.secrets())
    replaced: tuple[str, ...] = ()
    if not request.dry_run:
        replaced = refuse_existing(request.output, [*files], force=request.force)
        executable = [file.name for file in rendered.files if file.executable]
        write_files(request.output, files, executable=executable)
    result = _result(request, image, rendered, replaced)
    return Outcome(
        command="render",
        result=result,
        lines=tuple(_texts(rendered.files) if request.dry_run else _paths(result)),
        warnings=rendered.notes,
    )


def _rendered(request: Render, services: Services) -> tuple[PinnedImage | None, Rendered]:
    """Return the files, and the image that they run; None where they are for all runs.

    Raises:
        UsageError: An image is missing, or is named where none is run.
    """
    program = f"snapenv {__version__}"
    monitoring = MONITORING.get(request.target)
    if monitoring:
        if request.ref or request.image:
            raise UsageError(
                f"--as {request.target} is for the runs of all images",
                hint=f"Leave the image out: snapenv render --as {request.target}",
            )
        return None, monitoring(program)
    if request.ref is None:
        raise UsageError(
            f"--as {request.target} needs the image that is to run",
            hint="Name a tag, or an image that was pushed: snapenv list shows those that are here.",
        )
    image = pinned_image(
        request.ref, repository=request.repository, image=request.image, services=services
    )
    request = replace(request, **asdict(declared_in(Path.cwd(), request)))
    launch = portable_launch(request, image=image.ref, label=image.label)
    work = Workload(
        image=image.ref,
        snapshot=image.snapshot,
        launch=launch,
        label=image.label,
        program=program,
        runs=request.runs or f"{launch.folder}/runs",
        project_folder=request.folder,
    )
    return image, render_target(request.target, work, request.options)


def _result(
    request: Render, image: PinnedImage | None, rendered: Rendered, replaced: Sequence[str]
) -> RenderResult:
    return RenderResult(
        target=request.target,
        image=str(image.ref) if image else None,
        snapshot=image.snapshot if image else None,
        folder=str(request.output),
        files=tuple(
            WrittenFile(
                path=str(request.output / file.name),
                executable=file.executable,
                replaced=file.name in replaced,
                content=file.content if request.dry_run else None,
            )
            for file in rendered.files
        ),
        start=rendered.start,
    )


def _texts(files: Sequence[RenderedFile]) -> Iterator[str]:
    """Yield each file, with its name above it where there are several."""
    for file in files:
        if len(files) > 1:
            yield f"==> {file.name} <=="
        yield file.content.rstrip("\n")


def _paths(result: RenderResult) -> Iterator[str]:
    for file in result.files:
        yield f"{file.path} is {'replaced' if file.replaced else 'written'}"
