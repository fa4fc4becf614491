"""A launch as objects of Kubernetes: storage, a Job, a check of every GPU node, and a workspace.

Their pods pass the Pod Security Standard "restricted".
Sources: https://kubernetes.io/docs/concepts/workloads/controllers/job/
https://kubernetes.io/docs/concepts/security/pod-security-standards/
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
https://kueue.sigs.k8s.io/docs/tasks/run/jobs/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.model.rendering import Rendered, RenderedFile, TargetOptions
from snapenv.model.snapshot import CHECK_IF_PRESENT, IMAGE_CHECK
from snapenv.promql import KUBERNETES_LABEL
from snapenv.render.head import head_lines
from snapenv.render.kubernetes_names import (
    as_label,
    cpu_quantity,
    literal,
    parse_label,
    parse_label_value,
    parse_node_label,
    parse_subdomain,
    quantity,
)
from snapenv.render.refuse import option_of_label, refuse_named_gpus
from snapenv.templating import render_template

if TYPE_CHECKING:
    from snapenv.model.launch import Launch
    from snapenv.model.rendering import Workload

_NAME_LENGTH = 50  # "-verify-" and the number of a node fit behind it, in the 63 of a label
_QUEUE_LENGTH = 63  # it is the value of a label too
_UID = 1000  # as in the image
_CPUS = 4.0  # to ask for where no number is given; a pod uses more where they are idle
_MEMORY_PER_SHM = 4  # where no memory is given: /dev/shm is a quarter of it


class KubernetesOptions(TargetOptions, frozen=True, kw_only=True):
    """What a user may ask of files for Kubernetes."""

    name: str | None = None  # of the objects; None makes one of the image's tag
    namespace: str | None = None  # None is that of whoever applies the files
    gpus: int = 1  # of each pod
    nodes: int = 1  # that have GPUs, and are checked
    retries: int = 2
    runtime_class: str | None = None
    device_class: str | None = None  # of Dynamic Resource Allocation, instead of nvidia.com/gpu
    queue: str | None = None  # Kueue's
    pull_secret: str | None = None
    node_selector: tuple[str, ...] = ()  # each KEY=VALUE
    storage_class: str | None = None  # None is the cluster's own
    storage_bytes: int = 100 << 30
    access_mode: str = "ReadWriteOnce"


class _Claim(Struct, frozen=True, kw_only=True):
    """A PersistentVolumeClaim, as a pod mounts it."""

    volume: str
    claim: str
    target: str
    read_only: bool = False


class _Port(Struct, frozen=True, kw_only=True):
    """A port of a pod, and where kubectl listens for it."""

    address: str
    local: int
    inside: int


class _View(Struct, frozen=True, kw_only=True):
    """What the templates read: an object and the pods that it makes. Pairs are sorted."""

    head: tuple[str, ...]
    kubectl: str
    name: str
    kind: str  # the name of the container
    options: KubernetesOptions
    oldest: str  # Kubernetes where all of it is stable
    gpu_resource: int  # how many of nvidia.com/gpu
    devices: int  # how many by Dynamic Resource Allocation
    labels: tuple[tuple[str, str], ...]
    selector: tuple[tuple[str, str], ...]  # labels that the pods of no other object have
    annotations: tuple[tuple[str, str], ...]
    image: str
    args: tuple[str, ...]
    folder: str  # of the project
    in_project: bool  # what follows is the user's, and starts there
    variables: tuple[tuple[str, str], ...]
    claims: tuple[_Claim, ...]
    own_claim: bool  # the project is in the claim of storage.yaml
    ports: tuple[_Port, ...]
    uid: int
    gid: int
    shm: str
    storage: str
    cpus: str
    cpus_limited: bool
    memory: str
    node_selector: tuple[tuple[str, str], ...]
    grace_s: int
    ready: str = CHECK_IF_PRESENT


def render_kubernetes(work: Workload, options: KubernetesOptions) -> Rendered:
    """Return the files for a cluster, below ``kubernetes/``.

    ``job.yaml`` is there only where there is a command, and ``storage.yaml`` only where the user
    named no claim for the project.

    Raises:
        UsageError: A name is not of Kubernetes' grammar, or something is asked for that no pod has
            under the Pod Security Standard "restricted".
    """
    _refuse_what_no_pod_has(work.launch)
    options = _parsed(work, options)
    trains = ("--smoke-train",) if work.label.ultralytics else ()
    views = {
        "storage": _view(work, options, "storage"),
        "job": _view(work, options, "run", args=work.launch.argv),
        "verify": _view(work, options, "verify", args=(IMAGE_CHECK, *trains)),
        "workspace": _view(work, options, "workspace", args=("sleep", "infinity")),
    }
    if not work.launch.argv:
        del views["job"]
    if not views["storage"].own_claim:
        del views["storage"]
    files = tuple(
        RenderedFile(
            name=f"kubernetes/{name}.yaml",
            content=render_template(f"kubernetes/{name}.yaml.j2", view),
        )
        for name, view in views.items()
    )
    wanted = {"storage", "job"} if work.launch.argv else {"verify"}
    applied = " ".join(f"-f kubernetes/{name}.yaml" for name in views if name in wanted)
    return Rendered(files=files, start=f"{views['verify'].kubectl} apply {applied}")


def _refuse_what_no_pod_has(launch: Launch) -> None:
    for mount in launch.mounts:
        if mount.kind == "bind":
            raise UsageError(
                f"{mount.source} is a folder of one machine, which restricted pods cannot mount",
                hint=f"Name a PersistentVolumeClaim: --mount CLAIM:{mount.target}",
            )
    refuse_named_gpus(
        launch, hint="Kubernetes chooses the node. Say how many GPUs a pod needs: --gpus 2"
    )
    if launch.shm_bytes is None:
        raise UsageError(
            "--ipc host is refused to restricted pods", hint="Name a size: --shm-size 16g"
        )
    if launch.user and launch.user.uid == 0:
        raise UsageError(
            "--user 0 is root, which is refused to restricted pods",
            hint=f"Name another user, or leave --user out for {_UID}:{_UID}.",
        )


def _parsed(work: Workload, options: KubernetesOptions) -> KubernetesOptions:
    """Return the options, each name of Kubernetes' grammar, with a name for the objects."""
    for option, value in (
        ("--runtime-class", options.runtime_class),
        ("--device-class", options.device_class),
        ("--pull-secret", options.pull_secret),
        ("--storage-class", options.storage_class),
    ):
        if value is not None:
            parse_subdomain(value, option=option)
    if options.queue is not None:
        parse_subdomain(options.queue, option="--queue", most=_QUEUE_LENGTH)
    if options.namespace is not None:
        parse_label(options.namespace, option="--namespace")
    name = options.name
    if name is None:
        name = as_label(str(work.image.tag), most=_NAME_LENGTH)
    return replace(
        options,
        name=parse_label(name, option="--name", most=_NAME_LENGTH),
        gpus=options.gpus if work.launch.gpus else 0,
    )


