"""The smoke-train on a real environment: what repeats, what is seen, what is refused.

Faults are planted with a ``sitecustomize.py``, which Python runs before the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.causes import find_cause
from snapenv.errors import SmokeTrainError
from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import pack
from snapenv.verify.fingerprint import compare_fingerprints
from snapenv.verify.smoke_train import smoke_train
from tests.probe.environments import compile_library
from tests.verify.told import Told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.model.fingerprint import Fingerprint

pytestmark = pytest.mark.exact

IN_EVERY_LOSS = """
import os
from ultralytics.utils.loss import v8DetectionLoss
original = v8DetectionLoss.__call__
calls = []
def planted(self, predictions, batch):
    calls.append(1)
    loss, items = original(self, predictions, batch)
    {fault}
    return loss, items
v8DetectionLoss.__call__ = planted
"""

AT_THE_END = """
import os
from ultralytics.engine.trainer import BaseTrainer
final_eval = BaseTrainer.final_eval
def failing(self):
    {fault}
    return final_eval(self)
BaseTrainer.final_eval = failing
"""


CUDA = r"""
#include <stdlib.h>
#include <string.h>
int cuInit(unsigned flags) { return atoi(getenv("CUDA_ERROR")); }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuGetExportTable(const void **table, const void *id) { return 500; }
static int other(void) { return cuInit(0); }
int cuGetProcAddress_v2(const char *name, void **at, int version, unsigned long f, int *status) {
    if (status) *status = 0;
    *at = strcmp(name, "cuInit") == 0 ? (void *)cuInit
        : strcmp(name, "cuDriverGetVersion") == 0 ? (void *)cuDriverGetVersion
        : strncmp(name, "cuGetProcAddress", 16) == 0 ? (void *)cuGetProcAddress_v2
        : (void *)other;
    return 0;
}
int cuGetProcAddress(const char *name, void **at, int version, unsigned long f) {
    return cuGetProcAddress_v2(name, at, version, f, 0);
}
"""  # a libcuda.so.1 that cannot be initialised


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (None, "libnvidia-compute"),
        pytest.param(*(100, "CUDA_VISIBLE_DEVICES"), marks=pytest.mark.full),
        pytest.param(*(802, "nvidia-fabricmanager"), marks=pytest.mark.full),
        pytest.param(*(803, "Reboot"), marks=pytest.mark.full),
        pytest.param(*(804, "compat off LD_LIBRARY_PATH"), marks=pytest.mark.full),
        (999, "nvidia_uvm"),
    ],
)
def test_why_torch_cannot_use_cuda_is_told_in_its_own_words(
    error: int | None, mend: str, exact_python: Path, tmp_path: Path
) -> None:
    (tmp_path / "program.pyz").write_bytes(pack("snapenv_train"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "program.pyz")}
    if error:
        compile_library(tmp_path / "libcuda.so.1", CUDA)
        environment |= {"LD_LIBRARY_PATH": str(tmp_path), "CUDA_ERROR": str(error)}
    code = (
        "import json, snapenv_train.surroundings as s; print(json.dumps(s.choose_device('auto')))"
    )

    done = subprocess.run(
        (exact_python, "-c", code), env=environment, capture_output=True, text=True, check=True
    )

    device, cuda = json.loads(done.stdout)
    assert (device, cuda["available"], cuda["built_for"]) == ("cpu", False, "13.0")
    cause = find_cause(cuda["error"])
    assert cause
    assert mend in cause.fix


@pytest.fixture
def plant(
    exact_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Fingerprint]:
    """Train with something planted."""

    def train(code: str) -> Fingerprint:
        folder = tmp_path / "planted"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
        return smoke_train(LocalTarget(str(exact_python)), device="cpu", task=Told())

    return train


def test_two_trainings_of_one_environment_are_identical_and_leave_nothing_behind(
    trained: Fingerprint, exact_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    for variable in ("HOME", "TMPDIR"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setattr(tempfile, "tempdir", None)  # ours is asked for again

    again = smoke_train(LocalTarget(str(exact_python)), device="auto", task=told)

    assert [*tmp_path.glob("*/*")] == []
    match = compare_fingerprints(trained, again, same_packages=True)
    assert (match.tier, match.differing) == ("identical", ())
    assert again.conditions == trained.conditions
    assert (again.operators, again.libraries) == (trained.operators, trained.libraries)
    assert (trained.afterwards, again.afterwards) == (None, None)
    assert told.notes == [
        "import torch and ultralytics",
        "try each operator",
        *(f"step {step}/10" for step in range(1, 11)),
        "validate and save",
    ]


def test_the_conditions_are_those_that_were_asked_for(trained: Fingerprint) -> None:
    conditions = trained.conditions

    assert (conditions.device, conditions.threads, conditions.tf32) == ("cpu", 1, False)
    assert conditions.arguments["workers"] == "0"
    assert conditions.arguments["mosaic"] == "0.0"
    assert trained.speed
    assert trained.speed.images_per_s > 0
    assert trained.speed.step_ms_median <= trained.speed.step_ms_p95
    assert trained.speed.loading_share
    assert 0 < trained.speed.loading_share < 0.9
    assert trained.speed.cpu_count == len(os.sched_getaffinity(0))
    assert (trained.speed.gpu_utilization, trained.speed.watts) == (None, None)


def test_the_libraries_that_really_ran_are_listed(trained: Fingerprint, exact_python: Path) -> None:
    paths = {library.path for library in trained.libraries}
    versions = {library.soname: library.version for library in trained.libraries}

    assert {"site/torch/lib/libtorch_cpu.so", "site/torchvision/_C.so"} < paths
    assert versions["libcudnn.so.9"] == "9.19.0"
    assert not [path for path in paths if str(exact_python.parents[1]) in path]
    assert list(trained.libraries) == sorted(
        trained.libraries, key=lambda library: (library.soname, library.path)
    )


def test_what_packages_print_set_and_fail_with_around_a_training_changes_nothing_of_it(
    trained: Fingerprint, plant: Callable[[str], Fingerprint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    more_cores = "import os; os.cpu_count = lambda: 8\n"
    printed = IN_EVERY_LOSS.format(fault="print('snapenv-smoke-train: {}'); os.system('echo x')")
    text = r"f'Weights \x1b[1monly\x1b[0m load failed: {os.getcwd()}, {names}' + '\nM'"
    failed = AT_THE_END.format(
        fault="import torch; torch.set_num_threads(2); names = sorted(os.listdir(self.wdir)); "
        f"raise RuntimeError({text})"
    )

    seen = plant(more_cores + printed + failed)

    assert seen.afterwards == wording(
        "RuntimeError: Weights only load failed: work, ['best.pt', 'last.pt']"
    )
    assert compare_fingerprints(trained, seen, same_packages=True).tier == "identical"
    assert (seen.losses, seen.conditions) == (trained.losses, trained.conditions)
    assert seen.conditions.threads == 1


def test_other_instructions_of_the_cpu_give_close_losses(
    trained: Fingerprint, plant: Callable[[str], Fingerprint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")

    match = compare_fingerprints(trained, plant(""), same_packages=True)

    assert match.tier == "close"
    assert match.largest_relative_difference < 1e-5


def test_a_learning_rate_that_is_one_percent_higher_is_seen(
    trained: Fingerprint, plant: Callable[[str], Fingerprint]
) -> None:
    seen = plant(
        "import torch; original = torch.optim.SGD.step\n"
        "def step(self, *rest):\n"
        "    for group in self.param_groups: group['lr'] = 0.00101\n"
        "    return original(self, *rest)\n"
        "torch.optim.SGD.step = step\n"
    )

    match = compare_fingerprints(trained, seen, same_packages=True)
    assert (match.tier, match.first_differing_step) == ("different", 2)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "if len(calls) == 1: raise RuntimeError('CUDA out of memory')",
            "not the one that was asked for: the batch became 2, not 4",
        ),
        ("loss = loss * (0.0 if len(calls) < 4 else float('nan'))", "the loss of step 4 is nan"),
        (
            "os.makedirs(os.path.dirname(__file__) + '/wandb-1.0.dist-info', exist_ok=True)",
            r"packages changed while .* ran: wandb-1.0.dist-info",
        ),
        ("raise KeyError('planted')", "the smoke-train failed: KeyError: 'planted'"),
        (
            "import socket; socket.getaddrinfo('localhost', 80)",
            "wants the network for training: OSError: .* the smoke-train has no network",
        ),
        pytest.param("os.kill(os.getpid(), 9)", "ended by SIGKILL", marks=pytest.mark.full),
    ],
    ids=["batch made smaller", "not a number", "package installed", "crash", "network", "killed"],
)
def test_a_training_that_went_wrong_is_refused_with_its_reason(
    fault: str, message: str, plant: Callable[[str], Fingerprint]
) -> None:
    with pytest.raises(SmokeTrainError, match=message):
        plant(IN_EVERY_LOSS.format(fault=fault))


def test_tf32_that_an_image_asks_for_is_off_and_what_a_package_switches_on_later_is_told(
    trained: Fingerprint, plant: Callable[[str], Fingerprint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    early = "import torch; torch.backends.fp32_precision = 'tf32'\n"
    at_the_sixth = (
        "from torch.backends import cuda, cudnn\n"
        "    off = cuda.matmul.fp32_precision == cudnn.conv.fp32_precision == 'ieee'\n"
        "    assert off or len(calls) > 6\n"
        "    assert 'NVIDIA_TF32_OVERRIDE' not in os.environ\n"
        "    if len(calls) == 6: cudnn.conv.fp32_precision = 'tf32'"
    )

    seen = plant(early + IN_EVERY_LOSS.format(fault=at_the_sixth))

    assert seen.conditions.tf32
    assert seen.losses == trained.losses


def test_a_gpu_that_is_not_there_is_asked_for_in_vain(
    exact_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    with pytest.raises(SmokeTrainError, match="torch sees none: torch 2") as caught:
        smoke_train(LocalTarget(str(exact_python)), device="all", task=Told())

    assert "--device cpu" in caught.value.hint


def test_the_images_are_read_back_as_they_were_hashed(exact_python: Path, tmp_path: Path) -> None:
    program = tmp_path / "smoke_train.pyz"
    program.write_bytes(pack("snapenv_train"))
    code = f"""
import sys; sys.path.insert(0, {str(program)!r})
import hashlib, pathlib, cv2, snapenv_train.images as images
folder = pathlib.Path({str(tmp_path / "data")!r})
print(images.make_data(folder, 5)[1])
content = hashlib.sha256()
for image in sorted((folder / "images").iterdir()):
    content.update(cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB).tobytes())
    content.update((folder / "labels" / (image.stem + ".txt")).read_bytes())
print(content.hexdigest())
"""

    done = subprocess.run(
        (str(exact_python), "-B", "-c", code), capture_output=True, text=True, check=True
    )

    made, read = done.stdout.split()
    assert made == read
