"""Kubernetes' grammars: names, label values, quantities, and what it expands in words of a command.

Sources: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re

from snapenv.errors import UsageError
from snapenv.sizes import exact_size

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII)
_NOT_OF_A_LABEL = re.compile(r"[^a-z0-9]+", re.ASCII)
_EXPANDED = re.compile(r"\$(?=[$(])")


def parse_label(name: str, *, option: str, most: int = 63) -> str:
    """Return a name that is a DNS-1123 label of at most ``most`` characters.

    Raises:
        UsageError: It is none.
    """
    if len(name) <= most and re.fullmatch(_LABEL, name, re.ASCII):
        return name
    raise UsageError(
        f"{option} {name!r} is not a valid Kubernetes name (a DNS-1123 label)",
        hint=f"Use at most {most} lower-case letters, digits and -, with a letter or digit at both "
        "ends.",
    )


def parse_subdomain(name: str, *, option: str, most: int = 253) -> str:
    """Return a name that is a DNS-1123 subdomain of at most ``most`` characters.

    Raises:
        UsageError: It is none.
    """
    if len(name) <= most and _SUBDOMAIN.fullmatch(name):
        return name
    raise UsageError(
        f"{option} {name!r} is not a valid Kubernetes name (a DNS-1123 subdomain)",
        hint=f"Use at most {most} lower-case letters, digits, - and ., with a letter or digit "
        "beside each dot and at both ends.",
    )


def parse_label_value(value: str, *, option: str) -> str:
    """Return a value that a label may have.

    Raises:
        UsageError: It may not.
    """
    if _VALUE.fullmatch(value):
        return value
    raise UsageError(
        f"{option} {value!r} cannot be the value of a label of Kubernetes",
        hint="Use at most 63 letters, digits, -, _ and ., with a letter or digit at both ends.",
    )


def parse_node_label(text: str, *, option: str) -> tuple[str, str]:
    """Return key and value of ``KEY=VALUE``; a key may have a prefix: ``example.com/gpu``.

    Raises:
        UsageError: It has another form.
    """
    key, _, value = text.partition("=")
    prefix, slash, name = key.rpartition("/")
    is_key = _VALUE.fullmatch(name) and (not slash or _SUBDOMAIN.fullmatch(prefix))
    if is_key and _VALUE.fullmatch(value):
        return key, value
    raise UsageError(
        f"{option} {text!r} is not a node label",
        hint="Write KEY=VALUE, as in nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3",
    )


def as_label(text: str, *, most: int) -> str:
    """Make a DNS-1123 label of a tag: ``train-yolov8.4.190`` becomes ``train-yolov8-4-190``."""
    return _NOT_OF_A_LABEL.sub("-", text.lower())[:most].strip("-") or "snapenv"


def quantity(size_bytes: int) -> str:
    """Write a number of bytes in the largest unit that divides it: ``8Gi``, ``1536Mi``."""
    return exact_size(size_bytes, ("Gi", "Mi", "Ki"))


def cpu_quantity(cpus: float) -> str:
    """Write a number of CPUs: ``4``, or ``1500m``, thousandths, at least one."""
    thousandths = max(1, round(cpus * 1000))
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def literal(text: str) -> str:
    """Write a word of a command, or a variable's value, so that Kubernetes expands nothing in it.

    It replaces ``$(NAME)`` by a variable and ``$$`` by ``$``; a lone ``$`` is itself.
    Source: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """
    return _EXPANDED.sub("$$", text)
