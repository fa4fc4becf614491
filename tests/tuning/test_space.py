from __future__ import annotations

import pytest
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.model.tuning import Settings, Space
from snapenv.tuning.space import combinations, make_space, settings_of, with_settings
from tests.tuning.values import ON_GPU, OPTIONS, RUN


def test_on_a_cpu_batch_workers_and_cache_are_varied_around_the_default() -> None:
    assert make_space(RUN, 64 << 30, {}) == Space(
        batch=(1, 2, 4, 8, 16), workers=(0, 1, 2), cache=("none", "ram"), amp=(True,)
    )


def test_a_batch_for_which_there_is_no_memory_is_not_tried() -> None:
    assert make_space(RUN, int(2.3 * 2**30), {}).batch == (1, 2, 4, 8)
    assert make_space(RUN, int(2.1 * 2**30), {}).batch == (1, 2, 4)
    assert make_space(RUN, None, {}).batch == (1, 2, 4)
    assert make_space(ON_GPU, None, {}).batch == (4, 8, 16, 32)


def test_the_default_is_tried_even_where_it_seems_too_large() -> None:
    assert make_space(RUN, 1 << 20, {}).batch == (4,)
    options = replace(OPTIONS, workers=6)
    assert make_space(replace(RUN, options=options), None, {}).workers == (0, 1, 2, 6)


def test_a_quota_limits_the_workers() -> None:
    limited = replace(RUN, cpu=replace(RUN.cpu, quota=0.5))
    assert make_space(limited, None, {}).workers == (0, 1)


def test_a_gpu_has_more_to_vary() -> None:
    space = make_space(ON_GPU, None, {})
    assert (space.amp, space.compile) == ((True, False), (False, True))


def test_a_user_says_which_values_are_tried_besides_the_default() -> None:
    vary = {"batch": "64, 128", "cache": "disk", "amp": "off,on"}
    space = make_space(RUN, 1, vary)
    assert space == Space(
        batch=(4, 64, 128),
        workers=(0, 1, 2),
        cache=("disk", "none"),
        amp=(False, True),
        compile=(False,),
    )


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("imgsz", "320", "there is no setting 'imgsz'"),
        ("batch", "many", "'many' are no values of batch"),
        ("batch", "0,4", "batch 0 is too low"),
        ("workers", "-1", "workers -1 is too low"),
        ("cache", "", "'' are no values of cache"),
    ],
)
def test_what_is_no_setting_is_refused(name: str, values: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_space(RUN, None, {name: values})


def test_all_combinations_are_those_of_all_values() -> None:
    space = Space(batch=(4, 8), workers=(0, 2), cache=("none", "ram"))
    every = combinations(space)
    assert len(every) == len(set(every)) == 8
    assert Settings(batch=8, workers=0, cache="ram") in every


def test_settings_are_a_part_of_what_is_trained() -> None:
    settings = Settings(batch=8, workers=2, cache="ram")
    changed = with_settings(OPTIONS, settings)
    assert settings_of(changed) == settings
    assert (
        replace(changed, **{name: getattr(OPTIONS, name) for name in ("batch", "workers", "cache")})
        == OPTIONS
    )
