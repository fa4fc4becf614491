from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import LockError
from snapenv.lock.ask import Uv, ask_index, python_platform, with_tags
from snapenv.ports import Completed
from tests.fakes import FakeTarget, FakeTask
from tests.samples import sample_distribution, sample_facts, sample_hardware

if TYPE_CHECKING:
    from snapenv.model.hardware import System
    from snapenv.model.wheels import IndexWheel

CANARY = "hunter2-canary"
SHA256 = hashlib.sha256(b"wheel").hexdigest()
SDIST = f'{{ url = "https://example.com/numpy-2.4.6.tar.gz", hashes = {{ sha256 = "{SHA256}" }} }}'
MANYLINUX = "cp311-cp311-manylinux_2_17_x86_64"
MANYLINUX_NEW = "cp311-cp311-manylinux_2_28_x86_64"
SEVERAL = (
    "cp311-cp311-manylinux_2_17_x86_64",
    "cp311-cp311-manylinux_2_28_x86_64",
    "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64",
    "py3-none-any",
    "py2.py3-none-any",
)


def uv_says(*wheels: str, name: str = "numpy", more: str = "") -> str:
    listed = ", ".join(wheels)
    return (
        'lock-version = "1.0"\ncreated-by = "uv"\nrequires-python = ">=3.11"\n\n'
        f'[[packages]]\nname = "{name}"\nversion = "2.4.6"\nwheels = [{listed}]\n{more}'
    )


def wheel(tags: str, *, host: str = "example.com", hashes: str = f'sha256 = "{SHA256}"') -> str:
    return f'{{ url = "https://{host}/numpy-2.4.6-{tags}.whl", hashes = {{ {hashes} }} }}'


def offered(text: str, *tags: str) -> tuple[IndexWheel, ...]:
    """Return what is offered for an installed numpy with these tags, when uv answers this."""
    answer = Completed(exit_code=0, stdout=text, stderr="")
    uv = Uv(machine=FakeTarget(answers={"requirements.in": answer}), program="uv")
    pin = sample_distribution("numpy", "2.4.6", tags=tags)
    return ask_index([pin], sample_facts(), uv, FakeTask())["numpy"]


def chosen(text: str, *tags: str) -> str | None:
    """Return the name of the wheel that was installed, as far as its tags tell."""
    pin = sample_distribution("numpy", "2.4.6", tags=tags)
    found = with_tags(pin, offered(text, *tags))
    return found.filename if found else None


@pytest.mark.parametrize(
    ("installed", "name"),
    [
        ((MANYLINUX,), SEVERAL[0]),
        ((MANYLINUX_NEW,), SEVERAL[1]),
        ((MANYLINUX, "cp311-cp311-manylinux2014_x86_64"), SEVERAL[2]),
        (("py3-none-any",), SEVERAL[3]),
        (("py2-none-any", "py3-none-any"), SEVERAL[4]),
    ],
)
def test_of_several_wheels_the_one_with_the_installed_tags_comes_first(
    installed: tuple[str, ...], name: str
) -> None:
    text = uv_says(*map(wheel, SEVERAL))

    wheels = offered(text, *installed)

    assert len(wheels) == len(SEVERAL)
    assert wheels[0].filename == chosen(text, *installed) == f"numpy-2.4.6-{name}.whl"


@pytest.mark.parametrize("plus", ["+", "%2B", "%2b"])
def test_a_wheel_with_a_local_version_is_known_however_its_url_is_written(plus: str) -> None:
    url = f"https://example.com/numpy-2.4.6{plus}cu130-{MANYLINUX}.whl"
    local = f'{{ url = "{url}", hashes = {{ sha256 = "{SHA256}" }} }}'
    other = wheel("py3-none-any").replace("2.4.6-", "2.4.6+cu130-")
    text = uv_says(other, local).replace('"2.4.6"', '"2.4.6+cu130"')

    assert chosen(text, MANYLINUX) == f"numpy-2.4.6+cu130-{MANYLINUX}.whl"


@pytest.mark.parametrize("installed", ["py3-none-any", "cp311-cp311-linux_x86_64"])
def test_where_no_wheel_has_the_installed_tags_none_is_chosen_by_them(installed: str) -> None:
    text = uv_says(wheel(MANYLINUX), wheel(MANYLINUX_NEW))

    assert chosen(text, installed) is None
    assert len(offered(text, installed)) == 2


