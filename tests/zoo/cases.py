"""The animals: each makes one oddity in a fresh environment."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

from tests.zoo.environment import Venv, run, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SETUPTOOLS = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "animal"
version = "1.0"
"""
HATCHLING = SETUPTOOLS.replace("setuptools>=77", "hatchling").replace(
    "setuptools.build_meta", "hatchling.build"
)


def plain(venv: Venv) -> None:
    venv.install("click", "six==1.16.0")


def edited_text(venv: Venv) -> None:
    plain(venv)
    path = venv.site / "click" / "core.py"
    path.write_text(path.read_text() + "\nEDITED = True\n")


def edited_binary(venv: Venv) -> None:
    venv.install("markupsafe")
    (library,) = (venv.site / "markupsafe").glob("_speedups*.so")
    library.write_bytes(library.read_bytes() + b"\0\xff\x01")


def file_added(venv: Venv) -> None:
    plain(venv)
    (venv.site / "click" / "ours.py").write_text("ANSWER = 42\n")


def file_deleted(venv: Venv) -> None:
    plain(venv)
    (venv.site / "click" / "testing.py").unlink()


def loose_module(venv: Venv) -> None:
    plain(venv)
    (venv.site / "ours.py").write_text("ANSWER = 42\n")


def loose_data(venv: Venv) -> None:
    plain(venv)
    write(venv.site, {"données du modèle/a b.txt": "é", "données du modèle/c.bin": "\0"})


def executable_added(venv: Venv) -> None:
    plain(venv)
    tool = venv.site / "click" / "tool.sh"
    tool.write_text("#!/bin/sh\necho ran\n")
    tool.chmod(0o755)


def harmless_pth(venv: Venv) -> None:
    plain(venv)
    (venv.site / "ours.pth").write_text("import os; os.environ.setdefault('OURS', 'set')\n")


def link_inside(venv: Venv) -> None:
    loose_module(venv)
    (venv.site / "alias.py").symlink_to("ours.py")


def link_to_a_file_outside(venv: Venv) -> None:
    plain(venv)
    (venv.beside / "target.py").write_text("ANSWER = 42\n")
    (venv.site / "ours.py").symlink_to(venv.beside / "target.py")


def console_script_edited(venv: Venv) -> None:
    venv.install("tabulate==0.9.0")
    script = venv.folder / "bin" / "tabulate"
    script.write_text(script.read_text().replace("import sys", "import sys\nprint('ours')", 1))


def around_site_packages(venv: Venv) -> None:
    plain(venv)
    scripts = {
        "bin/ours": f"#!{venv.python}\nimport click; print(click.__name__)\n",
        "bin/by-shell": '#!/bin/sh\ncat "$(dirname "$0")/../share/ours/latest.txt"\n',
        "bin/tools/inner": "#!/bin/sh\n",
    }
    write(venv.folder, scripts | {"share/ours/é.txt": "one", "etc/ours.cfg": "", "lib/x/y": ""})
    for name in scripts:
        (venv.folder / name).chmod(0o755)
    (venv.folder / "share" / "ours" / "latest.txt").symlink_to("é.txt")


def two_owners(venv: Venv) -> None:
    for name in ("first", "second"):
        files = {"shared/__init__.py": f"OWNER = {name!r}\n"}
        venv.install("--no-deps", str(wheel(venv.beside, name, "1.0", files)))


def half_removed(venv: Venv) -> None:
    plain(venv)
    write(venv.site, {"~ix-1.15.0.dist-info/METADATA": "Name: six\nVersion: 1.15.0\n"})
    write(venv.site, {"~ix.py": "broken\n"})


def empty_metadata(venv: Venv) -> None:
    plain(venv)
    write(venv.site, {"ghost-1.0.dist-info/METADATA": "", "ghost-1.0.dist-info/RECORD": ""})


def local_wheel(venv: Venv) -> None:
    venv.install(str(wheel(venv.beside, "animal", "1.0", {"animal.py": "ANSWER = 42\n"})))


def local_version(venv: Venv) -> None:
    wheel(venv.beside, "animal", "1.0+cu121", {"animal.py": "ANSWER = 42\n"})
    venv.install("--no-index", "--find-links", str(venv.beside), "animal")


