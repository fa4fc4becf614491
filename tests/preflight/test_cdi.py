"""Which CDI specification counts for a device, and which names an engine knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.host import CdiSpec
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.cdi import resolve
from snapenv.preflight.checks import preflight
from tests.preflight.hosts import A100, CDI27, CDI28, CU130, NOTHING, host

NAMES = ("nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=all")
FOLDERS = ("/etc/cdi", "/var/run/cdi")
SPECS = st.lists(
    st.builds(
        CdiSpec,
        path=st.builds(
            "{}/{}.yaml".format, st.sampled_from(FOLDERS), st.sampled_from(["nvidia", "other"])
        ),
        devices=st.sets(st.sampled_from(NAMES)).map(lambda names: tuple(sorted(names))),
        driver=st.none(),
    ),
    unique_by=lambda spec: spec.path,
)
OLD = CdiSpec(path="/etc/cdi/nvidia.yaml", devices=NAMES, driver="570.124.06")
NEW = CdiSpec(path="/var/run/cdi/nvidia.yaml", devices=NAMES, driver="580.95.05")


@given(specs=SPECS, name=st.sampled_from(NAMES))
def test_the_later_folder_counts_and_two_in_one_cancel_out(specs: list[CdiSpec], name: str) -> None:
    of_folder = [
        [spec for spec in specs if name in spec.devices and spec.path.startswith(folder)]
        for folder in FOLDERS
    ]
    last = next((found for found in reversed(of_folder) if found), [])
    cancelled = any(len(found) > 1 for found in of_folder)

    assert resolve(name, specs) == (last[0] if last and not cancelled else None)


@pytest.mark.parametrize(
    ("specs", "devices", "wrong"),
    [
        ((OLD,), (), ["gpu.cdi"]),
        ((OLD, NEW), (), []),
        ((replace(OLD, driver="580.95.05"), replace(NEW, driver="570.124.06")), (), ["gpu.cdi"]),
        ((OLD, replace(NEW, devices=NAMES[:1])), ("0",), []),
        ((OLD, replace(NEW, devices=NAMES[:1])), ("1",), ["gpu.cdi"]),
        ((replace(OLD, driver=None), replace(NEW, driver=None)), (), []),
    ],
)
def test_a_stale_specification_matters_where_it_counts(
    specs: tuple[CdiSpec, ...], devices: tuple[str, ...], wrong: list[str]
) -> None:
    engine = replace(CDI28, cdi_devices=NAMES)
    there = host((A100, A100), "580.95.05", engine, replace(NOTHING, cdi=specs))
    needs = replace(CU130, devices=devices, gpu_required=bool(devices))

    found = preflight(there, needs, load_catalogue())

    assert [check.id for check in found if not check.ok] == wrong


@given(
    known=st.sets(st.sampled_from((*NAMES, "nvidia.com/gpu=GPU-1", "amd.com/gpu=all")), min_size=1),
    device=st.sampled_from(["", "0", "1", "GPU-1"]),
    tells=st.booleans(),
)
def test_a_device_that_no_specification_has_is_told_before_a_pull(
    known: set[str], device: str, *, tells: bool
) -> None:
    names = tuple(sorted(known))
    spec = CdiSpec(path="/etc/cdi/nvidia.yaml", devices=names, driver="580.95.05")
    engine = replace(CDI28, cdi_devices=names) if tells else CDI27
    there = host((A100, A100), "580.95.05", engine, replace(NOTHING, cdi=(spec,)))
    needs = replace(CU130, devices=(device,) if device else (), gpu_required=bool(device))

    failing = {one.id for one in preflight(there, needs, load_catalogue()) if one.fails}

    if f"nvidia.com/gpu={device or 'all'}" in known:
        assert not failing
    else:
        assert failing & {"gpu.cdi-device", "gpu.plumbing"}
