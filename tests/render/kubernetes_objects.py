"""What an API server refuses in objects, and schemas do not see.

Sources: https://kubernetes.io/docs/concepts/workloads/controllers/job/
https://kubernetes.io/docs/concepts/security/pod-security-standards/
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Object: TypeAlias = dict[str, Any]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGTPE]|[KMGTPE]i)?")
_POWERS = {
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** n for n, unit in enumerate("kMGTPE", 1)},
}
_POWERS |= {f"{unit}i": Decimal(1024) ** n for n, unit in enumerate("KMGTPE", 1)}
_WORKLOADS = ("Job", "Deployment")


def faults(objects: Sequence[Object]) -> set[str]:
    """Return what is wrong with the objects of one file, each as ``KIND: WHAT``."""
    return {f"{each['kind']}: {what}" for each in objects for what in _faults(each, objects)}


def quantity(text: object) -> Decimal | None:
    """Return the number that a quantity stands for; None where it is none."""
    found = _QUANTITY.fullmatch(str(text))
    return Decimal(found[1]) * _POWERS.get(found[2], Decimal(1)) if found else None


def _faults(each: Object, objects: Sequence[Object]) -> Iterator[str]:
    yield from _metadata_faults(each["metadata"])
    if each["kind"] == "PersistentVolumeClaim":
        yield from _quantity_faults(each["spec"]["resources"]["requests"])
    if each["kind"] not in _WORKLOADS:
        return
    spec = each["spec"]
    pod = spec["template"]["spec"]
    if each["kind"] == "Job":
        yield from _job_faults(each["metadata"]["name"], spec, pod)
    elif pod.get("restartPolicy", "Always") != "Always":
        yield "its pods must restart"
    labels = spec["template"]["metadata"]["labels"]
    if not spec.get("selector", {}).get("matchLabels", {}).items() <= labels.items():
        yield "its selector does not select its own pods"
    yield from _volume_faults(pod)
    yield from _claim_faults(pod, objects)
    yield from _security_faults(pod)
    for container in pod["containers"]:
        yield from _resource_faults(container, pod)


def _metadata_faults(metadata: Object) -> Iterator[str]:
    for name in (metadata["name"], metadata.get("namespace", "default")):
        if not _LABEL.fullmatch(name):
            yield f"the name {name}"
    for key, value in metadata.get("labels", {}).items():
        if not _KEY.fullmatch(key) or not isinstance(value, str) or not _VALUE.fullmatch(value):
            yield f"the label {key}={value}"
    for key, value in metadata.get("annotations", {}).items():
        if not _KEY.fullmatch(key) or not isinstance(value, str):
            yield f"the annotation {key}"


def _job_faults(name: str, spec: Object, pod: Object) -> Iterator[str]:
    policy = spec.get("podFailurePolicy")
    if pod.get("restartPolicy") not in ({"Never"} if policy else {"Never", "OnFailure"}):
        yield f"restartPolicy {pod.get('restartPolicy')}"
    containers = {each["name"] for each in pod["containers"]}
    for rule in policy["rules"] if policy else ():
        on = rule.get("onExitCodes")
        if bool(on) == bool(rule.get("onPodConditions")):
            yield "a rule needs exit codes or conditions"
        elif on and (on.get("containerName") not in containers or 0 in on["values"]):
            yield "a rule of no container, or of success"
    indexed = spec.get("completionMode") == "Indexed"
    if "backoffLimitPerIndex" in spec and not indexed:
        yield "backoffLimitPerIndex without indexes"
    if indexed and not _LABEL.fullmatch(f"{name}-{spec['completions'] - 1}"):
        yield "the host name of a pod is too long"


def _volume_faults(pod: Object) -> Iterator[str]:
    volumes = [each["name"] for each in pod.get("volumes", ())]
    for container in pod["containers"]:
        mounts = container.get("volumeMounts", ())
        if {each["name"] for each in mounts} != set(volumes) or len(volumes) != len(set(volumes)):
            yield "mounts are not volumes"
        if len({each["mountPath"] for each in mounts}) != len(mounts):
            yield "two mounts at one path"
    names = [*volumes, *(each["name"] for each in pod["containers"])]
    yield from (f"the name {name}" for name in names if not _LABEL.fullmatch(name))


def _claim_faults(pod: Object, objects: Sequence[Object]) -> Iterator[str]:
    templates = {
        each["metadata"]["name"] for each in objects if each["kind"] == "ResourceClaimTemplate"
    }
    claims = pod.get("resourceClaims", ())
    if any(each["resourceClaimTemplateName"] not in templates for each in claims):
        yield "a claim without a template"
    for container in pod["containers"]:
        used = {each["name"] for each in container["resources"].get("claims", ())}
        if used != {each["name"] for each in claims}:
            yield "claims are not resourceClaims"


def _resource_faults(container: Object, pod: Object) -> Iterator[str]:
    limits, requests = container["resources"]["limits"], container["resources"]["requests"]
    yield from _quantity_faults(limits)
    yield from _quantity_faults(requests)
    for name, limit in limits.items():
        if (quantity(requests.get(name, 0)) or 0) > (quantity(limit) or 0):
            yield f"more {name} requested than allowed"
    for volume in pod.get("volumes", ()):
        shm = volume.get("emptyDir", {}).get("sizeLimit", 0)
        if quantity(shm) is None or (quantity(shm) or 0) > (quantity(limits["memory"]) or 0):
            yield "shared memory beyond the memory"


def _quantity_faults(quantities: Object) -> Iterator[str]:
    for name, text in quantities.items():
        number = quantity(text)
        if number is None:
            yield f"{name}: {text} is no quantity"
        elif "/" in name and number != int(number):
            yield f"{name}: {text} is no whole number"


def _security_faults(pod: Object) -> Iterator[str]:
    """Tell what the Pod Security Standard "restricted" refuses."""
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "it may be root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if any(pod.get(each) for each in ("hostNetwork", "hostPID", "hostIPC")):
        yield "a namespace of the host"
    if any(not {"emptyDir", "persistentVolumeClaim"} & each.keys() for each in pod["volumes"]):
        yield "a volume of another kind"
    for container in pod["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield "it may gain privileges"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield "it keeps capabilities"
