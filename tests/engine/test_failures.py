from __future__ import annotations

import pytest
from inline_snapshot import snapshot as wording

from snapenv.engine.failures import engine_failure, one_line, registry_failure, start_failure
from snapenv.engine.full_disk import FullDiskError
from snapenv.errors import (
    EngineError,
    InterpreterError,
    NotFoundError,
    RegistryError,
    SnapenvError,
    WriteError,
)
from snapenv.model.image import ImageRef

REF = ImageRef.parse("registry.example.com/team/env:a")


@pytest.mark.parametrize(
    ("text", "kind", "message", "hint"),
    [
        (
            "manifest for registry.example.com/team/env:a not found: manifest unknown",
            NotFoundError,
            wording("registry.example.com has no registry.example.com/team/env:a"),
            "name and tag",
        ),
        (
            'Get "https://registry.example.com/v2/": dial tcp: lookup x: no such host',
            RegistryError,
            wording(
                'registry.example.com does not answer: Get "https://registry.example.com/v2/": dial tcp: lookup x: no such host'
            ),
            "can be reached",
        ),
        (
            "received unexpected HTTP status: 503 Service Unavailable",
            RegistryError,
            wording(
                "registry.example.com does not answer: received unexpected HTTP status: 503 Service Unavailable"
            ),
            "can be reached",
        ),
        (
            "net/http: TLS handshake timeout",
            RegistryError,
            wording("registry.example.com does not answer: net/http: TLS handshake timeout"),
            "can be reached",
        ),
        (
            "denied: requested access to the resource is denied",
            RegistryError,
            wording(
                "registry.example.com refuses registry.example.com/team/env:a: denied: requested access to the resource is denied"
            ),
            "docker login registry.example.com",
        ),
        (
            "unauthorized: authentication required",
            RegistryError,
            wording(
                "registry.example.com refuses registry.example.com/team/env:a: unauthorized: authentication required"
            ),
            "docker login registry.example.com",
        ),
        (
            "failed to register layer: write /x: no space left on device",
            FullDiskError,
            wording("the disk of the Docker engine is full"),
            "docker system prune",
        ),
        ("something new", EngineError, wording("the Docker engine failed: something new"), "log"),
    ],
)
def test_what_a_registry_says_becomes_an_error_with_a_next_step(
    text: str, kind: type[SnapenvError], message: str, hint: str
) -> None:
    error = registry_failure(text, REF)

    assert type(error) is kind
    assert error.message == message
    assert hint in error.hint


