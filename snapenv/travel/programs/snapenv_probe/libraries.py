"""cuDNN and NCCL, each loaded in a process of its own and asked for its version.

Sources:
https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html
https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api/comms.html
"""

from __future__ import annotations

from snapenv_probe.apart import Apart

TYPE_CHECKING = False  # as in file_tree
if TYPE_CHECKING:
    import ctypes

_OLD, _NEW = 1000, 10000  # what the major version is multiplied by


def versions(files: dict[str, str | None], before: dict[str, str | None]) -> dict[str, str | None]:
    """Return the version of each library; None of one that does not load.

    ``before`` are those of files which have not changed, nor has what they are linked with: these
    are not loaded again.
    """
    known = {name: version for name, version in before.items() if version and files.get(name)}
    asked = ask({name: file for name, file in files.items() if name not in known})
    return {**known, **{name: child.answer() for name, child in asked.items()}}


def ask(files: dict[str, str | None]) -> dict[str, Apart]:
    """Start asking; a library without a file is left to the loader."""
    return {name: Apart(_ASK[name], file) for name, file in files.items()}


def _cudnn(file: str | None) -> str:
    """Ask cuDNN.

    Raises:
        OSError: There is none, or it does not load.
    """
    import ctypes  # in the child alone

    library = _load([file] if file else ["libcudnn.so.9", "libcudnn.so.8"])
    library.cudnnGetVersion.restype = ctypes.c_size_t
    return _dotted(int(library.cudnnGetVersion()))


def _nccl(file: str | None) -> str:
    """Ask NCCL.

    Raises:
        OSError: There is none, or it does not load.
    """
    import ctypes  # in the child alone

    version = ctypes.c_int()
    _load([file or "libnccl.so.2"]).ncclGetVersion(ctypes.byref(version))
    return _dotted(version.value)


def _load(names: list[str]) -> ctypes.CDLL:
    """Load the first that is there."""
    import ctypes  # in the child alone

    first, *others = names
    try:
        return ctypes.CDLL(first)
    except OSError:
        if others:
            return _load(others)
        raise


def _dotted(version: int) -> str:
    """Take a version apart: 8907 is 8.9.7, 91900 is 9.19.0.

    cuDNN 9 and NCCL 2.9 moved from thousands to ten thousands.
    """
    major, rest = divmod(version, _NEW if version >= _NEW else _OLD)
    return f"{major}.{rest // 100}.{rest % 100}"


_ASK = {"cudnn": _cudnn, "nccl": _nccl}
