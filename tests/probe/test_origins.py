"""Where each distribution came from, by what real installers leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.probe.environments import (
    Venv,
    make_repository,
    make_venv,
    run_uv,
    serve,
    write_files,
    write_project,
    write_wheel,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n"


def origin(venv: Venv, name: str) -> tuple[str, str | None]:
    found = venv.find(name)
    return found.origin, found.url


def add_metadata(site: Path, info: str, name: str, files: Mapping[str, str] | None = None) -> None:
    write_files(site / info, {"METADATA": METADATA.format(name), **(files or {})})


def test_from_an_index(venv: Venv, tmp_path: Path) -> None:
    write_wheel(tmp_path, "plain", {"plain.py": ""})

    venv.install("--find-links", tmp_path, "plain")

    assert origin(venv, "plain") == ("index", None)


def test_from_a_wheel_on_this_disk_only_its_name_is_told(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", {"plain.py": ""}))

    assert origin(venv, "plain") == ("local", "file:plain-1.0-py3-none-any.whl")


def test_from_a_folder(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_project(tmp_path / "sources", "plain", {"plain.py": ""}))

    assert origin(venv, "plain") == ("local", "file:sources")


def test_editable(venv: Venv, tmp_path: Path) -> None:
    finder = {"__editable__.plain-1.0.pth": str(tmp_path / "sources")}
    project = write_project(tmp_path / "sources", "plain", finder)

    venv.install("--editable", project)

    assert origin(venv, "plain") == ("editable", "file:sources")


@pytest.mark.parametrize("finder", ["__editable__.plain-1.0.pth", "_editable_impl_plain.pth"])
def test_editable_without_a_url_is_known_by_its_finder(
    venv: Venv, tmp_path: Path, finder: str
) -> None:
    write_wheel(tmp_path, "plain", {finder: ""})

    venv.install("--find-links", tmp_path, "plain")

    assert origin(venv, "plain") == ("editable", None)


def test_sources_on_the_path_are_editable(venv: Venv, tmp_path: Path) -> None:
    write_files(tmp_path / "src", {"plain.egg-info/PKG-INFO": METADATA.format("plain")})
    write_files(venv.site, {"easy-install.pth": f"{tmp_path / 'src'}\n"})

    assert origin(venv, "plain") == ("editable", None)


def test_from_version_control_the_commit_is_told(venv: Venv, tmp_path: Path) -> None:
    project = write_project(tmp_path / "repository", "plain", {"plain.py": ""})
    commit = make_repository(project)

    venv.install(f"plain @ git+file://{project}")

    assert origin(venv, "plain") == ("vcs", f"git+file:repository@{commit}")


def test_from_a_url(venv: Venv, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "plain", {"plain.py": ""})
    with serve(tmp_path) as address:
        run_uv("pip", "install", "--python", venv.python, f"plain @ http://{address}/{wheel.name}")

    assert origin(venv, "plain") == ("url", f"http://{address}/{wheel.name}")


@pytest.mark.parametrize(
    ("direct", "expected"),
    [
        (
            (
                '{"url": "https://alice:secret@example.com:8443/x.whl?token=1#sha256=0",'
                ' "archive_info": {}}'
            ),
            ("url", "https://example.com:8443/x.whl"),
        ),
        (
            '{"url": "ssh://git@example.com/x.git", "vcs_info": {"vcs": "git", "commit_id": "0a"}}',
            ("vcs", "git+ssh://example.com/x.git@0a"),
        ),
        ('{"url": "file:///home/alice/x/", "dir_info": {}}', ("local", "file:x")),
        ('{"url": "https://[broken", "archive_info": {}}', ("url", "invalid:")),
        ("no JSON", ("index", None)),
        ('["url"]', ("index", None)),
    ],
)
def test_a_url_is_told_without_what_is_secret_or_personal(
    venv: Venv, direct: str, expected: tuple[str, str | None]
) -> None:
    add_metadata(venv.site, "x-1.0.dist-info", "x", {"RECORD": "", "direct_url.json": direct})

    assert origin(venv, "x") == expected


def test_by_conda(venv: Venv) -> None:
    add_metadata(venv.site, "a-1.0.dist-info", "a", {"INSTALLER": "conda\n", "RECORD": ""})
    add_metadata(venv.site, "b-1.0.dist-info", "b", {"RECORD": ""})
    add_metadata(venv.site, "c-1.0.dist-info", "c", {"RECORD": "", "INSTALLER": "pip\n"})
    site = venv.site.relative_to(venv.folder)
    paths = ", ".join(f'"{site}/{name}-1.0.dist-info/METADATA"' for name in "bc")
    write_files(venv.folder, {"conda-meta/b-1.0-0.json": f'{{"files": [{paths}]}}'})

    found = venv.look().environment.distributions

    assert [one.origin for one in found] == ["conda", "conda", "index"]


def test_what_lies_in_a_venv_is_never_the_operating_systems(venv: Venv) -> None:
    add_metadata(venv.site, "a-1.0.dist-info", "a", {"INSTALLER": "debian\n", "RECORD": ""})
    add_metadata(venv.site, "b-1.0.dist-info", "b", {"INSTALLER": "pip\n"})

    found = venv.look().environment.distributions

    assert [(one.origin, one.files is None) for one in found] == [
        ("index", False),
        ("index", False),
    ]


def test_in_an_nvidia_image_all_outside_of_the_venv_is_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = make_venv(tmp_path / "inner", "--system-site-packages")
    inner.install(write_wheel(tmp_path, "plain", {"plain.py": ""}))
    images, own = tmp_path / "local" / "dist-packages", inner.folder / "dist-packages"
    add_metadata(images, "numpy-1.0.dist-info", "numpy", {"RECORD": ""})
    add_metadata(own, "own-1.0.dist-info", "own", {"RECORD": ""})
    monkeypatch.setenv("PYTHONPATH", f"{images}:{own}")
    monkeypatch.setenv("NVIDIA_PYTORCH_VERSION", "25.01")

    assert inner.find("numpy").origin == "base"
    assert inner.find("plain").origin == "local"
    assert inner.find("own").origin == "index"
    assert inner.look().image == {"NVIDIA_PYTORCH_VERSION": "25.01"}


def test_the_first_on_the_path_hides_others_of_its_name(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = "Name: Two_Names\nVersion: 2\n", "Name: two.names\nVersion: 1\n"
    write_files(tmp_path / "first", {"Two_Names-2.dist-info/METADATA": first})
    write_files(venv.site, {"two.names-1.dist-info/METADATA": second})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "first"))

    (found,) = venv.look().environment.distributions

    assert (found.name, found.version) == ("two-names", "2")


@pytest.mark.parametrize(
    "content",
    ["", "Name:\nVersion: 1\n", "Name: ../x\nVersion: 1\n", "Name: x\n"],
)
def test_what_has_no_name_or_version_is_left_out(venv: Venv, content: str) -> None:
    write_files(venv.site, {"x-1.dist-info/METADATA": content, "y-1.dist-info/RECORD": ""})

    assert venv.look().environment.distributions == ()


def test_the_remains_of_a_removal_are_left_out_and_named(venv: Venv) -> None:
    add_metadata(venv.site, "~umpy-1.0.dist-info", "numpy", {"RECORD": ""})

    environment = venv.look().environment

    assert environment.distributions == ()
    assert [loose.path for loose in environment.untracked] == [
        "~umpy-1.0.dist-info/METADATA",
        "~umpy-1.0.dist-info/RECORD",
    ]


def test_metadata_that_is_no_utf8_is_read(venv: Venv) -> None:
    add_metadata(venv.site, "x-1.0.dist-info", "x", {"RECORD": ""})
    (venv.site / "x-1.0.dist-info" / "METADATA").write_bytes(
        b"Metadata-Version: 2.1\r\nname: X\r\nVersion: 1.0\r\nAuthor: Ren\xe9\r\n\r\nCaf\xe9\r\n"
    )

    assert venv.find("x").version == "1.0"


def test_an_egg_info_that_is_one_file_is_read(venv: Venv) -> None:
    write_files(venv.site, {"x-1.0.egg-info": METADATA.format("x")})

    assert venv.find("x").origin == "local"
