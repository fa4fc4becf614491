from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import SmokeTrainError
from snapenv.model.fingerprint import Speed
from snapenv.ports import Completed
from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import pack
from snapenv.verify.smoke_train import (
    explain_failure,
    parse_fingerprint,
    smoke_train,
)
from tests.probe.environments import compile_library
from tests.verify.told import Told

RECORDED = Path(__file__).parents[1] / "recorded" / "smoke_train"
ANSWER = (RECORDED / "ultralytics-8.4.190-cpu.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "smoke_train.pyz"
    path.write_bytes(pack("snapenv_train"))
    return path


def run_with(program: Path, code: str, *arguments: str) -> str:
    """Run code that can import the program's modules, and give what it prints."""
    done = subprocess.run(
        (
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(program)!r})\n{code}",
            *arguments,
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_recorded_answer_becomes_a_fingerprint() -> None:
    fingerprint = parse_fingerprint(ANSWER)

    assert len(fingerprint.losses) == 10
    assert fingerprint.values[0] == 60.418460845947266
    assert fingerprint.conditions.device == "cpu"
    assert fingerprint.conditions.ultralytics == "8.4.190"
    assert fingerprint.conditions.torch == "2.11.0+cu130"
    assert fingerprint.conditions.arguments["optimizer"] == '"SGD"'
    assert fingerprint.speed
    assert fingerprint.speed.peak_gpu_memory_mib is None
    assert fingerprint.speed.loading_share
    assert [operator.name for operator in fingerprint.operators] == [
        f"{family} {numbers}"
        for numbers, families in (
            ("fp32", ("matmul", "convolution", "reduction", "nms")),
            ("bf16", ("matmul", "convolution", "reduction")),
        )
        for family in families
    ]
    assert "site/torch/lib/libtorch_cpu.so" in {library.path for library in fingerprint.libraries}
    assert fingerprint.afterwards is None


def test_no_path_is_part_of_a_fingerprint() -> None:
    arguments = parse_fingerprint(ANSWER).conditions.arguments

    assert not {"data", "project", "name", "save_dir", "device"} & arguments.keys()
    assert not any("/" in value for value in arguments.values())


def test_a_banner_before_the_answer_is_passed_over() -> None:
    banner = "=== NVIDIA PyTorch ===\nsnapenv-smoke-trains are fun\n"

    assert parse_fingerprint(banner + ANSWER) == parse_fingerprint(ANSWER)


@pytest.mark.parametrize(
    ("stdout", "message"),
    [
        ("", wording("the smoke-train's answer cannot be read: 0 answers instead of one")),
        (ANSWER * 2, wording("the smoke-train's answer cannot be read: 2 answers instead of one")),
        (
            "snapenv-smoke-train: {",
            wording("the smoke-train's answer cannot be read: Input data was truncated"),
        ),
        (
            "snapenv-smoke-train: {}",
            wording(
                "the smoke-train's answer cannot be read: Object missing required field `losses`"
            ),
        ),
        (
            ANSWER.replace('"threads": 1', '"threads": "1"'),
            wording(
                "the smoke-train's answer cannot be read: conditions.threads: Expected `int`, got `str`"
            ),
        ),
        (
            ANSWER.replace('["0x1', '["not', 1),
            wording(
                "the smoke-train's answer cannot be read: losses[0]: Expected `str` matching regex '\\\\A(-?(0x[01]\\\\.[0-9a-f]{1,13}p[+-]([0-9]{1,3}|10[01][0-9]|102[0-3])|inf)|nan)\\\\Z'"
            ),
        ),
    ],
)
def test_an_answer_of_another_form_is_refused(stdout: str, message: str) -> None:
    with pytest.raises(SmokeTrainError) as caught:
        parse_fingerprint(stdout)

    assert str(caught.value) == message


def test_the_program_is_packed_to_the_same_bytes_each_time() -> None:
    first = pack("snapenv_train")
    pack.cache_clear()

    assert pack("snapenv_train") == first
    assert pack("snapenv_train") is not first


def test_the_program_needs_nothing_of_snapenv() -> None:
    with zipfile.ZipFile(io.BytesIO(pack("snapenv_train"))) as packed:
        sources = {name: packed.read(name).decode() for name in packed.namelist()}

    assert "__main__.py" in sources
    assert all(name == "__main__.py" or name.startswith("snapenv_") for name in sources)
    assert not [
        name for name, text in sources.items() if re.search(r"(import|from) snapenv\b", text)
    ]
    assert "def nvmlInit()" in sources["snapenv_pynvml.py"]


def test_an_environment_without_ultralytics_is_named(tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", symlinks=True)
    target = LocalTarget(str(tmp_path / "empty" / "bin" / "python"))

    with pytest.raises(SmokeTrainError) as caught:
        smoke_train(target, device="auto", task=Told())

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "ultralytics is not installed in the environment of TMP/empty/bin/python"
    )
    assert target.python in caught.value.message
    assert "--no-smoke" in caught.value.hint


@pytest.mark.parametrize(
    ("modules", "message", "hint"),
    [
        (
            ("ultralytics",),
            wording("torch is not installed in the environment of TMP/empty/bin/python"),
            "Install torch",
        ),
        (
            ("ultralytics", "torch"),
            wording("OpenCV cannot be imported by TMP/empty/bin/python: No module named 'cv2'"),
            "headless",
        ),
        (
            ("ultralytics", "torch", "cv2"),
            wording(
                "the smoke-train failed: AttributeError: module 'torch' has no attribute 'set_num_threads'"
            ),
            "one epoch",
        ),
    ],
)
def test_what_an_environment_lacks_is_named(
    modules: tuple[str, ...],
    message: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venv.create(tmp_path / "empty", symlinks=True)
    for name in modules:
        (tmp_path / f"{name}.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    target = LocalTarget(str(tmp_path / "empty" / "bin" / "python"))

    with pytest.raises(SmokeTrainError) as caught:
        smoke_train(target, device="cpu", task=Told())

    assert str(caught.value).replace(str(tmp_path), "TMP") == message
    assert hint in caught.value.hint


def test_a_library_that_opencv_lacks_is_named_with_the_packages_that_bring_it() -> None:
    stderr = "snapenv-smoke-train: libGL.so.1: cannot open shared object file\n"

    error = explain_failure(Completed(exit_code=5, stdout="", stderr=stderr), python="python3")

    assert error.message == wording(
        "OpenCV cannot be imported by python3: libGL.so.1: cannot open shared object file"
    )
    assert "apt-get install libgl1 libglib2.0-0" in error.hint
    assert "opencv-python-headless" in error.hint


def test_a_crash_of_unknown_cause_is_told_by_its_own_words() -> None:
    stderr = "Traceback (most recent call last):\n ...\nsnapenv-smoke-train: KeyError: 'x'\nbye\n"

    error = explain_failure(Completed(exit_code=1, stdout="", stderr=stderr), python="python3")

    assert error.message == wording("the smoke-train failed: KeyError: 'x'")
    assert error.hint == wording(
        "Train for one epoch in this environment yourself: it does not train."
    )


@pytest.mark.parametrize("exit_code", [-signal.SIGKILL, 128 + signal.SIGKILL])
def test_a_signal_is_named(exit_code: int) -> None:
    done = Completed(exit_code=exit_code, stdout="", stderr="")

    assert "killed by SIGKILL" in explain_failure(done, python="python3").message


def test_a_program_that_says_nothing_is_told_as_such() -> None:
    done = Completed(exit_code=1, stdout="", stderr="")

    assert explain_failure(done, python="python3").message == wording(
        "the smoke-train failed: no output"
    )


def test_every_exit_code_of_the_program_has_its_words(program: Path) -> None:
    code = (
        "import snapenv_train.failures as f; "
        "print(*(c.exit_code for c in vars(f).values() if isinstance(c, type)))"
    )

    codes = {int(text) for text in run_with(program, code).split()} - {1}

    assert codes == {3, 4, 5, 6, 7, 8, 9}
    for exit_code in codes:
        done = Completed(exit_code=exit_code, stdout="", stderr="")
        assert "smoke-train failed" not in explain_failure(done, python="p").message


def test_the_data_is_what_its_hash_says_and_the_same_as_recorded(
    program: Path, tmp_path: Path
) -> None:
    code = (
        "import pathlib, snapenv_train.images as i; "
        "print(i.make_data(pathlib.Path(sys.argv[1]), 40)[1]); "
        "print(i.draw_image(0)[1].decode())"
    )

    sha256, *labels = run_with(program, code, str(tmp_path / "data")).splitlines()

    assert sha256 == parse_fingerprint(ANSWER).conditions.images_sha256
    assert labels == (tmp_path / "data/labels/000.txt").read_text().splitlines()
    assert len(list((tmp_path / "data/images").iterdir())) == 40


def test_every_label_is_a_box_inside_its_image(program: Path, tmp_path: Path) -> None:
    code = "import pathlib, snapenv_train.images as i; i.make_data(pathlib.Path(sys.argv[1]), 40)"
    run_with(program, code, str(tmp_path / "data"))

    lines = [
        line.split()
        for path in (tmp_path / "data/labels").iterdir()
        for line in path.read_text().splitlines()
    ]

    assert len(lines) == 80
    assert {kind for kind, *_ in lines} == {"0", "1"}
    for _, *box in lines:
        x, y, width, height = map(float, box)
        assert width / 2 <= x <= 1 - width / 2
        assert height / 2 <= y <= 1 - height / 2
        assert 24 / 64 <= min(width, height) <= max(width, height) < 48 / 64


def test_a_refused_network_reaches_not_even_this_machine(program: Path) -> None:
    code = """
import socket, snapenv_train.surroundings as offline
listener = socket.create_server(("127.0.0.1", 0))
def reach(action):
    try:
        action()
    except OSError as error:
        return error.strerror
    return "reached"
actions = (
    lambda: socket.socket().connect(listener.getsockname()),
    lambda: socket.getaddrinfo("localhost", 80),
    lambda: socket.gethostbyname("localhost"),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", listener.getsockname()),
)
print(*map(reach, actions), sep=",")
offline.refuse_network()
print(*map(reach, actions), sep=",")
one, other = socket.socketpair()
one.send(b"here")
print(other.recv(4).decode())
"""

    before, after, pair = run_with(program, code).splitlines()

    assert before == ",".join(["reached"] * 4)
    assert after == wording(
        "the smoke-train has no network,the smoke-train has no network,the smoke-train has no network,the smoke-train has no network"
    )
    assert pair == "here"


def test_an_old_ultralytics_is_given_no_argument_that_it_does_not_know(program: Path) -> None:
    code = (
        "import snapenv_train.training as p; "
        "print(sorted(p.choose_arguments({'lr0', 'batch', 'hydra'}).items()))"
    )

    assert run_with(program, code) == "[('batch', 4), ('lr0', 0.001)]"


def test_the_speed_leaves_the_first_step_out(program: Path) -> None:
    code = """
import json, snapenv_train.speed as speed
stopwatch = speed.Stopwatch()
stopwatch._began = [0.0, 0.05, 0.1, 0.225]
stopwatch._ended = [0.0, 0.1, 0.2, 0.5]
print(json.dumps(stopwatch.measure(4)))
"""
    speed = Speed(images_per_s=24.0, step_ms_median=100.0, step_ms_p95=300.0, loading_share=0.15)

    told = json.loads(run_with(program, code))

    assert Speed(**told) == speed


def test_the_place_is_described_as_the_process_may_use_it(program: Path) -> None:
    code = """
import json, os, pathlib, snapenv_train.speed as speed
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(json.dumps(speed.describe_place()))
speed._SHM = pathlib.Path("/nowhere")
print(json.dumps(speed.describe_place()))
"""

    here, without = map(json.loads, run_with(program, code).splitlines())

    assert here["cpu_count"] == 1
    assert here["shm_bytes"] is None or here["shm_bytes"] > 0
    assert without["shm_bytes"] is None


def test_a_quota_of_the_control_group_limits_the_processors(program: Path, tmp_path: Path) -> None:
    quotas = {"max 100000": len(os.sched_getaffinity(0)), "50000 100000": 1}
    code = """
import pathlib, sys, snapenv_train.speed as speed
speed._QUOTA = pathlib.Path(sys.argv[1])
print(speed._cpu_count())
"""

    for text, expected in quotas.items():
        (tmp_path / "cpu.max").write_text(f"{text}\n")
        assert int(run_with(program, code, str(tmp_path / "cpu.max"))) == expected


@pytest.mark.parametrize(
    ("file", "soname", "version"),
    [
        ("libcudnn.so.9", "libcudnn.so.9", None),
        ("libc10.so", "libc10.so", None),
        ("libstdc++.so.6.0.30", "libstdc++.so.6", "6.0.30"),
        ("libcudart.41118559.so.12", "libcudart.so.12", None),
        ("libjpeg-6dc8d115.so.62.4.0", "libjpeg.so.62", "62.4.0"),
        ("libopenblasp-r0-59ffcd50.3.15.so", "libopenblasp-r0.3.15.so", None),
        ("libscipy_openblas64_-32a4b2a6.so", "libscipy_openblas64_.so", None),
        ("cv2.abi3.so", "cv2.abi3.so", None),
    ],
)
def test_a_librarys_name_tells_soname_and_version(
    file: str, soname: str, version: str | None, program: Path
) -> None:
    code = (
        "import json; from snapenv_train import libraries; "
        "print(json.dumps(libraries.split_name(sys.argv[1])))"
    )

    assert json.loads(run_with(program, code, file)) == [soname, version]


def test_only_libraries_that_matter_are_listed(program: Path) -> None:
    lines = [
        "7f00-7f01 r-xp 00000000 fe:00 1   /env/torch/lib/libtorch_cpu.so",
        "7f01-7f02 r--p 00001000 fe:00 1   /env/torch/lib/libtorch_cpu.so",
        "7f02-7f03 r-xp 00000000 fe:00 2   /env/of me/libcublasLt.so.13",
        "7f03-7f04 r-xp 00000000 fe:00 3   /usr/lib/libuuid.so.1",
        "7f04-7f05 rw-p 00000000 00:00 0   [heap]",
        "7f05-7f06 rw-s 00000000 00:05 4   /dev/nvidia0",
        "7f06-7f07 rw-p 00000000 00:00 0",
    ]
    code = (
        "from snapenv_train import libraries; "
        "print(*sorted(libraries.mapped_files(sys.argv[1:])), sep='\\n')"
    )

    assert run_with(program, code, *lines).splitlines() == [
        "/env/of me/libcublasLt.so.13",
        "/env/torch/lib/libtorch_cpu.so",
    ]


def test_a_library_that_is_there_from_two_files_is_listed_twice(
    program: Path, tmp_path: Path
) -> None:
    answers = {"one/libnccl.so.2": 22809, "other/libnccl-0123abcd.so.2": 2804}
    for name, number in answers.items():
        source = f"int ncclGetVersion(int *number) {{ *number = {number}; return 0; }}"
        compile_library(tmp_path / name, source)
    code = """
import ctypes, json, os, pathlib
os.environ["HOME"] = sys.argv[1]
import snapenv_train.libraries as libraries, snapenv_train.libraries as paths
loaded = [ctypes.CDLL(path) for path in sys.argv[2:]]
print(json.dumps(libraries.list_mapped(paths.Paths(work="/nowhere"))))
"""

    listed = run_with(program, code, str(tmp_path), *(str(tmp_path / name) for name in answers))

    assert [library for library in json.loads(listed) if "nccl" in library["soname"]] == [
        {"soname": "libnccl.so.2", "path": "~/one/libnccl.so.2", "version": "2.28.9"},
        {"soname": "libnccl.so.2", "path": "~/other/libnccl-0123abcd.so.2", "version": "2.8.4"},
    ]


def test_paths_are_told_without_saying_where_the_environment_lies(
    program: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "me" / "env", symlinks=True)
    python = tmp_path / "me" / "env" / "bin" / "python"
    code = f"""
import os, sys, sysconfig; sys.path.insert(0, {str(program)!r})
os.environ["HOME"] = {str(tmp_path / "me")!r}
from snapenv_train.libraries import Paths
paths, site = Paths(work="/work/here"), sysconfig.get_path("purelib")
print(paths.name(site + "/torch/lib/libc10.so"))
print(paths.name(sys.prefix + "/lib/libz.so.1"))
print(paths.name(os.environ["HOME"] + "/lib/libz.so.1"))
print(paths.name("/usr/lib/libz.so.1"))
print(paths.censor(f"no {{site}}/x.py, no /work/here/best.pt, not in {{sys.prefix}}"))
"""

    done = subprocess.run((python, "-c", code), capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == wording(
        [
            "site/torch/lib/libc10.so",
            "lib/libz.so.1",
            "~/lib/libz.so.1",
            "/usr/lib/libz.so.1",
            "no site/x.py, no work/best.pt, not in environment",
        ]
    )


def test_an_error_is_told_by_its_first_line_without_colours(program: Path) -> None:
    code = r"""
import snapenv_train.training as training
print(training.tell(ValueError("Weights \x1b[1monly\x1b[0m load failed.\nMore\n")))
"""

    assert run_with(program, code) == wording("ValueError: Weights only load failed.")
