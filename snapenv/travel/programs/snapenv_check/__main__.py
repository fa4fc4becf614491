"""Refuse a Python that is too old by its version, else check, or train.

This file alone is also understood by Python 2.7 and 3.6.
"""

import gc
import sys

if sys.version_info < (3, 8):  # noqa: UP036 - it runs wherever it is sent
    sys.stderr.write("snapenv-check: Python %d.%d is too old\n" % sys.version_info[:2])  # noqa: UP031
    sys.exit(3)

if sys.argv[1:2] == ["--train"]:
    from snapenv_train import smoke

    del sys.argv[1]
    sys.exit(smoke.main())

gc.disable()  # it would look through 100,000 statuses again and again, for nothing

from snapenv_probe import start  # noqa: E402 - of a Python that is new enough

start.protect()

from snapenv_check import command  # noqa: E402 - by a path that is safe

sys.exit(command.main(sys.argv[1:]))
