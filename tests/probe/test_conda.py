"""What is seen of a prefix of conda, before and after it was edited in every way."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import ProbeError
from snapenv.model.facts import Facts
from snapenv.probe.collect import collect
from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget
from snapenv_probe import cache, kept_answer
from tests.conda.channel import make_environment
from tests.conda.packages import MINOR, SITE, SUBDIR
from tests.probe.conftest import OF_THE_MACHINE
from tests.probe.environments import Venv, write_files, write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.conda import CondaEnvironment, CondaPackage
    from snapenv.model.python import UntrackedFile

JUST_S = 2.1  # for so long something has just changed
SPECS = ("python", "zoocext", "zoopure", "zoohook")


@dataclass(frozen=True)
class Looks:
    """One prefix, as it was installed and after all of ``edit``."""

    prefix: Path
    before: Facts
    after: Facts


@pytest.fixture(scope="module")
def looks(
    conda_channel: Path, conda_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Looks]:
    prefix = tmp_path_factory.mktemp("conda") / "my env"
    with pytest.MonkeyPatch.context() as patch:
        for name in OF_THE_MACHINE:
            patch.delenv(name, raising=False)
        make_environment(prefix, [conda_channel.as_uri()], SPECS, cache=conda_cache)
        before = look(prefix)
        edit(prefix)
        yield Looks(prefix, before, look(prefix))


def look(prefix: Path) -> Facts:
    return probe(LocalTarget(python=str(prefix / "bin" / "python")))


def edit(prefix: Path) -> None:
    """Edit, add and delete, as people and tools do; no file of conda's cache changes."""
    texts = {
        "etc/zoo.conf": f"home = {prefix}/other\n",
        "bin/zoo-config": f"#!{prefix}/bin/python\nprint('edited, of {prefix}')\n",
        f"{SITE}/zoopure/__init__.py": "VERSION = 'edited'\ndef main(): pass\n",
        "etc/conda/activate.d/mine.sh": f"export MINE='{prefix}/mine'\nexport B='two words'\n",
        "etc/conda/activate.d/other.sh": "if true; then export C=1; fi\n",
        "share/mine.txt": "mine\n",
        "conda-meta/state": json.dumps({"env_vars": {"OF_STATE": f"{prefix}/x:1"}}),
        "conda-meta/history": "==> 2099-01-01 00:00:00 <==\n# conda version: 99.0\n",
        ".condarc": "channels: [https://me:secret@example.com/x]\n",
        "pkgs/cache.txt": "of conda itself\n",
        f"{SITE}/zoopure/__pycache__/x.cpython-311.pyc": "compiled",
    }
    for name, text in texts.items():
        place = prefix / name
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (prefix / "share/zoo/data.bin").unlink()
    (prefix / "lib/libzoo.so").unlink()
    (prefix / "lib/libzoo.so").symlink_to("libzoo.so.1.0")
    (prefix / "share/zoo/again.bin").unlink()
    (prefix / "share/zoo/again.bin").symlink_to("../mine.txt")
    record = prefix / "conda-meta" / "zoohook-1.0-h0_0.json"
    url = "https://me:secret@example.com/t/tk-123/main/linux-64/zoohook-1.0-h0_0.conda?x=secret"
    changed = {"url": url, "channel": url.rpartition("/linux-64")[0], "requested_spec": "zoohook"}
    record.write_text(json.dumps({**json.loads(record.read_text()), **changed}))


def conda_of(facts: Facts) -> CondaEnvironment:
    assert facts.conda is not None
    return facts.conda


def package(facts: Facts, name: str) -> CondaPackage:
    found = conda_of(facts).find(name)
    assert found is not None
    return found


def untracked(facts: Facts) -> Mapping[str, UntrackedFile]:
    return {one.path: one for one in facts.environment.untracked}


def test_packages_are_what_their_records_say(looks: Looks) -> None:
    found = conda_of(looks.before)

    described = [(one.described, one.subdir, one.noarch) for one in found.packages]
    assert described[:1] == [("libzoo 1.0 h0_0", SUBDIR, None)]
    assert described[-1:] == [("zoopure 1.0 pyh0_0", "noarch", "python")]
    assert package(looks.before, "zoocext").depends == (f"python {MINOR}.*", "libzoo")
    assert package(looks.before, "zoohook").link_scripts == ("bin/.zoohook-post-link.sh",)
    assert found.damaged == ()