def _view(
    work: Workload, options: KubernetesOptions, kind: str, *, args: tuple[str, ...] = ()
) -> _View:
    launch, name = work.launch, str(options.name)
    shm_bytes = launch.shm_bytes or 0
    selector = {"app.kubernetes.io/component": kind, "app.kubernetes.io/name": name}
    labels = {**selector, "app.kubernetes.io/managed-by": "snapenv", **_declared_labels(launch)}
    in_project = kind in {"run", "workspace"}
    by_class = options.device_class is not None
    named = (parse_node_label(each, option="--node-selector") for each in options.node_selector)
    selected = {**_kind_of_node(work), **dict(named)}
    return _View(
        head=head_lines(work, how=()),
        kubectl=f"kubectl -n {options.namespace}" if options.namespace else "kubectl",
        name=f"{name}-{kind}" if kind in {"verify", "workspace"} else name,
        kind=kind,
        options=options,
        oldest=_oldest(kind, by_class=by_class and options.gpus > 0),
        gpu_resource=0 if by_class else options.gpus,
        devices=options.gpus if by_class else 0,
        labels=tuple(sorted(labels.items())),
        selector=tuple(sorted(selector.items())),
        annotations=(("io.snapenv/snapshot", work.snapshot),) if work.snapshot else (),
        image=str(work.image),
        args=tuple(map(literal, args)),
        folder=str(launch.folder),
        in_project=in_project,
        variables=_variables(launch if in_project else None, gpus=options.gpus),
        claims=_claims(launch, own=name) if in_project else (),
        own_claim=not _named_claim(launch),
        ports=tuple(
            _Port(address=port.address, local=port.host or port.inside, inside=port.inside)
            for port in launch.ports
        ),
        uid=launch.user.uid if launch.user else _UID,
        gid=launch.user.gid if launch.user else _UID,
        shm=quantity(shm_bytes),
        storage=quantity(options.storage_bytes),
        cpus=cpu_quantity(launch.cpus or _CPUS),
        cpus_limited=launch.cpus is not None,
        memory=quantity(launch.memory_bytes or _MEMORY_PER_SHM * shm_bytes),
        node_selector=tuple(sorted(selected.items())),
        grace_s=launch.grace_s,
    )


def _kind_of_node(work: Workload) -> dict[str, str]:
    """Return the label of nodes that run the image, where that is not of the usual kind.

    Source: https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-arch
    """
    machine = work.label.machine
    return {"kubernetes.io/arch": machine} if machine and machine != "amd64" else {}


def _declared_labels(launch: Launch) -> dict[str, str]:
    """Return for whom and for what a pod runs, as Kubernetes and its metrics take it."""
    return {
        f"{KUBERNETES_LABEL}{name.rpartition('.')[2]}": parse_label_value(
            value, option=option_of_label(name)
        )
        for name, value in launch.labels.items()
    }


def _oldest(kind: str, *, by_class: bool) -> str:
    """Return the oldest Kubernetes where all that an object uses is stable.

    Source: https://github.com/kubernetes/enhancements, the stages of each kep.yaml
    """
    if by_class:
        return "1.34"  # Dynamic Resource Allocation
    return "1.33" if kind == "verify" else "1.31"  # backoffLimitPerIndex; podFailurePolicy


def _variables(launch: Launch | None, *, gpus: int) -> tuple[tuple[str, str], ...]:
    """Return a program's variables; without GPUs, NVIDIA's runtime is to inject none.

    Source: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html
    """
    variables = {} if gpus else {"NVIDIA_VISIBLE_DEVICES": "void"}
    if launch:
        variables |= {name: literal(value) for name, value in launch.set_variables}
    return tuple(sorted(variables.items()))


def _claims(launch: Launch, *, own: str) -> tuple[_Claim, ...]:
    """Return the project's claim, the user's or our own, and the others that the user named."""
    named = tuple(
        _Claim(
            volume=f"claim-{number}",
            claim=parse_subdomain(mount.source, option="--mount"),
            target=mount.target,
            read_only=mount.read_only,
        )
        for number, mount in enumerate(launch.mounts, 1)
    )
    if _named_claim(launch):
        return named
    return (_Claim(volume="project", claim=own, target=str(launch.folder)), *named)


def _named_claim(launch: Launch) -> bool:
    """Return whether the user named a claim for the project."""
    return any(mount.target == launch.folder for mount in launch.mounts)
