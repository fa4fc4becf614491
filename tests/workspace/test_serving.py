from __future__ import annotations

from msgspec.structs import replace

from snapenv.model.launch import InImage, InVenv, Launch, Port
from snapenv.workspace.serving import (
    KEYS,
    Wanted,
    parse_status,
    ports,
    serve_in_container,
    serve_in_venv,
)

LAUNCH = Launch(run="w", place=InImage(id="sha256:1", name="env"), argv=())
ALL = Wanted(services=("jupyter", "tensorboard", "ssh"), runs="/p/runs", keys=("ssh-ed25519 A",))


def test_ports_are_of_this_machine_alone_and_a_given_one_stays() -> None:
    given = Port(inside=8888, host=9000)

    assert ports(ALL, (given,)) == (given, Port(inside=6006, host=6006, address="127.0.0.1"))


def test_ssh_has_a_port_only_where_it_is_asked_for() -> None:
    assert 2222 not in {port.inside for port in ports(ALL, ())}
    assert Port(inside=2222, host=2022) in ports(replace(ALL, ssh_port=2022), ())


def test_keys_are_files_and_the_image_is_that_of_the_workspace() -> None:
    launch = serve_in_container(LAUNCH, ALL, "sha256:2")

    assert launch.place == InImage(id="sha256:2", name="env")
    assert launch.files[KEYS] == b"ssh-ed25519 A\n"
    assert "ssh-ed25519" not in " ".join(launch.argv)


def test_root_may_serve_only_where_the_engine_has_no_root() -> None:
    assert "--allow-root" not in serve_in_container(LAUNCH, ALL, "").argv
    root = serve_in_container(LAUNCH, replace(ALL, allow_root=True), "")
    without_ssh = replace(ALL, allow_root=True, services=("jupyter",))

    assert "--allow-root" in root.argv
    assert root.capabilities == ("CHOWN", "SETGID", "SETUID", "SYS_CHROOT")
    assert serve_in_container(LAUNCH, ALL, "").capabilities == ()
    assert serve_in_container(LAUNCH, without_ssh, "").capabilities == ()


def test_beside_a_venv_nobody_interrupts_all_processes() -> None:
    venv = replace(LAUNCH, place=InVenv(folder="/v"), variables={"VIRTUAL_ENV": "/v"})
    wanted = replace(ALL, services=("jupyter",))

    words = serve_in_venv(venv, wanted, folder="/t", state="/s", at={"jupyter": 1234}).argv

    assert words[0] == "/v/bin/python"
    assert "--contained" not in words
    assert words[words.index("--jupyter") :][:2] == ("--jupyter", "1234")


def test_an_answer_is_found_behind_what_others_print() -> None:
    status = parse_status('banner\n\nsnapenv-workspace: {"waiting": ["jupyter"], "token": "t"}\n')

    assert status is not None
    assert status.waiting == ("jupyter",)
    assert parse_status("banner\n") is None
