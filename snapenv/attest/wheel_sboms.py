"""Bills of materials that wheels carry, as parts of ours: whoever built a wheel wrote them.

Of CycloneDX in JSON, the components are taken, with what identifies them and their licences, and
nothing that names a folder of the machine that built the wheel. Of all, a reference with the hash.
Sources: https://peps.python.org/pep-0770/ and https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.component import Component
from cyclonedx.spdx import is_supported_id
from msgspec import Struct
from packageurl import PackageURL
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.wheel_sbom import WheelSbom

_MOST = 2000  # components of a bill, for which the library needs 2 s; that of uv has 566
_FOLDER = re.compile(r"file:|^\.{0,2}/")  # somewhere on the machine that built the wheel
_HEX = re.compile(r"[0-9a-fA-F]+")
_HEX_DIGITS = frozenset({32, 40, 64, 96, 128})  # of a hash


class Parts(Struct, frozen=True, kw_only=True):
    """What a bill of a wheel adds to the component of its distribution."""

    components: tuple[Component, ...] = ()
    reference: ExternalReference
    warning: str | None = None  # why no components are taken, where there should be some


def parts_of(sbom: WheelSbom, *, ref: str) -> Parts:
    """Read one bill, whatever it is; the references of its components begin with ``ref``."""
    components: tuple[Component, ...] = ()
    warning = None
    try:
        components = tuple(_components(sbom, ref))
    except ValueError as error:
        warning = f"of the SBOM {sbom.file} only the hash is taken: {error}"
    return Parts(
        components=components,
        reference=ExternalReference(
            type=ExternalReferenceType.BOM,
            url=XsUri(sbom.file),
            hashes=(HashType(alg=HashAlgorithm.SHA_256, content=sbom.sha256),),
        ),
        warning=warning,
    )


def _components(sbom: WheelSbom, ref: str) -> Iterator[Component]:
    """Yield the components of a bill; none of one that is not CycloneDX in JSON.

    Raises:
        ValueError: It is too large or damaged.
    """
    if sbom.content is None:
        raise ValueError(f"it has {sbom.size_bytes / 2**20:.1f} MiB")
    if not sbom.file.endswith(".json"):
        return
    try:
        document = json.loads(sbom.content)
        if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
            return
        taken = _Taken(sbom.distribution).all_of(document.get("components", []), ref)
        yield from [Component.from_json(each) for each in taken]  # type: ignore[attr-defined]
    except _TooManyError as error:
        raise ValueError(f"it has more than {_MOST} components") from error
    except Exception as error:  # whatever it makes json and the library raise
        raise ValueError(f"it is not valid CycloneDX ({type(error).__name__})") from error


class _TooManyError(Exception):
    pass


class _Taken:
    """What is taken of components, as JSON; the distribution itself is none of its parts."""

    def __init__(self, distribution: str) -> None:
        self._distribution = distribution
        self._count = 0

    def all_of(self, components: list[dict[str, Any]], ref: str) -> list[dict[str, Any]]:
        self._count += len(components)
        if self._count > _MOST:
            raise _TooManyError
        return [
            self._one(component, f"{ref}/{number}")
            for number, component in enumerate(components, start=1)
            if not self._is_left_out(component)
        ]

    def _one(self, component: dict[str, Any], ref: str) -> dict[str, Any]:
        texts = {key: _text(component[key]) for key in ("group", "version") if key in component}
        return {
            "type": component["type"],
            "bom-ref": ref,
            "name": component["name"],
            **{key: value for key, value in texts.items() if value},
            **_purl(component.get("purl")),
            "hashes": [
                {"alg": each["alg"], "content": each["content"]}
                for each in component.get("hashes", [])
                if _HEX.fullmatch(each["content"]) and len(each["content"]) in _HEX_DIGITS
            ],
            "licenses": [_license(each) for each in component.get("licenses", [])],
            "components": self.all_of(component.get("components", []), ref),
        }

    def _is_left_out(self, component: dict[str, Any]) -> bool:
        purl = _parse_purl(component.get("purl"))
        if purl and purl.type == "pypi" and canonicalize_name(purl.name) == self._distribution:
            return True
        return not _text(component["name"])


def _text(value: str) -> str | None:
    return None if _FOLDER.search(value) else value


def _parse_purl(text: str | None) -> PackageURL | None:
    try:
        return PackageURL.from_string(text or "")
    except ValueError:
        return None


def _purl(text: str | None) -> dict[str, str]:
    """Return an address without what names a folder; nothing for what is no address."""
    purl = _parse_purl(text)
    if purl is None:
        return {}
    kept = {key: value for key, value in purl.qualifiers.items() if _text(value)}
    if kept != purl.qualifiers:
        purl = purl._replace(qualifiers=kept, subpath=None)
    return {"purl": purl.to_string()}


def _license(entry: dict[str, Any]) -> dict[str, Any]:
    if "expression" in entry:
        return {"expression": entry["expression"]}
    named = entry["license"]
    if is_supported_id(named.get("id", "")):
        return {"license": {"id": named["id"]}}
    return {"license": {"name": named.get("id") or named["name"]}}
