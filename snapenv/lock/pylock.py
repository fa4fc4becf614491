"""Write the pins as a standard lock file, with the hash of every artefact.

uv asks the index; this module narrows its answer to the artefact that was installed.
Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import tomlkit
from packaging.pylock import Pylock, PylockValidationError
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from tomlkit.exceptions import TOMLKitError

from snapenv.errors import LockError
from snapenv.lock.indexes import uv_index_environment
from snapenv.model.snapshot import Installer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution
    from snapenv.ports import Completed, Target, Task

# What `uv pip compile --python-platform` knows, as manylinux_2_N; before them, manylinux2014.
_UV_GLIBC_MINORS = (28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)


def resolve_pylock(
    pins: Sequence[Distribution], facts: Facts, *, machine: Target, uv: str, task: Task
) -> bytes:
    """Ask the index for the artefacts of these very versions and give a pylock.toml.

    Raises:
        LockError: The index has no such version, does not answer, or serves no wheel of it.
    """
    task.note(f"{len(pins)} pins")
    text = _compile(pins, facts, machine=machine, uv=uv)
    return narrow(text, {pin.name: pin for pin in pins}, python=facts.environment.interpreter.minor)


def resolve_installer(facts: Facts, *, machine: Target, uv: str) -> Installer:
    """Find the wheel of the uv that is running here, for the image to install with.

    Raises:
        LockError: The index does not have it, or does not answer.
    """
    said = machine.run((uv, "--version")).stdout.split()
    text = _compile_text(f"uv=={said[1]}\n", facts, machine=machine, uv=uv)
    wheel = tomlkit.parse(text).unwrap()["packages"][0]["wheels"][0]
    return Installer(
        version=said[1], url=_without_user_info(wheel["url"]), sha256=wheel["hashes"]["sha256"]
    )


def narrow(text: str, pins: Mapping[str, Distribution], *, python: str) -> bytes:
    """Keep of each package the one wheel that was installed, known by its tags.

    Some wheels are renamed when they are published, and then carry other tags inside: where
    none has the tags of the installed one, all stay.

    Raises:
        LockError: The text is no lock file, or a package has no wheel with a URL and a hash.
    """
    document = _parse(text)
    packages: Any = document.get("packages", [])
    for package in packages:
        pin = pins[canonicalize_name(package["name"])]
        wheels = [dict(wheel) for wheel in package.get("wheels", [])]
        kept = [wheel for wheel in wheels if _is_installed(wheel, pin.tags)] or wheels
        if not kept or not all(_is_pinned(wheel) for wheel in kept):
            raise LockError(
                f"the index has no wheel with a hash for {pin.name} {pin.version}",
                hint="It was built here from source; such packages cannot be carried yet.",
            )
        package["wheels"] = _one_a_line(kept)
        package.pop("sdist", None)
        if "index" in package:
            package["index"] = _without_user_info(package["index"])
    document["created-by"] = "snapenv"
    document["requires-python"] = f"=={python}.*"
    document["packages"] = packages
    _validate(document)
    return tomlkit.dumps(document).encode()


def _compile(pins: Iterable[Distribution], facts: Facts, *, machine: Target, uv: str) -> str:
    lines = "".join(f"{pin.name}=={pin.version}\n" for pin in pins)
    if not lines:
        return 'lock-version = "1.0"\ncreated-by = "snapenv"\npackages = []\n'
    return _compile_text(lines, facts, machine=machine, uv=uv)


def _compile_text(requirements: str, facts: Facts, *, machine: Target, uv: str) -> str:
    done = machine.run(
        (
            *(uv, "pip", "compile", "requirements.in", "--format", "pylock.toml"),
            *("--no-deps", "--generate-hashes", "--no-header", "--quiet", "--no-progress"),
            *("--python-version", facts.environment.interpreter.minor),
            *("--python-platform", python_platform(facts)),
        ),
        files={"requirements.in": requirements.encode()},
        environment={"NO_COLOR": "1", **uv_index_environment()},
    )
    if done.exit_code != 0:
        raise _not_locked(done, requirements)
    return done.stdout


def python_platform(facts: Facts) -> str:
    """Name the platform as ``uv --python-platform`` does, never newer than its glibc."""
    system = facts.hardware.system
    glibc = re.fullmatch(r"2\.(\d+)", system.glibc or "")
    if not glibc:
        return f"{system.machine}-unknown-linux-gnu"
    known = [minor for minor in _UV_GLIBC_MINORS if minor <= int(glibc[1])]
    return f"{system.machine}-" + (f"manylinux_2_{known[-1]}" if known else "manylinux2014")


def _not_locked(done: Completed, requirements: str) -> LockError:
    said = " ".join(done.stderr.split())
    culprits = [
        line.replace("==", " ")
        for line in requirements.splitlines()
        if re.search(rf"\b{re.escape(line)}(?![\w.])", said)
        or re.search(rf"{re.escape(line.split('==')[0])} was not found", said)
    ]
    if culprits and ("not found" in said or "no version" in said):
        return LockError(
            f"no index has {', '.join(culprits[:5])}",
            hint="Add the index it came from to uv's configuration, such as UV_INDEX.",
        )
    return LockError(
        f"uv could not lock the pins: {said[-300:]}",
        hint="See that the index of pip's or uv's configuration answers.",
    )


def _is_installed(wheel: Mapping[str, Any], tags: Sequence[str]) -> bool:
    """Tell whether a wheel's file name carries exactly the tags of the installed WHEEL file."""
    name = unquote(urlsplit(wheel.get("url", "")).path).rpartition("/")[2]
    try:
        _, _, _, offered = parse_wheel_filename(name)
    except InvalidWheelFilename:
        return False
    return {str(tag) for tag in offered} == set(tags)


def _is_pinned(wheel: Mapping[str, Any]) -> bool:
    return "url" in wheel and "sha256" in wheel.get("hashes", {})


def _one_a_line(wheels: Iterable[Mapping[str, Any]]) -> Any:  # noqa: ANN401 - tomlkit's own array
    array = tomlkit.array()
    for wheel in wheels:
        inline = tomlkit.inline_table()
        inline["url"] = _without_user_info(wheel["url"])
        inline.update({key: wheel[key] for key in ("size", "hashes") if key in wheel})
        array.append(inline)
    return array.multiline(multiline=True)


def _without_user_info(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _parse(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise _not_valid(error) from error


def _validate(document: tomlkit.TOMLDocument) -> None:
    try:
        Pylock.from_dict(document.unwrap())
    except PylockValidationError as error:
        raise _not_valid(error) from error


def _not_valid(error: Exception) -> LockError:
    return LockError(
        f"uv gave a lock file that is not valid: {error}", hint="Try another version of uv."
    )
