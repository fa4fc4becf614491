"""The targets that files can be rendered for; apart, as help lists them and waits for no more."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TARGETS: Mapping[str, str] = MappingProxyType(
    {
        "compose": "a workspace with Docker Compose",
        "devcontainer": "a workspace in VS Code and other editors",
        "kubernetes": "a Job, a check of every GPU node, and a workspace",
        "slurm": "a job of Slurm",
        "apptainer": "a definition of Apptainer",
        "github": "workflows that build and train",
        "gitlab": "pipelines that build and train",
        "prometheus": "rules and alerts for GPUs and their runs",
        "grafana": "a dashboard of GPUs by run",
    }
)
"""What files can be rendered for, in the order in which help lists it."""