def odd_versions(venv: Venv) -> None:
    for name, version in (("epoch", "1!2.0"), ("dev", "3.0.dev4"), ("post", "1.0.post2")):
        files = {f"{name}_x.py": "ANSWER = 42\n"}
        venv.install("--no-deps", str(wheel(venv.beside, f"zoo.{name}_X", version, files)))


def forms_that_no_wheel_has(venv: Venv) -> None:
    """Let packages be what installers once took, or what a person made of them by hand."""
    tags, version, folder, made_up, points = ("tags", "version", "folder", "made-up", "points")
    for name in (tags, version, folder, made_up, points):
        module = name.replace("-", "_")
        files = {f"{module}_x/__init__.py": "def main():\n    print('ran')\n"}
        venv.install("--no-deps", str(wheel(venv.beside, name, "1.0", files)))
    _rewrite(venv, tags, "WHEEL", "py3-none-any", "cp36-cp36m-manylinux2010_x86_64")
    _rewrite(venv, version, "METADATA", "Version: 1.0\n", "Version: 1.1\n")
    _rewrite(venv, folder, "WHEEL", "Wheel-Version: 1.0\n", "")
    _rewrite(venv, made_up, "METADATA", "Version: 1.0\n", "Version: 2.0-ours-5.g1234\n")
    script = venv.folder / "bin" / "made-up"
    script.write_text(f"#!{venv.python}\nimport sys\nfrom made_up_x import main\n{MAIN}")
    script.chmod(0o755)
    _add(venv, made_up, "entry_points.txt", "[console_scripts]\nmade-up = made_up_x:main\n")
    _add(venv, points, "entry_points.txt", "[console_scripts]\npoints = module\n")


MAIN = "if __name__ == '__main__':\n    sys.exit(main())\n"


def _rewrite(venv: Venv, name: str, file: str, old: str, new: str) -> None:
    (info,) = venv.site.glob(f"{name.replace('-', '_')}-1.0.dist-info")
    text = (info / file).read_text()
    assert old in text
    (info / file).write_text(text.replace(old, new))
    record = (info / "RECORD").read_text()
    lines = [line for line in record.splitlines() if not line.startswith(f"{info.name}/{file},")]
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/{file},,", ""]))


def _add(venv: Venv, name: str, file: str, text: str) -> None:
    (info,) = venv.site.glob(f"{name.replace('-', '_')}-1.0.dist-info")
    (info / file).write_text(text)
    with (info / "RECORD").open("a") as record:
        record.write(f"{info.name}/{file},,\n")


def data_outside_site_packages(venv: Venv) -> None:
    files = {"animal.py": "ANSWER = 42\n", "animal-1.0.data/data/share/animal/x.txt": "data\n"}
    venv.install(str(wheel(venv.beside, "animal", "1.0", files)))


def own_script(venv: Venv) -> None:
    files = {"animal.py": "", "animal-1.0.data/scripts/roar": "#!python\nprint('roar')\n"}
    venv.install(str(wheel(venv.beside, "animal", "1.0", files)))


def built_from_an_sdist(venv: Venv) -> None:
    venv.install("docopt==0.6.2")


def version_control(venv: Venv) -> None:
    repository = write(
        venv.beside / "animal", {"pyproject.toml": SETUPTOOLS, "animal.py": "ANSWER = 42\n"}
    )
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "One")
    venv.install(f"animal @ git+file://{repository}")


def editable_dirty(venv: Venv) -> None:
    sources = {"pyproject.toml": SETUPTOOLS, "src/animal/__init__.py": "ANSWER = 41\n"}
    repository = write(venv.beside / "animal", sources)
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "One")
    venv.install("--editable", str(repository))
    write(repository, {"src/animal/__init__.py": "ANSWER = 42\n", "src/animal/new.py": "N = 1\n"})


def editable_flat(venv: Venv) -> None:
    sources = {
        "pyproject.toml": SETUPTOOLS + "[tool.setuptools]\npackages = ['animal']\n",
        "animal/__init__.py": "ANSWER = 42\n",
        "animal/weights.txt": "1 2 3\n",
        "tests/test_animal.py": "",
    }
    venv.install("--editable", str(write(venv.beside / "animal", sources)))


