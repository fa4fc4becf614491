from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.model.launch import Mount, Port
from snapenv.render.kubernetes import KubernetesOptions, render_kubernetes
from snapenv.render.kubernetes_names import as_label, cpu_quantity, literal, parse_label, quantity
from tests.render.kubernetes_objects import Object, faults
from tests.render.kubernetes_objects import quantity as number
from tests.render.workloads import IMAGE, LABEL, content, differing, workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.rendering import Rendered

VERSIONS = ("1.31", "1.33", "1.34", "1.37")  # where something became stable, and the newest
COCO = Mount(source="coco", target="/datasets/coco", read_only=True, kind="volume")
WISHES: dict[str, Any] = {
    "mounts": (COCO,),
    "variables": {"EPOCHS": "12", "A_HARD_ONE": "a \"b\" $HOME $(HOME) $$ 'c' # é\n"},
    "cpus": 7.5,
    "memory_bytes": 48 << 30,
    "shm_bytes": 10 << 30,
    "ports": (Port(inside=8888), Port(inside=6006, host=16006)),
    "user": (2000, 3000),
    "grace_s": 30,
    "project": "vision",
    "purpose": "ablation",
    "model": "yolov8n",
}
OPTIONS = KubernetesOptions(
    name="yolo",
    namespace="team-a",
    gpus=2,
    nodes=4,
    retries=0,
    runtime_class="nvidia",
    device_class="gpu.nvidia.com",
    queue="gpu-queue",
    pull_secret="registry.credentials",
    node_selector=("nvidia.com/gpu.product=NVIDIA-H200", "disk=ssd"),
    storage_class="fast",
    storage_bytes=3 << 39,
    access_mode="ReadWriteMany",
)
COMMAND = ("sh", "-c", 'yolo train epochs="$EPOCHS"; echo $$ $(date)')


@functools.cache
def plain() -> Rendered:
    return render_kubernetes(workload("yolo", "train", "data=coco8.yaml"), KubernetesOptions())


@functools.cache
def full(**changed: object) -> Rendered:
    return render_kubernetes(workload(*COMMAND, **WISHES), replace(OPTIONS, **changed))


def by_classic_resource() -> Rendered:
    return full(device_class=None)


def without_gpu() -> Rendered:
    return render_kubernetes(workload(device="cpu"), OPTIONS)


CASES = pytest.mark.parametrize("render", [plain, full, by_classic_resource, without_gpu])


def objects(rendered: Rendered, name: str) -> list[Object]:
    return list(yaml.safe_load_all(content(rendered, f"kubernetes/{name}.yaml")))


def workload_of(rendered: Rendered, name: str) -> Object:
    return objects(rendered, name)[-1]


def pod(rendered: Rendered, name: str) -> Object:
    spec: Object = workload_of(rendered, name)["spec"]["template"]["spec"]
    return spec


def container(rendered: Rendered, name: str) -> Object:
    only: Object
    (only,) = pod(rendered, name)["containers"]
    return only


def variables(rendered: Rendered, name: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(rendered, name).get("env", ())}


@pytest.mark.parametrize(("name", "render"), [("plain", plain), ("full", full)])
def test_files_are_those_that_were_read(name: str, render: Callable[[], Rendered]) -> None:
    assert differing(render(), f"kubernetes/{name}") == {}


@CASES
def test_an_api_server_of_each_version_knows_every_field(render: Callable[[], Rendered]) -> None:
    for file in render().files:
        needs = re.search(r"needs Kubernetes (1\.\d+)", file.content)
        oldest = VERSIONS.index(needs[1]) if needs else 0

        for each in yaml.safe_load_all(file.content):
            for version in VERSIONS[oldest:]:
                kubernetes_validate.validate(each, version, strict=True)


@CASES
def test_what_schemas_do_not_see_is_right_too(render: Callable[[], Rendered]) -> None:
    for file in render().files:
        assert faults(list(yaml.safe_load_all(file.content))) == set()