GET = 'failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": '
X509 = f"{GET}tls: failed to verify certificate: x509: "


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            (
                f"{X509}certificate has expired or is not yet valid: current time "
                "2026-11-28T12:00:00Z is after 2024-06-01T00:00:00Z"
            ),
            wording(
                'registry.example.com has a certificate that has expired: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-28T12:00:00Z is after 2024-06-01T00:00:00Z'
            ),
            "Renew the certificate of registry.example.com",
        ),
        (
            (
                f"{X509}certificate has expired or is not yet valid: current time "
                "2019-01-01T12:00:00Z is before 2024-01-01T00:00:00Z"
            ),
            wording(
                'registry.example.com has a certificate that is not valid yet by the clock of the engine\'s machine: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2019-01-01T12:00:00Z is before 2024-01-01T00:00:00Z'
            ),
            "timedatectl",
        ),
        (
            f"{X509}certificate is valid for other.example.com, not registry.example.com",
            wording(
                'registry.example.com has a certificate for another host name: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": tls: failed to verify certificate: x509: certificate is valid for other.example.com, not registry.example.com'
            ),
            "openssl s_client -connect registry.example.com",
        ),
        (
            (
                f"{X509}cannot validate certificate for 192.0.2.1 because it doesn't contain "
                "any IP SANs"
            ),
            wording(
                'registry.example.com has a certificate for another host name: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": tls: failed to verify certificate: x509: cannot validate certificate for 192.0.2.1 because it doesn\'t contain any IP SANs'
            ),
            "openssl s_client",
        ),
        (
            f"{X509}certificate signed by unknown authority",
            wording(
                'registry.example.com has a certificate from an authority that is not trusted: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": tls: failed to verify certificate: x509: certificate signed by unknown authority'
            ),
            "/etc/docker/certs.d/registry.example.com/ca.crt on the engine's machine",
        ),
        (
            f"{GET}http: server gave HTTP response to HTTPS client",
            wording(
                'registry.example.com answers over plain HTTP where HTTPS is expected: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": http: server gave HTTP response to HTTPS client'
            ),
            '"insecure-registries": ["registry.example.com"]',
        ),
        (
            f"{GET}remote error: tls: bad certificate",
            wording(
                'registry.example.com requires a client certificate: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": remote error: tls: bad certificate'
            ),
            "client.cert",
        ),
        (
            f"{GET}remote error: tls: handshake failure",
            wording(
                'registry.example.com fails the TLS handshake: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": remote error: tls: handshake failure'
            ),
            "openssl",
        ),
        (
            f"{GET}proxyconnect tcp: dial tcp 192.0.2.1:3128: connect: connection refused",
            wording(
                'registry.example.com cannot be reached through the proxy: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": proxyconnect tcp: dial tcp 192.0.2.1:3128: connect: connection refused'
            ),
            "NO_PROXY=registry.example.com",
        ),
        (
            f"{GET}socks connect tcp 192.0.2.1:1080->registry.example.com:443: EOF",
            wording(
                'registry.example.com cannot be reached through the proxy: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": socks connect tcp 192.0.2.1:1080->registry.example.com:443: EOF'
            ),
            "docker info",
        ),
        (
            f"{GET}Proxy Authentication Required",
            wording(
                'registry.example.com cannot be reached: the proxy requires a login: failed to do request: Head "https://registry.example.com/v2/team/env/manifests/a": Proxy Authentication Required'
            ),
            "docker info",
        ),
    ],
)
def test_why_the_engine_does_not_reach_a_registry_is_told_by_its_cause(
    text: str, message: str, hint: str
) -> None:
    error = registry_failure(text, REF)

    assert type(error) is RegistryError
    assert error.message == message
    assert hint in error.hint


@pytest.mark.parametrize(
    "text",
    [
        "unexpected end of JSON input",
        "invalid character '\\x00' looking for beginning of value",
        'error parsing HTTP 404 response body: unexpected end of JSON input: "{\\"e"',
        'Get "http://registry.example.com/v2/x": failed to parse Location header "http://[::bad"',
        'Get "file:///etc/passwd": unsupported protocol scheme "file"',
        'Patch "/v2/team/env/blobs/uploads/1": stopped after 10 redirects',
        "manifest blob unknown: blob unknown to registry",
        "received unexpected HTTP status: 418 I'm a teapot",
    ],
)
def test_an_answer_that_the_engine_cannot_read_is_the_registry_s(text: str) -> None:
    error = registry_failure(text, REF)

    assert type(error) is RegistryError
    assert error.message == f"registry.example.com sends an invalid answer: {text}"


def test_no_login_of_an_address_is_shown() -> None:
    error = registry_failure(
        'Get "https://registry.example.com": parse "http://me:canary@proxy.example.com:x": invalid '
        "port",
        REF,
    )

    assert "canary" not in error.message
    assert "proxy.example.com" in error.message


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        (
            'exec: "/x/python": stat /x/python: no such file or directory: unknown',
            InterpreterError,
            "--python",
        ),
        ("something new", EngineError, "log"),
    ],
)
def test_why_a_container_did_not_start_becomes_an_error_with_a_next_step(
    text: str, kind: type[SnapenvError], hint: str
) -> None:
    error = start_failure(text, "/x/python", "image a")

    assert type(error) is kind
    assert hint in error.hint


