"""Look at the environment: what is installed, what its files are, and what compiled code needs."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import probe_beside
import probe_cuda
import probe_distributions
import probe_hashing
import probe_native
import probe_outside
import probe_reach
import probe_torch
import probe_unowned
from probe_apart import Apart

if TYPE_CHECKING:
    from probe_index import Index
    from probe_tree import Tree


def look(
    path: list[str], tree: Tree, index: Index, carry: Sequence[str] = ()
) -> tuple[dict[str, Any], set[str] | None]:
    """Give what is seen, and the paths besides the tree's that it hangs on.

    That is ``environment`` and ``native`` as snapenv's ``Facts`` has them, and ``cuda``, the
    libraries that can be asked. The paths are None where they cannot be named.
    """
    everything = probe_distributions.find(path)
    visible = probe_distributions.visible(everything)
    reach = probe_reach.find(tree, everything, visible, carry)
    native = Apart(
        probe_native.look, visible, tree, reach
    )  # forked before the first thread is there
    loose = probe_unowned.find(tree, everything, reach)
    hashed = probe_hashing.hash_files(
        {
            *(entry.file for found in visible for entry in found.digested),
            *(one.file for one in loose if one.is_file),
        },
        index,
        tree.statuses(),
    )
    folder = probe_torch.find(path)
    torch = probe_torch.facts(folder)
    has_cuda = folder and torch and torch["cuda"]
    environment = {
        "distributions": [probe_distributions.facts(found, hashed) for found in visible],
        "unowned": probe_unowned.facts(loose, hashed),
        "outside": probe_outside.find(visible, reach, loose, hashed),
        "import_path": reach.path,
        "not_carried": reach.not_carried,
        "torch": torch,
    }
    compiled = native.answer()
    environment["notes"] = [*reach.notes, *(compiled["notes"] if compiled else ())]
    seen = {
        "environment": environment,
        "native": compiled
        and {
            "kernels": compiled["kernels"],
            "libraries": compiled["libraries"],
            "cublas": probe_cuda.cublas(path, folder) if has_cuda else None,
        },
        "cuda": probe_cuda.find(path, folder) if has_cuda else {},
    }
    is_alone = compiled and not reach.leads_out
    beside = probe_beside.find(path, tree, everything, visible) if is_alone else None
    return seen, beside and beside.union(compiled["looked_at"])