def editable_with_data(venv: Venv) -> None:
    """Install a package that reads what lies around it in its project."""
    lines = (
        "from pathlib import Path",
        "TOP = Path(__file__).parents[1]",
        "CONFIG = (TOP.parent / 'configs' / 'a.yaml').read_text()",
        "WEIGHTS = (TOP / 'weights.txt').read_text()",
    )
    files = {"configs/a.yaml": "size: 1\n", "src/weights.txt": "1 2 3\n"}
    sources = {"pyproject.toml": HATCHLING, "src/animal/__init__.py": "\n".join(lines), **files}
    venv.install("--editable", str(write(venv.beside / "animal", sources)))


def editable_hatchling(venv: Venv) -> None:
    sources = {"pyproject.toml": HATCHLING, "src/animal/__init__.py": "ANSWER = 42\n"}
    venv.install("--editable", str(write(venv.beside / "animal", sources)))


def editable_legacy(venv: Venv) -> None:
    """Install by setuptools' develop, which leaves an .egg-link and no RECORD."""
    venv.install("setuptools==75.8.0")
    lines = (
        "from setuptools import setup",
        "setup(name='animal', version='1.0', packages=['animal'],",
        "      entry_points={'console_scripts': ['roar=animal:roar']})",
    )
    folder = write(
        venv.beside,
        {"animal/__init__.py": "def roar(): print('roar')\n", "setup.py": "\n".join(lines)},
    )
    run(str(venv.python), "setup.py", "--quiet", "develop", folder=folder)


def without_record(venv: Venv) -> None:
    """Leave the files of packages as installers of several ages did, none with a RECORD."""
    venv.install("click", "tabulate==0.9.0", "docopt==0.6.2")
    for name in ("click", "tabulate", "docopt"):
        next(venv.site.glob(f"{name}-*.dist-info/RECORD")).unlink()
    script = venv.folder / "bin" / "tabulate"
    script.write_text(script.read_text().replace("import sys", "import sys\nprint('ours')", 1))
    metadata = "Metadata-Version: 1.1\nName: {0}\nVersion: 1.0\n"
    files = {
        "plant.egg-info/PKG-INFO": metadata.format("plant"),
        "plant.egg-info/top_level.txt": "leaf\n",
        "leaf/__init__.py": "ANSWER = 42\n",
        "stone-1.0.egg-info": metadata.format("stone"),
        "stone.py": "ANSWER = 43\n",
        "egg-1.0-py3.egg/EGG-INFO/PKG-INFO": metadata.format("egg"),
        "egg-1.0-py3.egg/yolk.py": "ANSWER = 44\n",
        "easy-install.pth": "./egg-1.0-py3.egg\n",
    }
    write(venv.site, files)


def names_its_own_folder(venv: Venv) -> None:
    plain(venv)
    kernel = {"argv": [str(venv.python), "-c", "print('kernel')"], "env": {"X": str(venv.folder)}}
    files = {
        "bin/activate.local": f"export OURS='{venv.folder}/share'\n",
        "share/jupyter/kernels/ours/kernel.json": json.dumps(kernel),
    }
    write(venv.folder, files)
    write(venv.site, {"vendored/ours.py": "ANSWER = 42\n", "ours.pth": f"{venv.site}/vendored\n"})
    activate = venv.folder / "bin" / "activate"
    activate.write_text(activate.read_text() + '. "$VIRTUAL_ENV/bin/activate.local"\n')


def two_editables(venv: Venv) -> None:
    for name in ("animal", "plant"):
        text = SETUPTOOLS.replace("animal", name)
        sources = {"pyproject.toml": text, f"src/{name}/__init__.py": "ANSWER = 42\n"}
        venv.install("--editable", str(write(venv.beside / name, sources)))


def hostile_metadata(venv: Venv) -> None:
    files = {"animal.py": "ANSWER = 42\n"}
    headers = "Summary: x\nDescription: '''\n\"\"\"\nRUN id\n[[packages]]\n"
    venv.install(str(wheel(venv.beside, "animal", "1.0", files, headers=headers)))


def reaches_outside(venv: Venv) -> None:
    """Let the import path and links lead to what a person keeps beside the environment."""
    plain(venv)
    module = {"ours.py": "ANSWER = 42\n", "deep/in_side.py": "ANSWER = 43\n"}
    write(venv.beside / "project", module)
    (venv.site / "ours.pth").write_text(f"{venv.beside / 'project'}\n")
    write(venv.beside / "linked", {"__init__.py": "ANSWER = 44\n", "data/x.txt": ""})
    (venv.site / "linked").symlink_to(venv.beside / "linked")
    with zipfile.ZipFile(venv.beside / "packed.zip", "w") as archive:
        archive.writestr("packed.py", "ANSWER = 45\n")
    line = f"import sys; sys.path.insert(0, {str(venv.beside / 'packed.zip')!r})\n"
    (venv.site / "packed.pth").write_text(line)