def test_nothing_is_edited_where_nothing_was(looks: Looks) -> None:
    files = [one.files for one in conda_of(looks.before).packages]

    assert [(one.edited, one.missing) for one in files] == [((), ())] * len(files)
    assert looks.before.environment.untracked == ()
    assert looks.before.environment.import_path == ("site",)
    assert looks.before.environment.outside == ()


def test_distributions_of_a_package_are_counted_with_its_files(looks: Looks) -> None:
    found = {one.name: (one.origin, one.files) for one in looks.before.environment.distributions}

    assert found == {"zoocext": ("conda", None), "zoopure": ("conda", None)}


def test_the_digest_of_files_hangs_on_no_folder(
    looks: Looks, conda_channel: Path, conda_cache: Path, tmp_path: Path
) -> None:
    other = tmp_path / ("another-and-longer" * 3)
    make_environment(other, [conda_channel.as_uri()], SPECS, cache=conda_cache)

    again = look(other)

    assert conda_of(again) == conda_of(looks.before)


def test_what_was_edited_and_deleted_is_named_from_site_packages(looks: Looks) -> None:
    library, pure = (package(looks.after, name).files for name in ("libzoo", "zoopure"))

    assert library.edited == ("../../../bin/zoo-config", "../../../etc/zoo.conf")
    assert library.missing == (
        "../../../lib/libzoo.so",
        "../../../share/zoo/again.bin",
        "../../../share/zoo/data.bin",
    )
    assert pure.edited == ("zoopure/__init__.py",)
    assert package(looks.after, "zoocext").files == package(looks.before, "zoocext").files


def test_texts_that_named_the_prefix_travel_without_it(looks: Looks) -> None:
    assert package(looks.after, "libzoo").files.placeholders == (
        "../../../bin/zoo-config",
        "../../../etc/zoo.conf",
    )


def test_files_and_links_of_a_person_are_nobodys(looks: Looks) -> None:
    found = untracked(looks.after)

    assert {os.path.normpath(f"{SITE}/{path}"): one.link for path, one in found.items()} == {
        "etc/conda/activate.d/mine.sh": None,
        "etc/conda/activate.d/other.sh": None,
        "lib/libzoo.so": "libzoo.so.1.0",
        "share/mine.txt": None,
        "share/zoo/again.bin": "../mine.txt",
    }


def test_what_activation_sets_is_seen(looks: Looks) -> None:
    found = conda_of(looks.after)

    assert found.activation == {
        "B": "two words",
        "MINE": "$CONDA_PREFIX/mine",
        "ZOO_GREETING": "hello there",
        "ZOO_HOME": "$CONDA_PREFIX/share/zoo",
        "ZOO_THREADS": "4",
    }
    assert found.scripts == ("etc/conda/activate.d/other.sh",)
    assert found.variables == {"OF_STATE": "$CONDA_PREFIX/x:1"}


def test_addresses_are_told_without_credentials(looks: Looks) -> None:
    found = package(looks.after, "zoohook")

    assert found.url == "https://example.com/main/linux-64/zoohook-1.0-h0_0.conda"
    assert found.channel == "https://example.com/main"
    assert found.requested == ("zoohook",)


def test_a_package_of_a_folder_has_no_address(looks: Looks) -> None:
    found = package(looks.before, "libzoo")

    assert (found.url, found.channel) == (None, None)


