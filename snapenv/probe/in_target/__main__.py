"""Refuse a Python that is too old by its version, else look and answer, or send files.

With ``--host`` the machine is looked at, and not the environment.

This file alone is also understood by Python 2.7 and 3.6.
"""

# mypy: disable-error-code="import-not-found"

import gc
import os
import sys

if sys.version_info < (3, 8):  # noqa: UP036 - it runs wherever it is sent
    sys.stderr.write("snapenv-probe: Python %d.%d is too old\n" % sys.version_info[:2])  # noqa: UP031
    sys.exit(3)

gc.disable()  # it would look through 100,000 paths and statuses again and again, for nothing

import probe_start  # noqa: E402 - of a Python that is new enough

probe_start.protect()
if sys.argv[1:2] == ["--collect"]:
    import probe_collect

    probe_collect.send(sys.argv[2])
elif sys.argv[1:2] == ["--compile"]:
    import probe_compile

    probe_compile.send(sys.argv[2])
elif sys.argv[1:2] == ["--host"]:
    import probe_host

    sys.stdout.write("\n" + probe_host.MARK + probe_host.document(sys.argv[2]) + "\n")
else:
    import probe_answer

    sys.stdout.write("\n" + probe_answer.MARK + probe_answer.document() + "\n")
    sys.stdout.flush()
    os._exit(0)  # to take apart what was seen takes 10 ms, and nobody has a use for it