def pth_into_another(venv: Venv) -> None:
    plain(venv)
    other = Venv(venv.beside / "other").make()
    write(other.site, {"ours.py": "ANSWER = 42\n"})
    (venv.site / "ours.pth").write_text(f"{other.site}\n")


def folder_link_to_data(venv: Venv) -> None:
    plain(venv)
    write(venv.beside / "data", {"x.csv": "1,2\n"})
    (venv.site / "ours").symlink_to(venv.beside / "data")


def pure_conda(venv: Venv) -> None:
    plain(venv)
    _by_conda(venv, "six")


def compiled_conda(venv: Venv) -> None:
    venv.install("markupsafe")
    _by_conda(venv, "markupsafe")


def _by_conda(venv: Venv, name: str) -> None:
    """Let a package look as conda would have left it."""
    info = next(venv.site.glob(f"{name}-*.dist-info"))
    files = [str(path.relative_to(venv.folder)) for path in info.iterdir()]
    (info / "INSTALLER").write_text("conda")
    write(venv.folder, {f"conda-meta/{name}-1-py_0.json": json.dumps({"files": files})})


def line_break_in_a_name(venv: Venv) -> None:
    plain(venv)
    (venv.site / "two\nlines.txt").write_text("")


def malicious(venv: Venv) -> None:
    venv.install("--no-deps", str(wheel(venv.beside, "ultralytics", "8.3.41", {"u.py": ""})))


BACK: Mapping[str, tuple[Callable[[Venv], None], str]] = {
    "plain": (plain, "import click, six; print(six.__version__)"),
    "edited text": (edited_text, "import click.core; print(click.core.EDITED)"),
    "edited binary": (edited_binary, "import markupsafe; print(markupsafe.escape('<'))"),
    "file added": (file_added, "import click.ours; print(click.ours.ANSWER)"),
    "file deleted": (file_deleted, "import click; print('fine')"),
    "loose module": (loose_module, "import ours; print(ours.ANSWER)"),
    "loose data": (loose_data, "print('fine')"),
    "executable added": (
        executable_added,
        (
            "import click, os, subprocess as s;"
            "print(s.check_output(os.path.dirname(click.__file__) + '/tool.sh'))"
        ),
    ),
    "harmless .pth": (harmless_pth, "import os; print(os.environ['OURS'])"),
    "link inside": (link_inside, "import alias; print(alias.ANSWER)"),
    "link to a file outside": (link_to_a_file_outside, "import ours; print(ours.ANSWER)"),
    "console script edited": (
        console_script_edited,
        (
            "import sys, subprocess as s;"
            "print(s.run([sys.prefix + '/bin/tabulate', '-h'], capture_output=True).stdout[:4])"
        ),
    ),
    "around site-packages": (
        around_site_packages,
        (
            "import sys, subprocess as s;"
            "print(*(s.check_output(f'{sys.prefix}/bin/{x}') for x in ('ours', 'by-shell')))"
        ),
    ),
    "two owners": (two_owners, "import shared; print(shared.OWNER)"),
    "half removed": (half_removed, "import six; print(six.__version__)"),
    "empty METADATA": (empty_metadata, "import six; print(six.__version__)"),
    "local wheel": (local_wheel, "import animal; print(animal.ANSWER)"),
    "local version": (local_version, "import animal; print(animal.ANSWER)"),
    "odd versions": (odd_versions, "import epoch_x, dev_x, post_x; print(epoch_x.ANSWER)"),
    "data outside site-packages": (
        data_outside_site_packages,
        "import sys; print(open(sys.prefix + '/share/animal/x.txt').read())",
    ),
    "forms that no wheel has": (
        forms_that_no_wheel_has,
        (
            "import sys, subprocess as s, tags_x, version_x, folder_x, made_up_x, points_x;"
            "print(s.check_output(sys.prefix + '/bin/made-up'))"
        ),
    ),
    "own script": (
        own_script,
        "import sys, subprocess as s; print(s.check_output(sys.prefix + '/bin/roar'))",
    ),
    "built from an sdist": (built_from_an_sdist, "import docopt; print(docopt.__version__)"),
    "version control": (version_control, "import animal; print(animal.ANSWER)"),
    "pure Python, from conda": (pure_conda, "import six; print(six.__version__)"),
    "hostile METADATA": (hostile_metadata, "import animal; print(animal.ANSWER)"),
}

