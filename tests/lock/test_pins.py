from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.errors import LockError
from snapenv.lock.pins import MALICIOUS, pinned, proofs, refuse_what_cannot_be_carried
from tests.samples import (
    sample_base_facts,
    sample_distribution,
    sample_distributions,
    sample_environment,
    sample_facts,
    sample_files,
)

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution, Files, OriginKind


def with_one_more(distribution: Distribution) -> Facts:
    distributions = (*sample_distributions(), distribution)
    return sample_facts(environment=sample_environment(distributions=distributions))


def refusal(facts: Facts) -> LockError:
    with pytest.raises(LockError) as caught:
        refuse_what_cannot_be_carried(facts)
    return caught.value


@pytest.mark.parametrize("facts", [sample_facts(), sample_base_facts()])
def test_packages_of_an_index_and_of_the_base_image_are_carried(facts: Facts) -> None:
    refuse_what_cannot_be_carried(facts)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("url", "was installed from a URL"),
        ("vcs", "was installed from version control"),
        ("editable", "is installed editable"),
        ("local", "was installed from a local file or folder"),
        ("conda", "was installed by conda"),
        ("system", "belongs to the operating system's packages"),
    ],
)
def test_a_package_from_elsewhere_is_refused_by_name(origin: OriginKind, said: str) -> None:
    error = refusal(with_one_more(sample_distribution("our-tool", "1.2", origin=origin)))

    assert error.message == f"our-tool 1.2 {said}"
    assert error.hint == "Install it from an index first; other origins cannot be carried yet."


@pytest.mark.parametrize(
    "files",
    [sample_files(edited=("our_tool/train.py",)), sample_files(missing=("our_tool/train.py",))],
)
def test_an_edited_and_a_missing_file_are_refused_with_their_package(files: Files) -> None:
    error = refusal(with_one_more(sample_distribution("our-tool", "1.2", files=files)))

    assert error.message == "our_tool/train.py is not what our-tool 1.2 installed"
    assert "Reinstall" in error.hint


def test_what_the_base_image_itself_edited_comes_back_with_it() -> None:
    edited = sample_files(edited=("opencv/config.py",))

    refuse_what_cannot_be_carried(
        with_one_more(sample_distribution("opencv", "4.7.0", origin="base", files=edited))
    )


def test_a_file_of_no_package_is_refused_by_its_path() -> None:
    facts = sample_facts(environment=sample_environment(unowned=("sitecustomize.py",)))

    error = refusal(facts)

    assert error.message == "sitecustomize.py belongs to no package"
    assert "Move" in error.hint


@pytest.mark.parametrize("version", ["8.3.41", "8.3.42", "8.3.45", "8.3.46"])
@pytest.mark.parametrize("origin", ["index", "base", "vcs"])
def test_a_malicious_release_is_refused_wherever_it_came_from(
    version: str, origin: OriginKind
) -> None:
    found = sample_distribution("ultralytics", version, origin=origin)

    error = refusal(sample_facts(environment=sample_environment(distributions=(found,))))

    assert error.message == f"ultralytics {version} is a known malicious release"
    assert "compromised" in error.hint


def test_no_other_release_is_called_malicious() -> None:
    good = [f"8.3.{patch}" for patch in (40, 43, 44, 47)]

    assert MALICIOUS.isdisjoint(("ultralytics", version) for version in good)


def test_of_many_culprits_five_are_named_and_the_rest_counted() -> None:
    unowned = tuple(f"stray{number}.py" for number in range(8))

    error = refusal(sample_facts(environment=sample_environment(unowned=unowned)))

    assert error.message == (
        "; ".join(f"stray{number}.py belongs to no package" for number in range(5)) + "; and 3 more"
    )


def test_the_lock_installs_all_but_what_the_base_image_has() -> None:
    assert [pin.name for pin in pinned(sample_base_facts().environment)] == [
        "numpy",
        "nvidia-cudnn-cu13",
        "opencv-python",
        "pyyaml",
        "ultralytics",
    ]


def test_a_package_is_proved_by_its_base_image_or_not_yet() -> None:
    found = proofs(sample_base_facts().environment)

    assert {name for name, proof in found.items() if proof == "base"} == {"torch", "torchvision"}
    assert {name for name, proof in found.items() if proof == "none"} == {
        pin.name for pin in pinned(sample_base_facts().environment)
    }
