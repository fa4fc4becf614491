"""What differs between the packages of two prefixes of conda, and what a proof says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.conda import CondaEnvironment, CondaPackage
from snapenv.verify.compare import compare_facts
from snapenv.verify.differences import differences
from tests.samples import sample_conda_package, sample_facts, sample_files

if TYPE_CHECKING:
    from snapenv.model.facts import Facts

ZLIB = sample_conda_package("zlib")
CUDNN = sample_conda_package("cudnn")
PYTHON = sample_conda_package("python")


def of(*packages: CondaPackage, variables: dict[str, str] | None = None) -> Facts:
    return replace(
        sample_facts(),
        conda=CondaEnvironment(packages=packages, variables=variables or {}),
    )


def failing(expected: Facts, actual: Facts) -> list[tuple[str, str, str]]:
    checks = compare_facts(expected, actual)
    return [(one.id, one.expected, one.actual) for one in checks if not one.ok]


@pytest.mark.parametrize(
    "other",
    [
        replace(ZLIB, channel=None, url=None, md5=None, sha256="0" * 64),
        replace(ZLIB, requested=("zlib",), license="Zlib"),
    ],
)
def test_the_same_package_from_elsewhere_is_the_same(other: CondaPackage) -> None:
    assert differences(of(ZLIB), of(other)) == ()
    assert failing(of(ZLIB), of(other)) == []


@pytest.mark.parametrize(
    ("package", "group"), [(ZLIB, "behaviour"), (CUDNN, "numerics"), (PYTHON, "abi")]
)
def test_another_version_or_build_has_the_consequence_of_its_package(
    package: CondaPackage, group: str
) -> None:
    newer, rebuilt = replace(package, version="1.4"), replace(package, build="h2_0")

    for other in (newer, rebuilt):
        (found,) = differences(of(package), of(other))
        assert (found.group, found.subject) == (group, f"{package.name} (conda)")
        assert (found.left, found.right) == ("1.3 h1_0", f"{other.version} {other.build}")


def test_a_package_of_one_side_is_named() -> None:
    assert [(one.subject, one.left, one.right) for one in differences(of(ZLIB), of())] == [
        ("zlib (conda)", "1.3 h1_0", None)
    ]


def test_edited_files_are_named_and_other_content_else() -> None:
    edited = replace(ZLIB, files=sample_files("edited", edited=("../../../lib/libz.so",)))
    other = replace(ZLIB, files=sample_files("other"))

    assert [one.subject for one in differences(of(ZLIB), of(edited))] == ["../../../lib/libz.so"]
    assert [one.subject for one in differences(of(ZLIB), of(other))] == ["zlib (conda)"]


def test_variables_that_conda_sets_are_compared() -> None:
    found = differences(of(variables={"A": "1"}), of(variables={"A": "2"}))

    assert [(one.subject, one.left, one.right) for one in found] == [("A (conda)", "1", "2")]


def test_a_prefix_and_no_prefix_are_not_the_same() -> None:
    (found,) = differences(of(ZLIB), sample_facts())

    assert (found.group, found.subject, found.left, found.right) == (
        "abi",
        "conda",
        "1 package",
        None,
    )
    assert differences(sample_facts(), sample_facts()) == ()


def test_a_proof_names_each_package_that_differs() -> None:
    other = replace(ZLIB, build="h2_0")

    assert failing(of(ZLIB, PYTHON), of(other, PYTHON)) == wording(
        [
            ("conda", "2 packages of conda, 0 different", "2 packages of conda, 1 different"),
            ("conda.zlib", "zlib (conda) 1.3 h1_0", "zlib (conda) 1.3 h2_0"),
        ]
    )


def test_a_proof_of_no_conda_has_no_check_of_it() -> None:
    facts = sample_facts()

    assert not any(one.id.startswith("conda") for one in compare_facts(facts, facts))
