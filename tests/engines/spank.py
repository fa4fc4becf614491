"""A plug-in of Slurm that takes the options of pyxis, and tells a task what they were.

pyxis itself is no package of Debian's. This one starts no container.
Source: https://slurm.schedmd.com/spank.html, https://github.com/NVIDIA/pyxis
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engines.place import call, install

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = {
    "gcc": "cc",
    "libc6-dev": "/usr/include/stdio.h",
    "libslurm-dev": "/usr/include/slurm/spank.h",
}
_SOURCE = """\
#include <slurm/spank.h>
#include <stdio.h>

SPANK_PLUGIN(like_pyxis, 1)

static char given[4][4096];

static int keep(int value, const char *text, int remote) {
    snprintf(given[value], sizeof given[value], "%s", text && *text ? text : "yes");
    return 0;
}

struct spank_option spank_options[] = {
    {"container-image", "IMAGE", "an image of enroot", 1, 0, keep},
    {"container-mounts", "MOUNTS", "SRC:DST[:FLAGS]", 1, 1, keep},
    {"container-workdir", "PATH", "where the task starts", 1, 2, keep},
    {"no-container-mount-home", NULL, "without the home", 0, 3, keep},
    SPANK_OPTIONS_TABLE_END
};

int slurm_spank_task_init(spank_t spank, int count, char **words) {
    spank_setenv(spank, "PYXIS_IMAGE", given[0], 1);
    spank_setenv(spank, "PYXIS_MOUNTS", given[1], 1);
    spank_setenv(spank, "PYXIS_WORKDIR", given[2], 1);
    spank_setenv(spank, "PYXIS_NO_HOME", given[3], 1);
    return 0;
}
"""


def make_plug_in(folder: Path) -> str:
    """Compile the plug-in in a folder; return the line of slurm.conf that loads it.

    Raises:
        UnavailableError: It cannot be made here.
    """
    install(PACKAGES)
    source, library, stack = (folder / name for name in ("pyxis.c", "pyxis.so", "plugstack.conf"))
    source.write_text(_SOURCE)
    call("cc", "-shared", "-fPIC", "-o", str(library), str(source))
    stack.write_text(f"required {library}\n")
    return f"PlugStackConfig={stack}\n"