@pytest.mark.parametrize(
    "text",
    [
        uv_says(),
        uv_says().replace("wheels = []\n", ""),
        uv_says(wheel(MANYLINUX, hashes=f'md5 = "{SHA256[:32]}"')),
        uv_says(f'{{ path = "numpy-2.4.6-{MANYLINUX}.whl", hashes = {{ sha256 = "{SHA256}" }} }}'),
        uv_says(wheel(MANYLINUX).replace("https://example.com", "file:///srv")),
        uv_says(f'{{ url = "https://example.com/numpy-2.4.6-{MANYLINUX}.whl" }}'),
        uv_says().replace("wheels = []", f"sdist = {SDIST}"),
        uv_says(wheel(MANYLINUX), name="other"),
    ],
)
def test_a_wheel_that_another_machine_cannot_fetch_and_check_is_not_offered(text: str) -> None:
    assert offered(text, MANYLINUX) == ()


@pytest.mark.parametrize("text", ["= [", "packages = 1", "[[packages]]\nwheels = []"])
def test_what_is_no_lock_file_is_refused(text: str) -> None:
    with pytest.raises(LockError, match="uv gave a lock file that is not valid"):
        offered(text, MANYLINUX)


@pytest.mark.parametrize("user", [CANARY, f"user:{CANARY}", f"{CANARY}:pass", f"a%40b:{CANARY}"])
def test_no_credential_of_an_index_is_kept(user: str) -> None:
    host = f"{user}@example.com:8443"
    text = uv_says(wheel(MANYLINUX, host=host), more=f'index = "https://{host}/simple"\n')

    (found,) = offered(text, MANYLINUX)

    assert (found.url, found.index) == (
        f"https://example.com:8443/numpy-2.4.6-{MANYLINUX}.whl",
        "https://example.com:8443/simple",
    )


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        (f"https://example.com/simple?token={CANARY}#{CANARY}", "https://example.com/simple"),
        ("file:///srv/wheels", None),
        ("../wheels", None),
    ],
)
def test_an_index_is_named_so_that_others_may_read_it_and_reach_it(
    index: str, kept: str | None
) -> None:
    (found,) = offered(uv_says(wheel(MANYLINUX), more=f'index = "{index}"\n'), MANYLINUX)

    assert found.index == kept


def test_an_odd_file_is_no_hindrance() -> None:
    odd = f'{{ url = "https://example.com/odd", hashes = {{ sha256 = "{SHA256}" }} }}'

    assert chosen(uv_says(odd, wheel(MANYLINUX)), MANYLINUX) == f"numpy-2.4.6-{MANYLINUX}.whl"


def test_a_package_is_known_by_its_normalised_name() -> None:
    text = uv_says(wheel(MANYLINUX), name="NumPy")

    assert [one.name for one in offered(text, MANYLINUX)] == ["numpy"]


@pytest.mark.parametrize(
    ("glibc", "machine", "platform"),
    [
        ("2.28", "x86_64", "x86_64-manylinux_2_28"),
        ("2.36", "x86_64", "x86_64-manylinux_2_36"),
        ("2.40", "aarch64", "aarch64-manylinux_2_40"),
        ("2.41", "x86_64", "x86_64-manylinux_2_40"),
        ("2.99", "x86_64", "x86_64-manylinux_2_40"),
        ("2.30", "x86_64", "x86_64-manylinux_2_28"),
        ("2.27", "x86_64", "x86_64-manylinux2014"),
        ("2.17", "x86_64", "x86_64-manylinux2014"),
        (None, "x86_64", "x86_64-unknown-linux-gnu"),
        ("strange", "aarch64", "aarch64-unknown-linux-gnu"),
    ],
)
def test_the_platform_is_never_newer_than_the_glibc_that_was_captured(
    glibc: str | None, machine: str, platform: str
) -> None:
    system: System = replace(sample_hardware(glibc=glibc).system, machine=machine)
    hardware = replace(sample_hardware(), system=system)

    assert python_platform(sample_facts(hardware=hardware)) == platform


@pytest.mark.parametrize(
    ("python", "asked"), [("3.11.7", "3.11.7"), ("3.14.0rc2", "3.14.0"), ("3.15.0a1", "3.15.0")]
)
def test_the_very_version_of_python_is_asked_for(python: str, asked: str) -> None:
    """A wheel may need a patch of it, such as ``>=3.11.5``."""
    answer = Completed(exit_code=0, stdout=uv_says(wheel(MANYLINUX)), stderr="")
    target = FakeTarget(answers={"requirements.in": answer})
    facts = sample_facts()
    interpreter = replace(facts.environment.interpreter, version=python)
    facts = replace(facts, environment=replace(facts.environment, interpreter=interpreter))

    pins = [sample_distribution("numpy", "2.4.6")]
    ask_index(pins, facts, Uv(machine=target, program="uv"), FakeTask())

    argv = target.calls[0].argv
    assert argv[argv.index("--python-version") + 1] == asked
