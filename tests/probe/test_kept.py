"""When a whole answer is given again, and what makes the probe look anew.

In each environment the kept answer was exchanged for ``LIE``, so what was given again shows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapenv.probe.probe import parse_facts, probe
from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import pack
from snapenv_probe import cache, file_tree, kept_answer
from tests.probe.environments import (
    Venv,
    compile_library,
    make_venv,
    record_hash,
    write_files,
    write_wheel,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.facts import Facts

LIE = "1.0+lie"
JUST_S = 2.1  # for so long something has just changed
PLAIN = {
    "plain/__init__.py": "ANSWER = 42\n",
    "plain/data.txt": "data",
    "plain-1.0.data/scripts/tool": "#!python\nprint('tool')\n",
    "plain-1.0.data/data/share/plain.txt": "shared",
    "plain-1.0.dist-info/entry_points.txt": "[console_scripts]\nplain = plain:main\n",
}


@dataclass(frozen=True)
class Place:
    """An environment, with a folder of its own for what is kept."""

    venv: Venv
    hashes: Path

    def look(self, *, rehash: bool = False) -> Facts:
        return probe(LocalTarget(self.venv.python), hashes=self.hashes, rehash=rehash)

    def look_anew(self) -> Facts:
        return probe(LocalTarget(self.venv.python))

    @property
    def answers(self) -> list[Path]:
        return [*self.hashes.glob("*.answer")]

    def lie(self) -> None:
        """Look, and exchange a version in what was kept."""
        self.look()
        (file,) = self.answers
        document = json.loads(cache.read(str(file), kept_answer.MAGIC))
        document["seen"]["environment"]["distributions"][0]["version"] = LIE
        cache.write(str(file), kept_answer.MAGIC, json.dumps(document).encode())


def is_lie(facts: Facts) -> bool:
    return facts.environment.distributions[0].version == LIE


def make(folder: Path) -> Place:
    folder.mkdir()
    venv = make_venv(folder / "venv")
    venv.install(write_wheel(folder, "plain", PLAIN))
    return Place(venv, folder / "cache" / "hashes")


def site(venv: Venv, name: str) -> Path:
    return venv.site / name


def rewrite(path: Path, content: str) -> None:
    """Write as many bytes into a file, and set its time back."""
    before = path.stat()
    assert before.st_size == len(content)
    path.write_text(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap(path: Path, content: str) -> None:
    """Put another file of the same size and time in a file's place."""
    other = path.with_name("other")
    other.write_text(content)
    shutil.copystat(path, other)
    other.replace(path)


def add_distribution(venv: Venv) -> None:
    metadata = "Metadata-Version: 2.1\nName: more\nVersion: 1.0\n"
    record = f"more.py,{record_hash('')},0\n"
    files = {"more-1.0.dist-info/METADATA": metadata, "more-1.0.dist-info/RECORD": record}
    write_files(venv.site, {**files, "more.py": ""})


def nest(venv: Venv) -> None:
    write_files(venv.site, {"plain/inner/deeper/added.py": ""})


def rename(venv: Venv) -> None:
    site(venv, "plain/data.txt").rename(site(venv, "plain/atad.txt"))


