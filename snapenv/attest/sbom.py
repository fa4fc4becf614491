"""The software bill of materials of an image, in CycloneDX 1.6: the same bytes for the same lock.

Sources: https://cyclonedx.org/docs/1.6/json/, and for the addresses of packages
https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from msgspec import Struct
from packageurl import PackageURL

from snapenv.attest.wheel_sboms import Parts, parts_of
from snapenv.model.wheels import FromBase, FromConda, Pinned, Vendored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from snapenv.model.conda import CondaPackage
    from snapenv.model.image import ImageRef
    from snapenv.model.python import Distribution
    from snapenv.model.snapshot import Lock
    from snapenv.model.wheel_sbom import WheelSbom
    from snapenv.model.wheels import Locked

FILE = "sbom.cdx.json"

_NAMESPACE = uuid.UUID("6f3c7a52-0d0e-4c6c-9a53-4b0f2c3b8d11")  # of the serial numbers of ours


class Made(Struct, frozen=True, kw_only=True):
    """A bill, and what is to be said of it."""

    content: bytes
    warnings: tuple[str, ...] = ()


def make_sbom(
    lock: Lock, *, snapshot: str, base: ImageRef, carried: Iterable[WheelSbom] = ()
) -> Made:
    """Return the bill of an image that was built of a snapshot on ``base``, which has its digest.

    ``carried`` are the bills in its wheels. It names no machine, no user and no time.
    """
    parts = _parts(carried)
    image = Component(
        name=lock.tag,
        type=ComponentType.CONTAINER,
        bom_ref="image",
        version=snapshot,
        properties=(Property(name="snapenv:snapshot", value=snapshot),),
    )
    components = (
        _base(base),
        Component(
            name="python",
            type=ComponentType.PLATFORM,
            bom_ref="python",
            version=lock.environment.interpreter.version,
        ),
        *(
            _distribution(each, lock.packages.get(each.name), parts.get(each.name, ()))
            for each in lock.environment.distributions
        ),
        *map(_conda, lock.conda.environment.packages if lock.conda else ()),
        *(_apt(name, lock) for name in lock.base.packages),
    )
    tool = Component(name="snapenv", type=ComponentType.APPLICATION, version=lock.snapenv)
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(_NAMESPACE, f"{snapshot} {base}"),
        metadata=BomMetaData(component=image, tools=ToolRepository(components=(tool,))),
    )
    bom.metadata.timestamp = None  # type: ignore[assignment]  # then it writes none
    bom.register_dependency(image, components)
    return Made(
        content=JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n",
        warnings=tuple(one.warning for each in parts.values() for one in each if one.warning),
    )


def _parts(carried: Iterable[WheelSbom]) -> dict[str, list[Parts]]:
    """Read what wheels carry, by distribution."""
    parts: dict[str, list[Parts]] = {}
    for sbom in carried:
        there = parts.setdefault(sbom.distribution, [])
        there.append(parts_of(sbom, ref=f"pypi/{sbom.distribution}/{len(there) + 1}"))
    return parts


def _base(base: ImageRef) -> Component:
    name = base.path.rpartition("/")[2]
    qualifiers = {"repository_url": base.repository, **({"tag": base.tag} if base.tag else {})}
    return Component(
        name=base.repository,
        type=ComponentType.CONTAINER,
        bom_ref="base",
        version=base.tag,
        hashes=_sha256((base.digest or "").removeprefix("sha256:")),
        purl=PackageURL("oci", None, name, base.digest, qualifiers),
    )


def _distribution(
    package: Distribution, locked: Locked | None, parts: Sequence[Parts]
) -> Component:
    address = PackageURL("pypi", None, package.name, package.version)
    return Component(
        name=package.name,
        type=ComponentType.LIBRARY,
        bom_ref=f"pypi/{package.name}",
        version=package.version,
        purl=address,
        hashes=_sha256(_hash_of(locked)),
        external_references=(*_places(package, locked), *(each.reference for each in parts)),
        properties=(Property(name="snapenv:from", value=_source(locked)),),
        components=tuple(one for each in parts for one in each.components),
    )


def _hash_of(locked: Locked | None) -> str:
    if isinstance(locked, Pinned):
        return locked.wheel.sha256
    return locked.wheel.sha256 if isinstance(locked, Vendored) and locked.wheel else ""


def _source(locked: Locked | None) -> str:
    match locked:
        case Pinned():
            return "index"
        case FromBase():
            return "base image"
        case FromConda():
            return "conda"
        case _:
            return "snapshot"


def _places(package: Distribution, locked: Locked | None) -> Iterator[ExternalReference]:
    """Yield where a distribution comes from: its wheel on an index, or its source with the commit.

    An address with ``file:`` is of the machine of the capture alone.
    """
    if isinstance(locked, Pinned):
        yield ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION, url=XsUri(locked.wheel.url)
        )
    elif package.url and not package.url.partition("+")[2].startswith("file:"):
        kind = ExternalReferenceType.VCS if package.origin == "vcs" else None
        if kind or package.url.startswith(("https://", "http://")):
            yield ExternalReference(
                type=kind or ExternalReferenceType.DISTRIBUTION, url=XsUri(package.url)
            )


def _conda(package: CondaPackage) -> Component:
    qualifiers = {"build": package.build, "subdir": package.subdir}
    return Component(
        name=package.name,
        type=ComponentType.LIBRARY,
        bom_ref=f"conda/{package.name}",
        version=package.version,
        purl=PackageURL("conda", None, package.name, package.version, qualifiers),
        hashes=_sha256(package.sha256 or ""),
        properties=(Property(name="snapenv:from", value="conda"),),
    )


def _apt(name: str, lock: Lock) -> Component:
    distribution = "ubuntu" if "ubuntu" in lock.base.image else "debian"
    return Component(
        name=name,
        type=ComponentType.LIBRARY,
        bom_ref=f"deb/{name}",
        purl=PackageURL("deb", distribution, name),
        properties=(Property(name="snapenv:from", value="the base's distribution"),),
    )


def _sha256(digest: str) -> Iterable[HashType]:
    return (HashType(alg=HashAlgorithm.SHA_256, content=digest),) if digest else ()
