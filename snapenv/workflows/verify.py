"""Prove that what is here already is what was captured; nothing is fetched and nothing is made."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import NotFoundError
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.workflows.archive import read_stored
from snapenv.workflows.preflight import look_at_host
from snapenv.workflows.reference import read_image, resolve_ref
from snapenv.workflows.report import check_place
from snapenv.workflows.restore import in_image, in_venv, proved_outcome

if TYPE_CHECKING:
    from snapenv.model.image import Image
    from snapenv.model.outcome import Outcome
    from snapenv.model.results.proof import ProofResult
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside
    from snapenv.workflows.restore import Restore


def verify(request: Restore, outside: Outside) -> Outcome[ProofResult]:
    """Compare a local image, or the venv at ``into``, with a snapshot, and train in it.

    Raises:
        NotFoundError: There is no such image, or no such venv, here.
        WriteError: The report cannot be written where it is wanted; nothing was done.
    """
    check_place(request.report)
    ref = resolve_ref(request.ref, repository=request.repository, outside=outside)
    if request.engine == "venv":
        snapshot = _snapshot(ref, outside)
        restored = in_venv(request, outside.local(str(_python(request.into))))
    else:
        image, named, snapshot = _image(ref, request, outside)
        host = partial(look_at_host, outside)
        restored = in_image(image, named, request.device, host, outside)
    return proved_outcome(request, snapshot, restored, outside, command="verify")


def _snapshot(ref: ImageRef | Path, outside: Outside) -> Snapshot:
    if isinstance(ref, Path):
        return read_stored(ref, outside)
    return read_image(_local(ref, outside), ref, outside)


def _image(
    ref: ImageRef | Path, request: Restore, outside: Outside
) -> tuple[Image, ImageRef, Snapshot]:
    """Find the image of what is named, with the snapshot that it is compared with."""
    if not isinstance(ref, Path):
        image = _local(ref, outside)
        return image, ref, read_image(image, ref, outside)
    snapshot = _snapshot(ref, outside)
    named = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
    image = _local(named, outside)
    if image.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
        raise NotFoundError(
            f"{named} is here, and was built of another snapshot than {request.ref}",
            hint=f"Restore it under another name: snapenv restore {request.ref} --repository NAME",
        )
    return image, named, snapshot


def _local(ref: ImageRef, outside: Outside) -> Image:
    image = outside.engine.find(str(ref))
    if image is None:
        raise NotFoundError(
            f"there is no local image {ref}",
            hint="See snapenv list, or bring it here: snapenv restore.",
        )
    return image


def _python(into: Path) -> Path:
    python = into / "bin" / "python"
    if not python.is_file():
        raise NotFoundError(
            f"there is no environment {into}",
            hint="Name one with --into, or make it: snapenv restore --engine venv.",
        )
    return python.absolute()