def exchange(venv: Venv) -> None:
    """Exchange the names of two files."""
    one, other = site(venv, "plain/data.txt"), site(venv, "plain/__init__.py")
    between = site(venv, "between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def say_where_it_is_from(venv: Venv) -> None:
    url = '{"url": "https://example.com/plain.whl", "archive_info": {}}'
    site(venv, "plain-1.0.dist-info/direct_url.json").write_text(url)


def lead_out(venv: Venv) -> None:
    (venv.folder / "project").mkdir()
    site(venv, "project.pth").write_text(f"{venv.folder / 'project'}\n")


def link_out(venv: Venv) -> None:
    site(venv, "out.py").symlink_to("/etc/hostname")


CHANGES: dict[str, Callable[[Venv], object]] = {
    "as many bytes": lambda venv: rewrite(site(venv, "plain/__init__.py"), "ANSWER = 43\n"),
    "another file": lambda venv: swap(site(venv, "plain/__init__.py"), "ANSWER = 44\n"),
    "deleted": lambda venv: site(venv, "plain/data.txt").unlink(),
    "a folder deleted": lambda venv: shutil.rmtree(site(venv, "plain")),
    "added": lambda venv: site(venv, "plain/added.py").write_text(""),
    "added deeper": nest,
    "renamed": rename,
    "names exchanged": exchange,
    "RECORD": lambda venv: site(venv, "plain-1.0.dist-info/RECORD").write_text(""),
    "direct_url.json": say_where_it_is_from,
    "a distribution": add_distribution,
    "a distribution removed": lambda venv: shutil.rmtree(site(venv, "plain-1.0.dist-info")),
    "a module of nobody": lambda venv: site(venv, "loose.py").write_text(""),
    "a .pth": lead_out,
    "a link": link_out,
    "a script": lambda venv: rewrite_script(venv.folder / "bin" / "tool"),
    "an entry point": lambda venv: rewrite_script(venv.folder / "bin" / "plain"),
    "a script deleted": lambda venv: (venv.folder / "bin" / "tool").unlink(),
    "shared": lambda venv: rewrite(venv.folder / "share" / "plain.txt", "SHARED"),
    "shared and deleted": lambda venv: (venv.folder / "share" / "plain.txt").unlink(),
    "a script of nobody": lambda venv: write_files(venv.folder, {"bin/ours": "#!/bin/sh\n"}),
    "around site-packages": lambda venv: write_files(venv.folder, {"lib/ours/x.txt": ""}),
    "conda": lambda venv: write_files(
        venv.folder, {"conda-meta/x.json": f'{{"files": ["{venv.site}/x.py"]}}'}
    ),
}
VARIABLES = {
    "HOME": "/nowhere",
    "LD_LIBRARY_PATH": "/usr",
    "NVIDIA_PYTORCH_VERSION": "26.03",
    "PYTHONPATH": "/usr",
}


def rewrite_script(path: Path) -> None:
    path.write_text(path.read_text() + "print('by hand')\n")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """Yield an environment for each change, and one more, each with a lie kept."""
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        names = [*CHANGES, *VARIABLES, "nothing", "rehash", "another program"]
        made = {name: make(folder / str(number)) for number, name in enumerate(names)}
        first, *others = made.values()
        first.look()
        for place in others:  # compiling the program takes longer than the look
            shutil.copytree(first.hashes, place.hashes, ignore=shutil.ignore_patterns("*.answer"))
        time.sleep(JUST_S)
        for place in made.values():
            place.lie()
        yield made


def test_the_answer_of_an_environment_that_did_not_change_is_given_again(
    places: dict[str, Place],
) -> None:
    assert is_lie(places["nothing"].look())
    assert not is_lie(places["nothing"].look_anew())


@pytest.mark.parametrize("change", CHANGES)
def test_an_environment_that_changed_is_looked_at(places: dict[str, Place], change: str) -> None:
    place = places[change]
    CHANGES[change](place.venv)

    found = place.look()

    assert found == place.look_anew()
    assert not any(one.version == LIE for one in found.environment.distributions)


def test_rehash_looks_and_keeps_the_new_answer(places: dict[str, Place]) -> None:
    place = places["rehash"]

    asked, again = place.look(rehash=True), place.look()

    assert asked == again == place.look_anew()
    assert len(place.answers) == 1


@pytest.mark.parametrize("name", VARIABLES)
def test_another_variable_that_decides_makes_the_probe_look(
    places: dict[str, Place], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, VARIABLES[name])

    assert not is_lie(places[name].look())


def test_the_answer_of_another_program_is_not_given_again(places: dict[str, Place]) -> None:
    place = places["another program"]
    other = place.venv.folder / "other.pyz"
    other.write_bytes(pack("snapenv_probe") + b"\0")
    words = [place.venv.python, "-B", str(other), "--index", str(place.hashes)]

    done = subprocess.run(words, capture_output=True, check=True)

    assert not is_lie(parse_facts(done.stdout.decode()))


def test_what_is_read_anew_each_time_is_not_kept(
    places: dict[str, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    found = places["nothing"].look()

    assert is_lie(found)
    assert found.variables == {"OMP_NUM_THREADS": "3"}


def test_compiled_files_that_appear_do_not_matter(places: dict[str, Place]) -> None:
    place = places["nothing"]
    write_files(place.venv.site, {"plain/__pycache__/plain.cpython-311.pyc": "compiled"})

    assert is_lie(place.look())


def test_what_has_just_changed_is_not_kept(tmp_path: Path) -> None:
    place, later_s = make(tmp_path / "new"), time.time() + 3600
    os.utime(site(place.venv, "plain/data.txt"), (later_s, later_s))  # however late the look is

    place.look()

    assert place.answers == []


def add_editable(venv: Venv) -> None:
    add_distribution(venv)
    write_files(venv.folder, {"sources/module.py": ""})
    write_files(venv.site, {"_more.pth": str(venv.folder / "sources")})
    url = f'{{"url": "file://{venv.folder}/sources", "dir_info": {{"editable": true}}}}'
    site(venv, "more-1.0.dist-info/direct_url.json").write_text(url)


def test_nothing_is_kept_where_something_beside_may_have_gone_meanwhile(tmp_path: Path) -> None:
    tree = file_tree.walk([])
    place, now_ns = tmp_path / "cache" / "x.answer", time.time_ns()
    beside = [str(tmp_path / "gone" / "deeper")]

    for after_s in (10, 0):
        kept_answer.Kept(str(place), [], now_ns=now_ns + after_s * 10**9).keep({}, tree, beside)
        found = kept_answer.Kept(str(place), []).find(tree)

        assert found == ({} if after_s else None)


LEADS_OUT: dict[str, Callable[[Venv], object]] = {
    "a link": lambda venv: site(venv, "link.py").symlink_to(site(venv, "plain/__init__.py")),
    "a link around site-packages": lambda venv: (venv.folder / "bin/x").symlink_to("/etc/hosts"),
    "a .pth": lead_out,
    "a .pth to what is not there": lambda venv: site(venv, "x.pth").write_text("not/there\n"),
    "conda": lambda venv: (venv.folder / "conda-meta").mkdir(),
    "editable": add_editable,
}


@pytest.fixture(scope="module")
def leading_out(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Place]:
    folder = tmp_path_factory.mktemp("leading")
    made = {name: make(folder / str(number)) for number, name in enumerate(LEADS_OUT)}
    for name, place in made.items():
        LEADS_OUT[name](place.venv)
    time.sleep(JUST_S)
    return made


@pytest.mark.parametrize("way", LEADS_OUT)
def test_nothing_is_kept_of_an_environment_that_leads_elsewhere(
    leading_out: dict[str, Place], way: str
) -> None:
    place = leading_out[way]

    found = place.look()

    assert place.answers == []
    assert found == place.look_anew()


def test_a_library_of_cuda_that_is_another_now_is_asked_anew(tmp_path: Path) -> None:
    place = make(tmp_path / "place")
    venv = place.venv
    write_files(venv.site, {"torch/version.py": "__version__ = '2.8.0'\ncuda = '12.9'\n"})
    first = venv.site / "nvidia/cudnn/lib/libcudnn.so.9"
    for library, version in ((first, 90100), (venv.site / "torch/lib/libcudnn.so.8", 8907)):
        compile_library(library, f"unsigned long cudnnGetVersion(void) {{ return {version}; }}")
    time.sleep(JUST_S)

    assert place.look().environment.libraries.cudnn == "9.1.0"
    assert place.answers
    first.unlink()
    assert place.look().environment.libraries.cudnn == "8.9.7"
