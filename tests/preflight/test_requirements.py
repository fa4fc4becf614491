"""What an image asks of a driver, as NVIDIA's hook reads its variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.preflight.needs import read_requirements

NAMES = st.sampled_from(
    ["NVIDIA_REQUIRE_CUDA", "NVIDIA_REQUIRE_DRIVER", "NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS", "PATH"]
)
VARIABLES = st.dictionaries(NAMES, st.sampled_from(["cuda>=12.8", "driver>=570", "x"]))


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("12.8.1", "cuda>=12.8"),
        ("v11.0", "cuda>=11.0"),
        ("12.8.0.038", None),  # four numbers are no version for the hook
        ("new", None),
        ("", None),
    ],
)
def test_an_image_that_names_its_cuda_alone_asks_for_it(version: str, asked: str | None) -> None:
    found = read_requirements({"CUDA_VERSION": version})

    assert found == ({"CUDA_VERSION": asked} if asked else {})


@given(variables=VARIABLES, version=st.sampled_from(["12.8.1", ""]))
def test_every_variable_asks_but_those_of_jetpack(variables: dict[str, str], version: str) -> None:
    found = read_requirements({**variables, "CUDA_VERSION": version})

    own = {
        name: value
        for name, value in variables.items()
        if name in {"NVIDIA_REQUIRE_CUDA", "NVIDIA_REQUIRE_DRIVER"}
    }
    legacy = version and "NVIDIA_REQUIRE_CUDA" not in variables
    assert found == {**own, **({"CUDA_VERSION": "cuda>=12.8"} if legacy else {})}


@given(variables=VARIABLES, off=st.sampled_from(["1", "t", "true", "TRUE", "True", "T"]))
def test_an_image_may_ask_for_nothing_at_all(variables: dict[str, str], off: str) -> None:
    assert read_requirements({**variables, "NVIDIA_DISABLE_REQUIRE": off}) == {}


@given(variables=VARIABLES, on=st.sampled_from(["0", "false", "yes", "on", "", "tRUE"]))
def test_what_is_not_true_for_the_hook_leaves_every_requirement(
    variables: dict[str, str], on: str
) -> None:
    found = read_requirements({**variables, "NVIDIA_DISABLE_REQUIRE": on})

    assert found == read_requirements(variables)
