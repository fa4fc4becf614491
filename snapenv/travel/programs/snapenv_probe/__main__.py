"""Refuse a Python that is too old by its version, else look and answer, or send files.

With ``--host`` the machine is looked at, and not the environment; with ``--sboms`` the bills of
materials that its wheels carry are sent.

This file alone is also understood by Python 2.7 and 3.6.
"""

import gc
import os
import sys

if sys.version_info < (3, 8):  # noqa: UP036 - it runs wherever it is sent
    sys.stderr.write("snapenv-probe: Python %d.%d is too old\n" % sys.version_info[:2])  # noqa: UP031
    sys.exit(3)

gc.disable()  # it would look through 100,000 paths and statuses again and again, for nothing

from snapenv_probe import start  # noqa: E402 - of a Python that is new enough

start.protect()
if sys.argv[1:2] == ["--collect"]:
    from snapenv_probe import collect

    collect.send(sys.argv[2])
elif sys.argv[1:2] == ["--compile"]:
    from snapenv_probe import bytecode

    bytecode.send(sys.argv[2])
elif sys.argv[1:2] == ["--sboms"]:
    from snapenv_probe import sboms

    sys.stdout.write("\n" + sboms.MARK + sboms.document() + "\n")
elif sys.argv[1:2] == ["--host"]:
    from snapenv_probe import host

    sys.stdout.write("\n" + host.MARK + host.document(sys.argv[2]) + "\n")
else:
    from snapenv_probe import answer

    sys.stdout.write("\n" + answer.MARK + answer.document() + "\n")
    sys.stdout.flush()
    os._exit(0)  # to take apart what was seen takes 10 ms, and nobody has a use for it
