from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import docker
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.engine.docker import DockerEngine
from snapenv.model.outcome import Check
from snapenv.model.python import Interpreter, Libraries, UntrackedFile
from snapenv.probe.probe import probe
from snapenv.verify.compare import compare_facts
from snapenv.verify.differences import differences
from snapenv.verify.verdict import judge
from tests.samples import (
    sample_distribution,
    sample_distributions,
    sample_environment,
    sample_facts,
    sample_files,
    sample_hardware,
    sample_native,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker.models.containers import Container

    from snapenv.model.facts import Facts, Native, NativeLibrary


def failed(checks: tuple[Check, ...]) -> list[str]:
    return [check.id for check in checks if not check.ok]


def test_two_equal_looks_hold_and_need_no_fix() -> None:
    checks = compare_facts(sample_facts(), sample_facts())

    assert failed(checks) == []
    assert [check.fix for check in checks] == [None] * len(checks)


def test_every_check_that_failed_says_what_to_do() -> None:
    actual = sample_facts(
        environment=sample_environment(python="3.12.3", torch=None, distributions=[]),
        variables={"OMP_NUM_THREADS": "4"},
    )

    checks = compare_facts(sample_facts(), actual)

    assert {"python", "frameworks", "distributions", "variables"} <= set(failed(checks))
    assert all(check.fix for check in checks if not check.ok)


def test_the_machine_below_is_no_part_of_the_environment() -> None:
    elsewhere = sample_facts(hardware=sample_hardware(driver=None, glibc="2.39"))

    assert failed(compare_facts(sample_facts(), elsewhere)) == []


def test_another_patch_of_the_same_python_is_a_warning_by_name() -> None:
    patched = sample_facts(environment=sample_environment(python="3.11.9"))

    (check, *rest) = compare_facts(sample_facts(), patched)

    assert (check.id, check.ok, check.severity) == ("python", False, "warning")
    assert (check.expected, check.actual) == ("cpython 3.11.7", "cpython 3.11.9")
    assert check.fix == wording(
        "Install Python 3.11.7 (uv python install 3.11.7) and restore again, or name one with --python PATH."
    )
    assert failed(tuple(rest)) == []


def test_another_implementation_of_the_same_version_does_not_hold() -> None:
    environment = replace(
        sample_environment(), interpreter=Interpreter(implementation="pypy", version="3.11.7")
    )

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    assert failed(checks) == ["python"]


def test_a_library_that_torch_loads_is_named_with_both_versions() -> None:
    environment = replace(sample_environment(), libraries=Libraries(cudnn="9.10.2", nccl="2.28.9"))

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    (check,) = (check for check in checks if not check.ok)
    assert check.id == "frameworks"
    assert (check.expected, check.actual) == (
        wording("torch 2.11.0+cu130, CUDA 13.0, cuDNN 9.19.0, NCCL 2.28.9"),
        wording("torch 2.11.0+cu130, CUDA 13.0, cuDNN 9.10.2, NCCL 2.28.9"),
    )


def test_a_distribution_of_another_version_is_named() -> None:
    others = [one for one in sample_distributions() if one.name != "pyyaml"]
    environment = sample_environment(
        distributions=[*others, sample_distribution("pyyaml", "6.0.2")]
    )

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    assert (
        Check(
            id="distribution.pyyaml",
            ok=False,
            expected="6.0.3",
            actual="6.0.2",
            fix="Reinstall pyyaml from the lock, or restore again.",
            topic="packages",
            package="pyyaml",
        )
        in checks
    )
    assert failed(checks) == ["distributions", "distribution.pyyaml"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_distribution_on_one_side_alone_is_named(*, swapped: bool) -> None:
    more = sample_facts(
        environment=sample_environment(
            distributions=[*sample_distributions(), sample_distribution("wandb", "0.22.0")]
        )
    )
    pair = (more, sample_facts()) if swapped else (sample_facts(), more)

    checks = compare_facts(*pair)

    assert failed(checks) == ["distributions", "distribution.wandb"]
    assert {checks[-2].expected, checks[-2].actual} == {"absent", "0.22.0"}


def test_an_edited_file_is_named_though_the_version_is_the_same() -> None:
    edited = sample_files("by hand", edited=("ultralytics/utils/loss.py",))
    others = [one for one in sample_distributions() if one.name != "ultralytics"]
    mended = sample_distribution("ultralytics", "8.4.190", files=edited)
    environment = sample_environment(distributions=[*others, mended])

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    (check,) = (check for check in checks if check.id == "distribution.ultralytics")
    assert "edited ultralytics/utils/loss.py" in check.actual


def test_who_installed_a_distribution_does_not_matter() -> None:
    by_uv = [replace(one, installer="uv") for one in sample_distributions()]
    environment = sample_environment(distributions=by_uv)

    assert failed(compare_facts(sample_facts(), sample_facts(environment=environment))) == []


def test_a_file_that_may_no_longer_be_run_is_named() -> None:
    tool = sample_distribution("tool", files=replace(sample_files(), executable=("a.sh", "b.sh")))
    lost = replace(tool, files=replace(sample_files(), executable=("b.sh",)))
    unknown = replace(tool, files=sample_files())
    then, now, old = (
        sample_facts(environment=sample_environment(distributions=(one,)))
        for one in (tool, lost, unknown)
    )

    (check,) = (one for one in compare_facts(then, now) if one.id == "distribution.tool")

    assert (check.expected, check.actual) == ("a.sh executable", "a.sh not executable")
    assert failed(compare_facts(then, old)) == failed(compare_facts(old, now)) == []


def with_loose(*files: UntrackedFile) -> Facts:
    return sample_facts(environment=sample_environment(untracked=files))


PATCH = UntrackedFile(path="patch.py", sha256="ab" * 32)


def test_files_that_belong_to_no_package_hold_where_they_are_the_same() -> None:
    carried = with_loose(PATCH, UntrackedFile(path="patch.link", link="patch.py"))

    checks = compare_facts(carried, carried)

    assert failed(checks) == []
    assert [check.actual for check in checks if check.id == "untracked"] == [
        wording("2 files of no package")
    ]


@pytest.mark.parametrize(
    ("now", "actual"),
    [
        ((), "patch.py absent"),
        ((replace(PATCH, sha256="cd" * 32),), "patch.py content cdcdcdcdcdcd"),
        ((replace(PATCH, sha256=None, link="other.py"),), "patch.py -> other.py"),
    ],
)
def test_a_file_of_no_package_that_differs_is_named(
    now: tuple[UntrackedFile, ...], actual: str
) -> None:
    checks = compare_facts(with_loose(PATCH), with_loose(*now))

    assert [(check.id, check.actual) for check in checks if not check.ok] == [("untracked", actual)]


def test_what_an_older_look_did_not_see_of_a_file_of_no_package_is_not_compared() -> None:
    known = replace(PATCH, executable=True)

    assert failed(compare_facts(with_loose(PATCH), with_loose(known))) == []
    assert failed(compare_facts(with_loose(replace(known, executable=False)), with_loose(known)))


def test_an_empty_folder_that_a_tool_made_over_there_is_no_difference() -> None:
    empty = with_loose(UntrackedFile(path="space", folder=True))

    assert failed(compare_facts(sample_facts(), empty)) == []
    assert failed(compare_facts(empty, sample_facts())) == ["untracked"]


def test_a_hook_that_somebody_put_there_since_is_a_difference() -> None:
    hook = with_loose(UntrackedFile(path="../../../bin/activate.local", sha256="cd" * 32))

    assert failed(compare_facts(sample_facts(), hook)) == ["untracked"]


@pytest.mark.parametrize("path", ["../../../bin/activate.nu", "_virtualenv.py"])
def test_a_script_that_a_newer_tool_wrote_is_no_difference_unless_one_was_captured(
    path: str,
) -> None:
    theirs = UntrackedFile(path=path, sha256="cd" * 32)
    ours = replace(theirs, sha256="ef" * 32)

    assert failed(compare_facts(sample_facts(), with_loose(theirs))) == []
    assert failed(compare_facts(with_loose(ours), with_loose(theirs))) == ["untracked"]
    assert failed(compare_facts(with_loose(ours), sample_facts())) == ["untracked"]


def test_a_file_whose_placeholder_was_not_filled_in_is_named() -> None:
    named = replace(PATCH, placeholders=True)

    (check,) = [
        check for check in compare_facts(with_loose(named), with_loose(PATCH)) if not check.ok
    ]

    assert check.expected == wording(
        "patch.py content abababababab, which names the environment's folder"
    )
    assert check.actual == "patch.py content abababababab"


def test_every_check_says_what_it_compares() -> None:
    checks = compare_facts(
        sample_facts(native=NATIVE),
        sample_facts(environment=sample_environment(distributions=[]), native=NATIVE),
    )

    assert {check.id: check.topic for check in checks if check.package is None} == {
        "python": "python",
        "frameworks": "frameworks",
        "distributions": "packages",
        "kernels": "kernels",
        "system-libraries": "libraries",
        "variables": "variables",
    }
    assert [check.package for check in checks if check.package] == [
        one.name for one in sample_distributions()
    ]


@pytest.mark.parametrize("python", ["3.11.7", "3.12.1"])
def test_a_wheel_for_another_python_is_named_though_a_comparison_lets_it_go_without_saying(
    python: str,
) -> None:
    def holding(tag: str, content: str, python: str) -> Facts:
        numpy = sample_distribution("numpy", tags=(tag,), files=sample_files(content))
        return sample_facts(
            environment=sample_environment(python=python, torch=None, distributions=[numpy])
        )

    sides = (
        holding("cp311-cp311-linux_x86_64", "one", "3.11.7"),
        holding("cp312-cp312-linux_x86_64", "another", python),
    )

    assert "distribution.numpy" in failed(compare_facts(*sides))
    assert ("numpy" in [one.subject for one in differences(*sides)]) is (python == "3.11.7")


def test_a_new_file_of_no_package_is_named() -> None:
    checks = compare_facts(sample_facts(), with_loose(PATCH))

    (check,) = [check for check in checks if not check.ok]
    assert (check.id, check.expected) == ("untracked", "patch.py absent")
    assert "patch.py" in (check.fix or "")


def test_what_is_told_as_edited_or_missing_is_no_difference_where_the_content_is_the_same() -> None:
    carried = sample_files("by hand", edited=("a.py",), missing=("b.py",))
    vendored = sample_files("by hand")
    sides = (
        sample_facts(
            environment=sample_environment(
                distributions=[sample_distribution("ultralytics", "8.4.190", files=files)]
            )
        )
        for files in (carried, vendored)
    )

    assert failed(compare_facts(*sides)) == []


NATIVE = sample_native()
GL, CUDA, RDMA = NATIVE.libraries


def test_the_same_compiled_code_holds() -> None:
    facts = sample_facts(native=NATIVE)

    checks = compare_facts(facts, facts)

    assert failed(checks) == []
    assert {"kernels", "system-libraries"} <= {check.id for check in checks}


@pytest.mark.parametrize("natives", [(NATIVE, None), (None, NATIVE)])
def test_compiled_code_that_one_look_did_not_see_is_not_compared(
    natives: tuple[Native | None, Native | None],
) -> None:
    checks = compare_facts(*(sample_facts(native=native) for native in natives))

    assert {"kernels", "system-libraries"}.isdisjoint(check.id for check in checks)


def test_kernels_for_other_gpus_are_named_with_their_distribution() -> None:
    torch, torchvision = NATIVE.kernels
    fewer = replace(torchvision, architectures=("sm_90",))

    checks = compare_facts(
        sample_facts(native=NATIVE),
        sample_facts(native=replace(NATIVE, kernels=(torch, fewer))),
    )

    (check,) = [check for check in checks if not check.ok]
    assert (check.id, check.actual) == ("kernels", "cuBLAS 13.1.0, torchvision: sm_90")
    assert "torchvision: sm_75 sm_80" in check.expected


def test_another_cublas_does_not_hold() -> None:
    checks = compare_facts(
        sample_facts(native=NATIVE), sample_facts(native=replace(NATIVE, cublas="13.0.2"))
    )

    assert [(check.id, check.actual) for check in checks if not check.ok] == [
        ("kernels", "cuBLAS 13.0.2")
    ]


def test_a_library_of_no_package_is_to_be_copied_and_never_to_be_installed() -> None:
    by_hand = replace(GL, soname="libopencv_core.so.405", package=None, outside=True)
    captured = sample_facts(native=replace(NATIVE, libraries=(by_hand,)))

    checks = compare_facts(captured, sample_facts(native=replace(NATIVE, libraries=())))

    (check,) = [check for check in checks if not check.ok]
    assert check.fix
    assert check.fix == wording(
        "Copy libopencv_core.so.405 from the machine of the capture, where no package had put it, and name its folder in LD_LIBRARY_PATH."
    )
    assert "nstall" not in check.fix


FRONT = ("site/snapenv-path/fork", "site")
AFTER = ("site", "site/snapenv-path/a", "site/snapenv-path/b")


@pytest.mark.parametrize(
    ("expected", "actual", "severity"),
    [
        (FRONT, ("site",), "error"),
        (FRONT, tuple(reversed(FRONT)), "error"),
        (("site",), FRONT, "error"),
        (AFTER, (AFTER[0], AFTER[2], AFTER[1]), "warning"),
    ],
)
def test_another_import_path_is_named(
    expected: tuple[str, ...], actual: tuple[str, ...], severity: str
) -> None:
    facts = [
        sample_facts(environment=replace(sample_environment(), import_path=one))
        for one in (expected, actual)
    ]

    (check,) = [check for check in compare_facts(*facts) if not check.ok]

    assert (check.id, check.severity) == ("import-path", severity)
    assert (check.expected, check.actual) == (", ".join(expected), ", ".join(actual))


@pytest.mark.parametrize("paths", [(FRONT, FRONT), (None, FRONT), (FRONT, None)])
def test_an_import_path_that_is_the_same_or_that_nobody_looked_at_holds(
    paths: tuple[tuple[str, ...] | None, tuple[str, ...] | None],
) -> None:
    facts = [
        sample_facts(environment=replace(sample_environment(), import_path=one)) for one in paths
    ]

    assert failed(compare_facts(*facts)) == []


def test_a_library_that_an_import_needs_is_missed_with_the_package_that_holds_it() -> None:
    without = replace(NATIVE, libraries=(replace(GL, found=False, package=None), CUDA, RDMA))

    checks = compare_facts(sample_facts(native=NATIVE), sample_facts(native=without))

    (check,) = [check for check in checks if not check.ok]
    assert (check.id, check.actual) == ("system-libraries", "no libGL.so.1")
    assert check.fix == wording("Install them: apt-get install libgl1")


@pytest.mark.parametrize("library", [CUDA, RDMA], ids=["of the driver", "of a plugin alone"])
def test_a_library_of_the_driver_or_of_a_plugin_is_not_missed(library: NativeLibrary) -> None:
    kept = tuple(one for one in NATIVE.libraries if one != library)
    without = replace(NATIVE, libraries=kept)

    assert failed(compare_facts(sample_facts(native=NATIVE), sample_facts(native=without))) == []


def test_a_library_that_was_missing_at_the_capture_may_be_missing_now() -> None:
    never = replace(NATIVE, libraries=(replace(GL, found=False), CUDA, RDMA))

    assert failed(compare_facts(sample_facts(native=never), sample_facts(native=never))) == []


def test_a_variable_that_is_gone_is_named() -> None:
    expected = sample_facts(variables={"OMP_NUM_THREADS": "4"})

    checks = compare_facts(expected, sample_facts())

    assert checks[-1] == Check(
        id="variables",
        ok=False,
        expected="OMP_NUM_THREADS=4",
        actual="OMP_NUM_THREADS unset",
        fix=wording("Set or unset them as captured: OMP_NUM_THREADS"),
        topic="variables",
    )


def test_a_variable_at_its_neutral_value_is_as_good_as_unset() -> None:
    neutral = sample_facts(variables={"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"})

    assert failed(compare_facts(neutral, sample_facts())) == []
    assert failed(compare_facts(sample_facts(), neutral)) == []


def test_a_package_that_was_installed_since_is_named_with_what_to_do() -> None:
    captured = sample_distributions()
    grown = sample_environment(distributions=[*captured, sample_distribution("pi-heif", "1.1.0")])

    checks = compare_facts(
        sample_facts(environment=sample_environment(distributions=captured)),
        sample_facts(environment=grown),
    )

    extra = next(check for check in checks if check.id == "distribution.pi-heif")
    assert (extra.expected, extra.actual) == ("absent", "1.1.0")
    assert extra.fix == wording(
        "pi-heif was installed since. Remove it, or restore again; ultralytics installs what it wants unless YOLO_AUTOINSTALL=false is set."
    )
    assert "YOLO_AUTOINSTALL=false" in (extra.fix or "")


@pytest.fixture
def container(engine_host: str, base_image: str) -> Iterator[Container]:
    """A running container with an environment in ``/env`` that holds pip."""
    client = docker.DockerClient(base_url=engine_host)
    container = client.containers.run(base_image, ["sleep", "600"], detach=True, init=True)
    made = container.exec_run(["python3", "-m", "venv", "/env"])
    assert made.exit_code == 0, made.output
    yield container
    container.remove(force=True)
    client.close()


def carry(container: Container, file: Path) -> None:
    """Put a file into the container's /tmp."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(file, arcname=file.name)
    assert container.put_archive("/tmp", packed.getvalue())


def make_wheel(folder: Path) -> Path:
    """Make a wheel of a package that does nothing, as AutoUpdate would fetch one."""
    wheel = folder / "pi_heif-1.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("pi_heif.py", "")
        packed.writestr(
            "pi_heif-1.1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: pi-heif\nVersion: 1.1.0\n",
        )
        packed.writestr("pi_heif-1.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        packed.writestr("pi_heif-1.1.0.dist-info/RECORD", "")
    return wheel


@pytest.mark.docker
def test_a_container_that_installs_a_package_while_it_runs_is_found_out(
    container: Container, tmp_path: Path
) -> None:
    target = DockerEngine().container_target(str(container.name), python="/env/bin/python")
    captured = probe(target)
    wheel = make_wheel(tmp_path)
    carry(container, wheel)

    done = container.exec_run(["/env/bin/pip", "install", "--no-index", f"/tmp/{wheel.name}"])

    checks = compare_facts(captured, probe(target))
    assert done.exit_code == 0, done.output
    assert failed(checks) == ["distributions", "distribution.pi-heif"]
    assert judge(checks, passed="", failed="it changed").summary == wording(
        "it changed: pi-heif is 1.1.0, not absent"
    )
