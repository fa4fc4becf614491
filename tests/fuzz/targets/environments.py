"""What the probe reads of an environment and a machine: metadata, ELF files, caches, CDI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from snapenv.lock.tags import tags_of
from snapenv.lock.wheel import is_installable, scripts_of
from snapenv.model.conda import CondaPackage
from snapenv_probe import (
    conda,
    editable,
    elf_file,
    entry_scripts,
    fatbin,
    hash_index,
    host,
    linked,
    loader,
    machine,
    nvidia_driver,
    origins,
    pth,
    record_file,
)
from snapenv_workspace import events
from tests.fuzz.target import BrokenRuleError, Target, scratch
from tests.probe.fuzz_readers.hostile import METADATA, write_distribution
from tests.probe.fuzz_readers.readers import look
from tests.samples import sample_files

if TYPE_CHECKING:
    from collections.abc import Callable


def _distribution(name: str) -> Callable[[bytes], None]:
    """Return what reads a package of which one file is this."""

    def read(content: bytes) -> None:
        with scratch() as folder:
            site = folder / "site-packages"
            write_distribution(site, 1, {name: content})
            (site / "plain.py").write_bytes(b"x = 1\n")
            for found in look(site).environment.distributions:
                if found.url is not None and not found.url.isprintable():
                    raise BrokenRuleError("the URL is not printable")

    return read


def _conda_meta(content: bytes) -> None:
    with scratch() as folder:
        path = folder / "plain.json"
        path.write_bytes(content)
        record = conda._read(str(path)) or {}
        known = {**record, "name": "a", "version": "1", "build": "0"}
        package = conda.Package("a", known, [*conda._files(record)])
        msgspec.convert(conda.facts(package, msgspec.to_builtins(sample_files())), CondaPackage)


def _elf(content: bytes) -> None:
    """Read an ELF file and the fat binaries in it."""
    with scratch() as folder:
        path = folder / "lib.so"
        path.write_bytes(content)
        elf_file.machine(str(path))
        with path.open("rb") as file:
            found = elf_file.read(file)
            for section in found.sections if found else ():
                for named in fatbin.architectures(
                    file.fileno(), section.offset, section.size_bytes
                ):
                    sorted(named, key=fatbin.sort_key)


def _fatbin(content: bytes) -> None:
    with scratch() as folder:
        path = folder / "lib.so"
        path.write_bytes(content)
        with path.open("rb") as file:
            for named in fatbin.architectures(file.fileno(), 0, len(content)):
                sorted(named, key=fatbin.sort_key)


def _record(content: bytes) -> None:
    """Read a RECORD; each file lies where its name says."""
    text = content.decode("utf-8", "surrogateescape")
    for entry in record_file.parse(text, "/env/site-packages"):
        if entry.file[0] != "/" or entry.file.startswith(("/proc/", "/sys/", "/dev/")):
            raise BrokenRuleError(f"{entry.file!r} is to be read")
        record_file.named(entry.path)
        record_file.is_other(entry, b"x")


def _loader_cache(content: bytes) -> None:
    with scratch() as folder:
        path = folder / "ld.so.cache"
        path.write_bytes(content)
        loader._CACHE = str(path)
        loader._cached()


def _own_caches(content: bytes) -> None:
    """Read the bodies of caches, whose checksums somebody has made to fit."""
    hash_index._parse(content)
    linked._parse(content)


def _cdi(content: bytes) -> None:
    text = content.decode(errors="replace")
    if not all(isinstance(name, str) for name in host.cdi_devices(text)):
        raise BrokenRuleError("a device without a name")
    nvidia_driver.library_version(text)
    machine._of_json(text)
    machine.container_of(named="", cgroup=text)


def _direct_url(content: bytes) -> None:
    direct = json.loads(content)
    if isinstance(direct, dict) and isinstance(direct.get("url"), str):
        parts = urlsplit(origins._public(direct["url"]))
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise BrokenRuleError(f"{direct['url']!r} keeps what may be a password")
        origins._url(direct)


def _entry_points(content: bytes) -> None:
    """Read entry points; what is installable gives scripts whose names stay in bin."""
    is_installable(content)
    for name in scripts_of(content):
        if "/" in name:
            raise BrokenRuleError(f"{name!r} leads out of bin")
    tags_of(content)


def _python_files(content: bytes) -> None:
    """Read a .pth file, a finder of an editable package, and an entry script, and run none."""
    with scratch() as folder:
        place = folder / "plain.pth"
        place.write_bytes(content)
        pth.names_folders(str(place))
        list(pth.lines(str(place)))
        editable._of_finder(str(place))
        entry_scripts.read(str(place))


def _results(content: bytes) -> None:
    events.parse_results(content.decode(errors="replace"))


def _metadata(content: bytes) -> None:
    _distribution("METADATA")(content or METADATA)


TARGETS = (
    Target(name="metadata", read=_metadata, form="text", most_bytes=1 << 12),
    Target(name="wheel-file", read=_distribution("WHEEL"), form="text", most_bytes=1 << 12),
    Target(name="direct-url", read=_distribution("direct_url.json"), form="json"),
    Target(name="public-url", read=_direct_url, form="json", refuses=(ValueError, RecursionError)),
    Target(name="record", read=_record, form="text"),
    Target(name="conda-meta", read=_conda_meta, form="json"),
    Target(name="elf", read=_elf, form="bytes"),
    Target(name="fat-binary", read=_fatbin, form="bytes"),
    Target(name="loader-cache", read=_loader_cache, form="bytes"),
    Target(name="own-caches", read=_own_caches, form="bytes"),
    Target(name="cdi", read=_cdi, form="text"),
    Target(name="entry-points", read=_entry_points, form="text"),
    Target(name="python-files", read=_python_files, form="text"),
    Target(name="event-results", read=_results, form="text"),
)
