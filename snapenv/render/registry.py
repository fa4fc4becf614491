"""What can be rendered for other systems: each target with its options and its renderer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from snapenv.model.rendering import Rendered, TargetOptions, Workload
from snapenv.render.apptainer import ApptainerOptions, render_apptainer
from snapenv.render.ci import CiOptions, render_github, render_gitlab
from snapenv.render.compose import ComposeOptions, render_compose
from snapenv.render.devcontainer import DevcontainerOptions, render_devcontainer
from snapenv.render.kubernetes import KubernetesOptions, render_kubernetes
from snapenv.render.monitoring import render_grafana, render_prometheus
from snapenv.render.slurm import SlurmOptions, render_slurm


class Renderer(Struct, frozen=True):
    """A target: the kind of its options, and the function that takes them."""

    options: type[TargetOptions]
    render: Callable[[Workload, Any], Rendered]


RENDERERS: Mapping[str, Renderer] = {
    "compose": Renderer(ComposeOptions, render_compose),
    "devcontainer": Renderer(DevcontainerOptions, render_devcontainer),
    "kubernetes": Renderer(KubernetesOptions, render_kubernetes),
    "slurm": Renderer(SlurmOptions, render_slurm),
    "apptainer": Renderer(ApptainerOptions, render_apptainer),
    "github": Renderer(CiOptions, render_github),
    "gitlab": Renderer(CiOptions, render_gitlab),
}
"""By the name of the target, as of ``model.targets.TARGETS``."""

MONITORING: Mapping[str, Callable[[str], Rendered]] = {
    "prometheus": render_prometheus,
    "grafana": render_grafana,
}
"""Targets that are for all runs and name no image; each takes the program that renders."""


def render(target: str, work: Workload, options: Mapping[str, object]) -> Rendered:
    """Return the files of a target; ``options`` are of this target alone.

    Raises:
        UsageError: An option holds what the target's grammar refuses, or what it does not have.
    """
    renderer = RENDERERS[target]
    return renderer.render(work, renderer.options(**options))
