"""Look at the environment: what is installed, what its files are, and what compiled code needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

from snapenv_probe import (
    answer_inputs,
    conda_files,
    distributions,
    hashing,
    native_code,
    outside,
    reachable,
    torch_build,
    untracked,
)
from snapenv_probe.apart import Apart

if TYPE_CHECKING:
    from snapenv_probe.file_tree import Tree
    from snapenv_probe.hash_index import Index


def inspect(
    path: list[str], tree: Tree, index: Index, carry: Sequence[str] = ()
) -> tuple[dict[str, Any], set[str] | None]:
    """Return what is seen, and the paths besides the tree's that it hangs on.

    That is ``environment``, ``native`` and ``conda`` as snapenv's ``Facts`` has them, ``cuda``, the
    libraries that can be asked, and ``loaded``, the files of those of the operating system. The
    paths are None where they cannot be named.
    """
    everything = distributions.find(path)
    visible = distributions.visible(everything)
    reach = reachable.find(tree, everything, visible, carry)
    native = Apart(
        native_code.inspect, visible, tree, reach
    )  # forked before the first thread is there
    prefix = conda_files.find(tree.statuses())
    relinked = prefix.relinked if prefix else frozenset()
    untracked_files = untracked.find(tree, everything, reach, relinked)
    hashed = hashing.hash_files(
        {
            *(entry.file for package in visible for entry in package.digested),
            *(file.file for file in untracked_files if file.is_file),
            *(prefix.files.values() if prefix else ()),
        },
        index,
        tree.statuses(),
    )
    folder = torch_build.find_folder(path)
    torch = torch_build.describe(folder)
    of_cuda = folder if torch and torch["cuda"] else None
    environment = {
        "distributions": [distributions.facts(package, hashed) for package in visible],
        "unowned": untracked.facts(untracked_files, hashed),
        "outside": outside.find(visible, reach, untracked_files, hashed),
        "import_path": reach.path,
        "not_carried": reach.not_carried,
        "torch": torch,
    }
    compiled = native.answer()
    environment["notes"] = [*reach.notes, *(compiled["notes"] if compiled else ())]
    facts = {
        "environment": environment,
        "conda": conda_files.facts(prefix, visible, hashed) if prefix else None,
        "native": compiled
        and {
            "kernels": compiled["kernels"],
            "libraries": compiled["libraries"],
            "cublas": torch_build.find_cublas(path, of_cuda) if of_cuda else None,
        },
        "cuda": torch_build.find_libraries(path, of_cuda) if of_cuda else {},
        "loaded": compiled["loaded"] if compiled else [],
    }
    is_alone = compiled and not reach.leads_out
    beside = answer_inputs.find(path, tree, everything, visible) if is_alone else None
    return facts, beside and beside.union(compiled["looked_at"])
