"""What holds for every target that files are rendered for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapenv.cli.render import render as command
from snapenv.cli.render_options import TargetOption
from snapenv.errors import UsageError
from snapenv.model.targets import TARGETS
from snapenv.render.registry import MONITORING, RENDERERS, render
from tests.render.workloads import IMAGE, workload

each = pytest.mark.parametrize("target", RENDERERS)
OPTIONS = [param for param in command.params if isinstance(param, TargetOption)]
FOR_PEOPLE = {"devcontainer"}  # targets that run no command
TRAINING = ("yolo", "train", "data=coco.yaml", "name=a b's $x")


def test_help_names_the_targets_that_there_are() -> None:
    assert list(TARGETS) == [*RENDERERS, *MONITORING]


@each
def test_the_options_of_a_target_are_those_of_the_command_line(target: str) -> None:
    options = RENDERERS[target].options
    given = command.make_context("render", ["REF", "--as", target]).params
    own = {str(param.name) for param in OPTIONS if target in param.targets}

    assert set(options.__struct_fields__) == own
    assert options() == options(**{name: given[name] for name in own})


def test_no_two_options_have_one_name() -> None:
    names = [param.name for param in command.params]

    assert len(names) == len(set(names))
    assert {target for param in OPTIONS for target in param.targets} <= set(RENDERERS)


@each
@pytest.mark.parametrize("argv", [(), TRAINING], ids=["no command", "training"])
def test_each_file_says_what_it_is_and_holds_nothing_of_this_machine(
    target: str, argv: tuple[str, ...]
) -> None:
    if argv and target in FOR_PEOPLE:
        with pytest.raises(UsageError, match="runs no command"):
            render(target, workload(*argv), {})
        return
    rendered = render(target, workload(*argv), {})

    assert rendered == render(target, workload(*argv), {})
    assert any(str(IMAGE) in file.content for file in rendered.files)
    here = {str(Path.home()), str(Path.cwd()), os.uname().nodename}
    for file in rendered.files:
        assert file.content.endswith("\n")
        assert not file.content.endswith("\n\n")
        assert not any(word in file.content for word in here if len(word) > 3)
        if not file.name.endswith(".json"):
            assert "rendered by snapenv 0.1.0" in "".join(file.content.splitlines()[:4])