NO_TOOLKIT = (
    'could not select device driver "" with capabilities: [[gpu]]',
    'could not select device driver "nvidia" with capabilities: [[gpu]]',
    'could not select device driver "cdi" with capabilities: []',
    "failed to discover GPU vendor from CDI: no known GPU vendor found",
    'could not select device driver "" with capabilities: [[gpu]]: AMD CDI spec not found',
    "AMD CDI spec not found",
    "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all",
    "unknown or invalid runtime name: nvidia",
    'exec: "nvidia-container-runtime-hook": executable file not found in $PATH',
    "invoking the NVIDIA Container Runtime Hook directly (e.g. specifying the docker --gpus flag)",
)


def test_all_words_for_a_toolkit_that_is_not_there_are_one_finding() -> None:
    errors = [start_failure(text, "/x/python", "image a") for text in NO_TOOLKIT]

    assert {type(error) for error in errors} == {EngineError}
    assert {error.message for error in errors} == wording(
        {"the Docker engine has no way to give a container GPUs"}
    )
    (hint,) = {error.hint for error in errors}
    assert "sudo nvidia-ctk runtime configure --runtime=docker" in hint
    assert "sudo nvidia-ctk cdi generate" in hint
    assert "restart Docker" in hint


OCI = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: error during container init: "
)
HOOK = f"{OCI}error running prestart hook #0: exit status 1, stderr: Auto-detected mode 'legacy'\n"
CLI = f"{HOOK}nvidia-container-cli: "


@pytest.mark.parametrize(
    ("before", "told", "message", "hint"),
    [
        (
            f"{CLI}mount error: failed to add device rules: ",
            "bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted: unknown",
            "Docker without root may not write the device rules of a container with GPUs",
            "nvidia-container-cli.no-cgroups=true --in-place",
        ),
        (
            f"{CLI}initialization error: nvml error: ",
            "driver/library version mismatch: unknown",
            "the NVIDIA driver's libraries and its kernel module are of two versions",
            "Reboot",
        ),
        (
            CLI,
            "requirement error: unsatisfied condition: cuda>=12.8, please update your driver",
            "the NVIDIA driver is too old for what the image asks for",
            "Update the driver",
        ),
        (
            f"{CLI}initialization error: ",
            "load library failed: libnvidia-ml.so.1: cannot open: no such file or directory",
            "no NVIDIA driver answers the container toolkit: its library is not found",
            "nvidia-smi",
        ),
        (
            HOOK,
            "nvidia-container-cli: mount error: something new: unknown",
            "the NVIDIA container toolkit failed",
            "update nvidia-container-toolkit",
        ),
        (
            "",
            'CDI device injection failed: failed to stat "/dev/nvidia0": no such file or directory',
            "the CDI specification of the GPUs names what is not there",
            "nvidia-ctk cdi generate",
        ),
    ],
)
def test_why_a_container_got_no_gpu_is_told_by_its_cause(
    before: str, told: str, message: str, hint: str
) -> None:
    error = start_failure(before + told, "/x/python", "image a")

    assert (type(error), error.message) == (EngineError, f"{message}: {told}")
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        (f"{CLI}device error: 7: unknown device: unknown", "7"),
        ("unresolvable CDI devices nvidia.com/gpu=3, nvidia.com/gpu=4", "3"),
        ("unresolvable CDI devices nvidia.com/gpu=MIG-4b2c", "MIG-4b2c"),
    ],
)
def test_a_gpu_that_is_not_there_is_named(text: str, absent: str) -> None:
    error = start_failure(text, "/x/python", "image a")

    assert (type(error), error.message) == (EngineError, f"the Docker engine knows no GPU {absent}")


def test_a_program_for_another_processor_is_no_question_of_its_path() -> None:
    error = start_failure(f'{OCI}exec: "/x/python": exec format error', "/x/python", "image a")

    assert type(error) is InterpreterError
    assert error.message == wording(
        '/x/python in image a is for another kind of processor: failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "/x/python": exec format error'
    )
    assert "--python" not in error.hint


def test_a_full_disk_is_told_in_any_case_of_letters() -> None:
    assert isinstance(engine_failure("write: No space left on device"), WriteError)


def test_a_long_text_is_cut_to_one_line() -> None:
    assert one_line("a\n b\tc" + "d" * 300, length=8) == "a b cdd…"