def planted(change: Callable[[Object, Object], object], *, name: str = "job") -> set[str]:
    """Return the faults that are found after a change to a workload and its pods."""
    every = objects(full(), name)
    change(every[-1], every[-1]["spec"]["template"]["spec"])
    return faults(every)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda job, _: job["metadata"].update(name="Yolo"), "the name Yolo"),
        (lambda job, _: job["metadata"].update(namespace="team_a"), "the name team_a"),
        (lambda job, _: job["metadata"]["labels"].update(a="b c"), "the label a=b c"),
        (lambda job, _: job["metadata"]["annotations"].update({"a b": "c"}), "the annotation a b"),
        (lambda _, pod: pod.update(restartPolicy="Always"), "restartPolicy Always"),
        (lambda _, pod: pod.update(restartPolicy="OnFailure"), "restartPolicy OnFailure"),
        (
            lambda job, _: job["spec"]["podFailurePolicy"]["rules"][0].pop("onPodConditions"),
            "a rule needs exit codes or conditions",
        ),
        (
            lambda job, _: job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"].update(
                containerName="other"
            ),
            "a rule of no container, or of success",
        ),
        (
            lambda job, _: job["spec"].update(backoffLimitPerIndex=0),
            "backoffLimitPerIndex without indexes",
        ),
        (lambda _, pod: pod["volumes"].pop(), "mounts are not volumes"),
        (lambda _, pod: pod["volumes"].append(pod["volumes"][0]), "mounts are not volumes"),
        (
            lambda _, pod: pod["containers"][0]["volumeMounts"][1].update(mountPath="/dev/shm"),
            "two mounts at one path",
        ),
        (lambda _, pod: pod["containers"][0].update(name="a.b"), "the name a.b"),
        (lambda _, pod: pod.pop("resourceClaims"), "claims are not resourceClaims"),
        (
            lambda _, pod: pod["resourceClaims"][0].update(resourceClaimTemplateName="other"),
            "a claim without a template",
        ),
        (
            lambda _, pod: pod["containers"][0]["resources"]["limits"].update(cpu="eight"),
            "cpu: eight is no quantity",
        ),
        (
            lambda _, pod: pod["containers"][0]["resources"]["limits"].update(
                {"nvidia.com/gpu": "0.5"}
            ),
            "nvidia.com/gpu: 0.5 is no whole number",
        ),
        (
            lambda _, pod: pod["containers"][0]["resources"]["requests"].update(memory="49Gi"),
            "more memory requested than allowed",
        ),
        (
            lambda _, pod: pod["volumes"][0]["emptyDir"].update(sizeLimit="49Gi"),
            "shared memory beyond the memory",
        ),
        (lambda _, pod: pod["securityContext"].update(runAsUser=0), "it may be root"),
        (lambda _, pod: pod["securityContext"].pop("runAsNonRoot"), "it may be root"),
        (lambda _, pod: pod["securityContext"].pop("seccompProfile"), "no seccomp profile"),
        (lambda _, pod: pod.update(hostIPC=True), "a namespace of the host"),
        (
            lambda _, pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
            "a volume of another kind",
        ),
        (
            lambda _, pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
            "it may gain privileges",
        ),
        (
            lambda _, pod: pod["containers"][0]["securityContext"].pop("capabilities"),
            "it keeps capabilities",
        ),
    ],
)
def test_each_check_of_our_own_sees_a_planted_fault(
    change: Callable[[Object, Object], object], fault: str
) -> None:
    assert f"Job: {fault}" in planted(change)


def test_the_checks_of_indexes_and_deployments_see_planted_faults_too() -> None:
    assert planted(lambda job, _: job["metadata"].update(name="a" * 63), name="verify") == wording(
        {"Job: the host name of a pod is too long"}
    )
    assert planted(lambda _, pod: pod.update(restartPolicy="Never"), name="workspace") == wording(
        {"Deployment: its pods must restart"}
    )
    assert planted(
        lambda each, _: each["spec"]["selector"]["matchLabels"].update(a="b"), name="workspace"
    ) == wording({"Deployment: its selector does not select its own pods"})
    claim = workload_of(full(), "storage")
    claim["spec"]["resources"]["requests"]["storage"] = "much"
    assert faults([claim]) == wording({"PersistentVolumeClaim: storage: much is no quantity"})