# Those that one environment can have at the same time.
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "changed by hand": (
        *("edited text", "edited binary", "file added", "file deleted", "loose module"),
        *("loose data", "executable added", "harmless .pth", "link inside"),
        *("console script edited", "around site-packages", "half removed", "empty METADATA"),
    ),
    "installed in many ways": (
        *("link to a file outside", "two owners", "odd versions", "data outside site-packages"),
        *("forms that no wheel has", "built from an sdist", "pure Python, from conda"),
    ),
}

# These come back as regular installations: the sources lie in site-packages.
BACK_AS_REGULAR: Mapping[str, tuple[Callable[[Venv], None], str]] = {
    "editable, dirty": (
        editable_dirty,
        "import animal, animal.new; print(animal.ANSWER, animal.new.N)",
    ),
    "editable, flat": (
        editable_flat,
        (
            "import animal, os;"
            "print(open(os.path.join(os.path.dirname(animal.__file__), 'weights.txt')).read())"
        ),
    ),
    "editable, hatchling": (editable_hatchling, "import animal; print(animal.ANSWER)"),
    "editable, legacy": (
        editable_legacy,
        "import sys, subprocess as s; print(s.check_output(sys.prefix + '/bin/roar'))",
    ),
    "reaches outside": (
        reaches_outside,
        (
            "import ours, deep.in_side, linked, packed;"
            "print(ours.ANSWER, deep.in_side.ANSWER, linked.ANSWER, packed.ANSWER)"
        ),
    ),
    "without RECORD": (
        without_record,
        (
            "import click, docopt, leaf, stone, sys, tabulate, yolk, subprocess as s;"
            "print(s.run([sys.prefix + '/bin/tabulate', '-h'], capture_output=True).stdout[:4],"
            "leaf.ANSWER, stone.ANSWER, yolk.ANSWER)"
        ),
    ),
    "names its own folder": (
        names_its_own_folder,
        (
            "import json, ours, sys, subprocess as s;"
            "kernel = json.load(open(sys.prefix + '/share/jupyter/kernels/ours/kernel.json'));"
            "told = s.check_output(['bash', '-c', f'. {sys.prefix}/bin/activate; echo $OURS']);"
            "print(ours.ANSWER, s.check_output(kernel['argv']), kernel['env']['X'] == sys.prefix,"
            "told.decode().strip() == sys.prefix + '/share')"
        ),
    ),
    "two editables": (two_editables, "import animal, plant; print(plant.ANSWER)"),
}

REFUSED: Mapping[str, tuple[Callable[[Venv], None], str]] = {
    "a .pth leads into another environment": (
        pth_into_another,
        r"ours\.pth.*\(of another environment\) leads out of the environment",
    ),
    "a link to a folder of data leads out": (folder_link_to_data, r"ours.* leads out"),
    "compiled, from conda": (compiled_conda, r"markupsafe \S+ was installed by conda, compiled"),
    "a line break in a name": (line_break_in_a_name, r"two.*lines"),
    "known to be malicious": (malicious, r"ultralytics 8\.3\.41 is a known malicious release"),
}


def git(repository: Path, *words: str) -> None:
    """Run git as nobody in particular."""
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    run("git", *who, *words, folder=repository)


def wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str], *, headers: str = ""
) -> Path:
    """Write a wheel of text files."""
    stem = f"{name.replace('-', '_').replace('.', '_').lower()}-{version}"
    contents = {
        **files,
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\n"
        f"Version: {version}\n{headers}",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={_record_hash(text)},{len(text.encode())}\n"
        for path, text in contents.items()
    )
    contents[f"{stem}.dist-info/RECORD"] = record + f"{stem}.dist-info/RECORD,,\n"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in contents.items():
            archive.writestr(inside, text)
    return path


def move_away(venv: Venv) -> None:
    """Take the original and all that it was installed from out of reach."""
    away = venv.folder.parent / "away"
    away.mkdir()
    for place in (venv.folder, venv.beside):
        shutil.move(place, away)
    os.sync()


def _record_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
