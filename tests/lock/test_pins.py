from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import LockError
from snapenv.lock.pins import (
    MALICIOUS,
    pinned,
    refuse_what_cannot_be_carried,
    vendored,
)
from snapenv.model.python import UntrackedFile
from tests.samples import (
    sample_base_facts,
    sample_distribution,
    sample_distributions,
    sample_environment,
    sample_facts,
    sample_files,
)
from tests.steady import steady

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution, Files, OriginKind


def with_one_more(distribution: Distribution) -> Facts:
    distributions = (*sample_distributions(), distribution)
    return sample_facts(environment=sample_environment(distributions=distributions))


def with_environment(
    *, untracked: tuple[UntrackedFile, ...] = (), outside: tuple[str, ...] = ()
) -> Facts:
    return sample_facts(
        environment=replace(sample_environment(), untracked=untracked, outside=outside)
    )


def refusal(facts: Facts) -> LockError:
    with pytest.raises(LockError) as caught:
        refuse_what_cannot_be_carried(facts)
    return caught.value


@pytest.mark.parametrize("facts", [sample_facts(), sample_base_facts()])
def test_packages_of_an_index_and_of_the_base_image_are_carried(facts: Facts) -> None:
    refuse_what_cannot_be_carried(facts)


@pytest.mark.parametrize("origin", ["url", "vcs", "editable", "local"])
def test_a_package_from_elsewhere_is_carried_as_a_wheel(origin: OriginKind) -> None:
    ours = sample_distribution("our-tool", "1.2", origin=origin)
    facts = with_one_more(ours)

    refuse_what_cannot_be_carried(facts)

    assert vendored(facts.environment) == (ours,)
    assert ours not in pinned(facts.environment)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("conda", "was installed by conda, compiled against its libraries"),
        ("system", "belongs to the operating system's packages"),
    ],
)
def test_a_package_of_another_package_manager_is_refused_by_name(
    origin: OriginKind, said: str
) -> None:
    tags = ("cp311-cp311-linux_x86_64",)
    error = refusal(with_one_more(sample_distribution("our-tool", "1.2", origin=origin, tags=tags)))

    assert error.message == f"our-tool 1.2 {said}"
    assert error.hint == wording("Make a venv of its own and install it there from an index.")


def test_a_pure_python_package_of_conda_is_vendored() -> None:
    ours = sample_distribution("our-tool", "1.2", origin="conda", tags=("py3-none-any",))

    facts = with_one_more(ours)

    refuse_what_cannot_be_carried(facts)
    assert ours in vendored(facts.environment)


@pytest.mark.parametrize(
    "files",
    [sample_files(edited=("our_tool/train.py",)), sample_files(missing=("our_tool/train.py",))],
)
@pytest.mark.parametrize("origin", ["index", "base"])
def test_an_edited_and_a_missing_file_are_carried(files: Files, origin: OriginKind) -> None:
    refuse_what_cannot_be_carried(
        with_one_more(sample_distribution("our-tool", "1.2", origin=origin, files=files))
    )


def test_a_file_of_no_package_is_carried() -> None:
    loose = UntrackedFile(path="sitecustomize.py", sha256="0" * 64)

    refuse_what_cannot_be_carried(with_environment(untracked=(loose,)))


@pytest.mark.parametrize("name", ["a\nb.py", "a\u2028b.py", "\udcff.py"])
def test_a_file_whose_name_no_line_can_hold_is_refused(name: str) -> None:
    error = refusal(with_environment(untracked=(UntrackedFile(path=name, link="x"),)))

    assert steady(error.message, name=name) == wording(
        "the name NAME of site-packages has a control character or is no UTF-8"
    )
    assert "Rename" in error.hint


def test_what_leads_out_of_the_environment_is_refused_by_name() -> None:
    error = refusal(with_environment(outside=("ours.pth: ~/project",)))

    assert error.message == wording("ours.pth: ~/project leads out of the environment")
    assert "pip install" in error.hint


@pytest.mark.parametrize("version", ["8.3.41", "8.3.42", "8.3.45", "8.3.46"])
@pytest.mark.parametrize("origin", ["index", "base", "vcs"])
def test_a_malicious_release_is_refused_wherever_it_came_from(
    version: str, origin: OriginKind
) -> None:
    found = sample_distribution("ultralytics", version, origin=origin)

    error = refusal(sample_facts(environment=sample_environment(distributions=(found,))))

    assert steady(error.message, version=version) == wording(
        "ultralytics VERSION is a known malicious release"
    )
    assert "compromised" in error.hint


def test_no_other_release_is_called_malicious() -> None:
    good = [f"8.3.{patch}" for patch in (40, 43, 44, 47)]

    assert MALICIOUS.isdisjoint(("ultralytics", version) for version in good)


def test_of_many_culprits_five_are_named_and_the_rest_counted() -> None:
    error = refusal(with_environment(outside=tuple(f"{number}.pth: ~/x" for number in range(8))))

    assert error.message == (
        "; ".join(f"{number}.pth: ~/x leads out of the environment" for number in range(5))
        + "; and 3 more"
    )


def test_the_lock_installs_all_but_what_the_base_image_has() -> None:
    assert [pin.name for pin in pinned(sample_base_facts().environment)] == [
        "numpy",
        "nvidia-cudnn-cu13",
        "opencv-python",
        "pyyaml",
        "ultralytics",
    ]


def test_a_package_that_the_index_does_not_have_is_carried_as_a_wheel() -> None:
    environment = sample_base_facts().environment
    absent = {"numpy", "torch"}

    own = [found.name for found in vendored(environment, absent)]

    assert own == ["numpy"]  # torch is the base image's, whatever an index says