@pytest.fixture
def small(
    conda_channel: Path,
    conda_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Return a prefix of its own."""
    for name in OF_THE_MACHINE:
        monkeypatch.delenv(name, raising=False)
    specs = ("python", "zoopure")
    return make_environment(tmp_path / "env", [conda_channel.as_uri()], specs, cache=conda_cache)


def test_what_pip_wrote_over_conda_is_pips_and_the_rest_is_gone(small: Path) -> None:
    of_pip = {"zoopure/__init__.py": "VERSION = 'of pip'\n"}
    for place in (small / SITE).glob("zoopure*"):  # as pip does before, by its RECORD
        shutil.rmtree(place)
    Venv(small).install(write_wheel(small.parent, "zoopure", of_pip))

    found = look(small)

    assert [(one.name, one.origin) for one in found.environment.distributions] == [
        ("zoopure", "local")
    ]
    assert package(found, "zoopure").files.edited == ()
    assert set(package(found, "zoopure").files.missing) >= {"zoopure/data.txt"}
    assert "zoopure/__init__.py" not in package(found, "zoopure").files.missing
    assert found.environment.untracked == ()


def test_what_conda_wrote_over_pip_is_condas_and_pips_rest_is_nobodys(small: Path) -> None:
    of_pip = {
        "zoopure/more.py": "",
        "zoopure-0.9.dist-info/METADATA": "Name: zoopure\nVersion: 0.9\n",
        "zoopure-0.9.dist-info/INSTALLER": "pip\n",
        "zoopure-0.9.dist-info/RECORD": "zoopure/__init__.py,sha256=x,1\nzoopure/more.py,,\n",
    }
    write_files(small / SITE, of_pip)

    found = look(small)

    assert [(one.version, one.origin) for one in found.environment.distributions] == [
        ("1.0", "conda")
    ]
    assert package(found, "zoopure").files.edited == ()
    assert {*of_pip} == {*untracked(found)}


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("zoopure-1.0-pyh0_0.json", b"{", "is not a record"),
        ("zoopure-1.0-pyh0_0.json", b'{"name": "x", "version": "1"}', "the build"),
        ("zoopure-1.0-pyh0_0.json", b'{"name": 3}', "the name"),
        ("zz.json", b'{"name": "python", "version": "1", "build": "0"}', "second record"),
        (
            "out.json",
            b'{"name": "x", "version": "1", "build": "0", "files": ["../x"]}',
            "outside",
        ),
        ("state", b"[]", "variables"),
        ("state", b'{"env_vars": {"A": 1}}', "variables"),
    ],
)
def test_a_damaged_record_is_named(looks: Looks, name: str, content: bytes, word: str) -> None:
    record = looks.prefix / "conda-meta" / name
    before = record.read_bytes() if record.exists() else None
    record.write_bytes(content)
    try:
        damaged = conda_of(look(looks.prefix)).damaged
    finally:
        record.unlink()
        if before is not None:
            record.write_bytes(before)

    assert any(name in one and word in one for one in damaged)


def test_a_venv_that_condas_python_made_is_no_prefix(small: Path) -> None:
    venv = small.parent / "venv"
    argv = (small / "bin" / "python", "-m", "venv", "--without-pip", venv)
    subprocess.run([os.fspath(one) for one in argv], check=True)

    assert look(venv).conda is None


def test_a_package_is_fetched_as_its_channel_has_it_else_as_it_was_installed(
    small: Path, conda_channel: Path
) -> None:
    target = LocalTarget(python=str(small / "bin" / "python"))
    record = small / "conda-meta" / "zoopure-1.0-pyh0_0.json"
    kept = json.loads(record.read_text())
    python = small / "conda-meta" / f"python-{platform.python_version()}-h0_0.json"
    python.write_text(json.dumps({**json.loads(python.read_text()), "sha256": "0" * 64}))

    whole = collect(target, distributions=[], files=[], packages=["zoopure"]).packages["zoopure"]
    record.write_text(json.dumps({**kept, "sha256": "0" * 64}))  # so it is another file
    both = collect(target, distributions=[], files=[], packages=["zoopure", "python"]).packages
    found, linked = both["zoopure"], both["python"]

    assert whole.archive == (conda_channel / "noarch" / kept["fn"]).read_bytes()
    assert found.archive is None
    assert found.prefix == str(small)
    assert [one["_path"] for one in found.paths] == kept["files"]
    assert found.files.keys() == {*kept["files"]}
    assert found.files["bin/zoo-roar"].executable
    assert linked.links["bin/python3"] == f"python{MINOR}"
    assert "bin/python3" not in linked.files
    with pytest.raises(ProbeError) as caught:
        collect(target, distributions=[], files=[], packages=["absent"])

    assert str(caught.value) == wording(
        "the environment's files cannot be fetched: absent is not installed"
    )


def test_an_answer_is_given_again_until_a_file_or_a_record_changes(small: Path) -> None:
    hashes, target = small.parent / "hashes", LocalTarget(python=str(small / "bin" / "python"))
    time.sleep(JUST_S)  # so that nothing has only just changed
    probe(target, hashes=hashes)
    (kept,) = hashes.glob("*.answer")
    document = json.loads(cache.read(str(kept), kept_answer.MAGIC))
    document["seen"]["conda"]["packages"][0]["version"] = "lie"
    lie = json.dumps(document).encode()
    changes = (
        lambda: None,
        lambda: (small / "conda-meta" / "state").write_text('{"env_vars": {}}'),
        lambda: (small / "lib" / f"python{MINOR}" / "mine.py").write_text(""),
    )

    versions = []
    for change in changes:
        cache.write(str(kept), kept_answer.MAGIC, lie)
        change()
        versions.append(conda_of(probe(target, hashes=hashes)).packages[0].version)

    assert [version == "lie" for version in versions] == [True, False, False]
