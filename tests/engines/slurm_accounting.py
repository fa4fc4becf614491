"""Slurm's accounting of its own: slurmdbd, and the MariaDB that it writes to.

Both are Debian's, unpacked beside the system; they authenticate nobody.
Source: https://slurm.schedmd.com/accounting.html, https://slurm.schedmd.com/slurmdbd.conf.html
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

from tests.engines.place import UnavailableError, call, free_port
from tests.engines.prometheus import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.engines.place import Place

_PACKAGES = (
    "^libaio1(t64)?$",  # as Debian 12 names it, and Debian 13
    "libdaxctl1",  # which MariaDB needs on Ubuntu, as libndctl6 and libpmem1
    "^lib(mariadb3|mysqlclient21)$",  # of Slurm, as Debian builds it, and Ubuntu
    "libndctl6",
    "libnuma1",
    "libpmem1",
    "liburing2",
    "mariadb-client-core",
    "mariadb-common",
    "mariadb-server-core",
    "slurm-wlm-mysql-plugin",
    "slurmdbd",
)
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_DATABASE = """\
[mysqld]
basedir={root}/usr
datadir={folder}/data
socket={folder}/socket
pid-file={folder}/mariadb.pid
user=root
skip-networking
innodb-buffer-pool-size=32M
innodb-log-file-size=8M
innodb-flush-log-at-trx-commit=0
"""
_SLURMDBD = """\
AuthType=auth/none
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageUser=root
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
PluginDir={plugins}
"""
_CONTROLLER = """\
PluginDir={plugins}
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStorageTRES=gres/gpu,gres/gpu:h100
AccountingStoreFlags=job_comment
"""
_WITHIN_S = 90.0


def find_accounting(place: Place) -> Path:
    """Return the folder with the programs, unpacked if it is not there.

    Raises:
        UnavailableError: They cannot be had here.
    """
    return unpack(place, "slurm-accounting", _PACKAGES)


@contextlib.contextmanager
def run_accounting(root: Path, folder: Path) -> Iterator[str]:
    """Yield what a slurm.conf in a folder needs to be accounted for, until the block ends.

    Raises:
        UnavailableError: It does not start.
    """
    libraries = root / _LIBRARIES
    plugins = f"/{_LIBRARIES}/slurm-wlm:{libraries}/slurm-wlm"
    port = free_port()
    variables = {
        "LD_LIBRARY_PATH": str(libraries),
        "MYSQL_UNIX_PORT": str(folder / "socket"),
        "SLURM_CONF": str(folder / "slurm.conf"),
    }
    defaults = folder / "mariadb.cnf"
    defaults.write_text(_DATABASE.format(root=root, folder=folder))
    config = folder / "slurmdbd.conf"
    config.write_text(_SLURMDBD.format(port=port, folder=folder, plugins=plugins))
    config.chmod(0o600)
    call(
        str(root / "usr/bin/mariadb-install-db"),
        f"--defaults-file={defaults}",
        f"--basedir={root}/usr",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        environment=variables,
    )
    with contextlib.ExitStack() as stack:
        # slurmdbd makes it where it could not connect to it, but then goes on with that connection,
        # which gets no answers by Debian 13's library.
        (folder / "init.sql").write_text("CREATE DATABASE slurm;\n")
        database = (
            str(root / "usr/sbin/mariadbd"),
            f"--defaults-file={defaults}",
            f"--init-file={folder}/init.sql",
        )
        stack.enter_context(_running(database, variables, folder / "mariadb.log"))
        _wait_for((folder / "socket").exists, folder / "mariadb.log")
        # slurmdbd looks for its controllers' slurm.conf, which is written after it has started.
        (folder / "slurm.conf").write_text(
            f"ClusterName=tests\nSlurmctldHost=localhost\nPluginDir={plugins}\n"
        )
        daemon = (str(root / "usr/sbin/slurmdbd"), "-D")
        stack.enter_context(_running(daemon, variables, folder / "slurmdbd.out"))
        log = folder / "slurmdbd.log"
        _wait_for(lambda: log.exists() and "started" in log.read_text(), log)
        controller = _CONTROLLER.format(port=port, plugins=plugins)
        (folder / "slurm.conf").write_text(
            f"ClusterName=tests\nSlurmctldHost=localhost\nAuthType=auth/none\n{controller}"
        )
        call("sacctmgr", "--immediate", "add", "cluster", "tests", environment=variables)
        yield controller


@contextlib.contextmanager
def _running(argv: Sequence[str], variables: Mapping[str, str], log: Path) -> Iterator[None]:
    with (
        log.open("wb") as output,
        subprocess.Popen(
            argv, env={**os.environ, **variables}, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def _wait_for(started: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + _WITHIN_S
    while not started():
        if time.monotonic() > until:
            text = log.read_text(errors="replace")[-500:] if log.exists() else "no word"
            raise UnavailableError(f"Slurm's accounting does not start here: {text}")
        time.sleep(0.1)