def test_a_job_is_started_again_after_a_preemption_and_not_after_a_wrong_command_line() -> None:
    job = workload_of(plain(), "job")["spec"]

    assert job["backoffLimit"] == 2
    ignored, failed = job["podFailurePolicy"]["rules"]
    assert ignored["action"] == "Ignore"
    assert ignored["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert failed["action"] == "FailJob"
    assert failed["onExitCodes"]["values"] == [2, 126, 127]


def test_the_check_runs_once_on_each_node_and_no_retry_hides_one() -> None:
    rendered = full()
    job = workload_of(rendered, "verify")["spec"]

    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 4, 4)
    assert job["backoffLimitPerIndex"] == 0
    (apart,) = pod(rendered, "verify")["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    labels = job["template"]["metadata"]["labels"]
    assert apart["labelSelector"]["matchLabels"].items() <= labels.items()
    assert labels["app.kubernetes.io/component"] == "verify"
    assert container(rendered, "verify")["args"] == [
        "/opt/snapenv/bin/snapenv-check",
        "--smoke-train",
    ]
    # A claim that one node alone may mount would keep the others waiting.
    assert [each["name"] for each in pod(rendered, "verify")["volumes"]] == ["shm"]


def test_without_ultralytics_nothing_is_trained() -> None:
    work = workload(label=replace(LABEL, ultralytics=None))

    rendered = render_kubernetes(work, KubernetesOptions())

    assert container(rendered, "verify")["args"] == ["/opt/snapenv/bin/snapenv-check"]
    assert "losses" not in content(rendered, "kubernetes/verify.yaml")


def test_every_image_is_pinned_and_gpus_are_asked_for() -> None:
    for name in ("job", "verify", "workspace"):
        assert container(plain(), name)["image"] == str(IMAGE)
        assert container(plain(), name)["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert "nvidia.com/gpu" not in container(full(), name)["resources"]["limits"]
        template = objects(full(), name)[0]
        (request,) = template["spec"]["spec"]["devices"]["requests"]
        assert request["exactly"]["count"] == 2
        assert request["exactly"]["deviceClassName"] == "gpu.nvidia.com"


def test_without_a_gpu_none_is_injected() -> None:
    rendered = without_gpu()

    assert "tolerations" not in pod(rendered, "verify")
    assert variables(rendered, "verify") == {"NVIDIA_VISIBLE_DEVICES": "void"}
    assert variables(rendered, "workspace")["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "NVIDIA_VISIBLE_DEVICES" not in variables(plain(), "workspace")


def test_without_a_command_there_is_no_job() -> None:
    rendered = render_kubernetes(workload(), KubernetesOptions())

    assert [each.name for each in rendered.files] == [
        "kubernetes/storage.yaml",
        "kubernetes/verify.yaml",
        "kubernetes/workspace.yaml",
    ]
    assert rendered.start == "kubectl apply -f kubernetes/verify.yaml"
    assert full().start == (
        "kubectl -n team-a apply -f kubernetes/storage.yaml -f kubernetes/job.yaml"
    )


def test_a_claim_of_the_users_takes_the_place_of_ours() -> None:
    mount = Mount(source="team-project", target="/workspace", kind="volume")

    rendered = render_kubernetes(workload("yolo", mounts=(mount,)), KubernetesOptions())

    assert "kubernetes/storage.yaml" not in {each.name for each in rendered.files}
    assert rendered.start == "kubectl apply -f kubernetes/job.yaml"
    claims = [each.get("persistentVolumeClaim") for each in pod(rendered, "job")["volumes"]]
    assert claims == [None, {"claimName": "team-project"}]
    assert "storage.yaml" not in content(rendered, "kubernetes/workspace.yaml")


def test_shared_memory_is_a_quarter_of_a_memory_that_is_not_named() -> None:
    by_default, wished = container(plain(), "job"), container(full(), "job")

    assert by_default["resources"]["limits"]["memory"] == "32Gi"
    assert pod(plain(), "job")["volumes"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert by_default["resources"]["requests"]["cpu"] == "4"
    assert "cpu" not in by_default["resources"]["limits"]
    assert wished["resources"]["limits"] == {"cpu": "7500m", "memory": "48Gi"}
    assert pod(full(), "job")["volumes"][0]["emptyDir"]["sizeLimit"] == "10Gi"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", "Yolo"),
        ("name", "-"),
        ("name", "a" * 51),
        ("name", ""),
        ("namespace", "team.a"),
        ("namespace", "a\n"),
        ("runtime_class", "nvidia_"),
        ("device_class", "gpu..com"),
        ("queue", "q" * 64),
        ("pull_secret", "a b"),
        ("pull_secret", "a." * 127 + "a"),
        ("storage_class", ""),
        ("node_selector", ("disk",)),
        ("node_selector", ("disk=a=b",)),
        ("node_selector", ("a/b/c=d",)),
        ("node_selector", (f"disk={'x' * 64}",)),
    ],
)
def test_a_name_that_the_grammar_refuses_is_a_usage_error(option: str, value: object) -> None:
    with pytest.raises(UsageError) as raised:
        full(**{option: value})

    named = value[0] if isinstance(value, tuple) else value
    assert raised.value.message.startswith(f"--{option.replace('_', '-')} {named!r} is not a ")


def test_the_errors_of_names_say_their_grammar() -> None:
    errors = []
    for option, value in (("namespace", "Team_A"), ("queue", "a b"), ("node_selector", ("disk",))):
        with pytest.raises(UsageError) as raised:
            full(**{option: value})
        errors.append((raised.value.message, raised.value.hint))

    assert errors == wording(
        [
            (
                "--namespace 'Team_A' is not a valid Kubernetes name (a DNS-1123 label)",
                "Use at most 63 lower-case letters, digits and -, with a letter or digit at both ends.",
            ),
            (
                "--queue 'a b' is not a valid Kubernetes name (a DNS-1123 subdomain)",
                "Use at most 63 lower-case letters, digits, - and ., with a letter or digit beside each dot and at both ends.",
            ),
            (
                "--node-selector 'disk' is not a node label",
                "Write KEY=VALUE, as in nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3",
            ),
        ]
    )


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"data": ("/datasets/coco",)}, "/datasets/coco is a folder of one machine"),
        ({"runs": "/results"}, "/results is a folder of one machine"),
        ({"mounts": (Mount(source="/a", target="/b"),)}, "/a is a folder of one machine"),
        ({"mounts": (Mount(source="A_B", target="/b", kind="volume"),)}, "--mount 'A_B'"),
        ({"device": "0,1"}, "--device 0,1"),
        ({"host_ipc": True}, "--ipc host"),
        ({"user": (0, 0)}, "--user 0"),
        ({"project": "a b"}, "--project 'a b'"),
    ],
)
def test_what_no_restricted_pod_has_is_a_usage_error(wish: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as raised:
        render_kubernetes(workload("yolo", **wish), KubernetesOptions())

    assert named in raised.value.message


def test_the_name_of_a_tag_becomes_a_name_of_kubernetes() -> None:
    assert as_label("train-yolov8.4.190-AMP_x-cu130", most=50) == "train-yolov8-4-190-amp-x-cu130"
    assert as_label("a" * 49 + "-b", most=50) == "a" * 49
    assert as_label("__", most=50) == "snapenv"


@given(st.text(min_size=1))
def test_whatever_a_tag_is_its_name_is_one_of_kubernetes(tag: str) -> None:
    parse_label(as_label(tag, most=50), option="--name", most=50)


@given(st.integers(min_value=1, max_value=1 << 50))
def test_a_quantity_is_the_number_of_bytes(size_bytes: int) -> None:
    assert number(quantity(size_bytes)) == size_bytes


@given(st.floats(min_value=0.001, max_value=1024))
def test_cpus_are_thousandths(cpus: float) -> None:
    assert abs(float(number(cpu_quantity(cpus)) or 0) - cpus) <= 0.0005


def expanded(text: str) -> str:
    """Expand a word as Kubernetes does, where every name is a variable.

    Source: https://github.com/kubernetes/kubernetes, third_party/forked/golang/expansion/expand.go
    """
    return re.sub(r"\$(?:\$|\((.*?)\)|)", lambda found: "$" if found[1] is None else "!", text)


@given(st.text(alphabet="$()aA ", max_size=12))
def test_nothing_is_expanded_in_a_word(word: str) -> None:
    assert expanded(literal(word)) == word


def test_a_command_arrives_as_it_was_given() -> None:
    words = ("sh", "-c", 'echo "$HOME" $$ $(date) # {{ v.name }}\n', "", "yes", "1e3", "- é: 'x'")

    rendered = render_kubernetes(workload(*words), KubernetesOptions())

    assert tuple(map(expanded, container(rendered, "job")["args"])) == words


def test_one_input_gives_the_same_bytes() -> None:
    turned = {**WISHES, "variables": dict(reversed(WISHES["variables"].items()))}

    assert full() == render_kubernetes(workload(*COMMAND, **turned), OPTIONS)


@pytest.mark.parametrize("machine", ["arm64", "amd64"])
def test_an_image_for_arm64_comes_to_nodes_that_run_it(machine: str) -> None:
    work = workload(*COMMAND, label=replace(LABEL, machine=machine))

    rendered = render_kubernetes(work, replace(OPTIONS, node_selector=("disk=ssd",)))

    pods = [
        loaded["spec"]["template"]["spec"]
        for file in rendered.files
        for loaded in yaml.safe_load_all(file.content)
        if "template" in loaded.get("spec", {})
    ]
    kind = {"kubernetes.io/arch": "arm64"} if machine == "arm64" else {}
    assert [pod["nodeSelector"] for pod in pods] == [{"disk": "ssd", **kind}] * 3
    alone = "# It runs on machines of arm64 alone."
    assert [alone in file.content for file in rendered.files] == [machine == "arm64"] * 4
