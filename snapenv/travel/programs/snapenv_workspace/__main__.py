"""Run one part of a workspace: ``serve``, ``status``, ``sshd``, ``kernel`` or ``events``.

``kernel`` runs on the environment's own Python (3.8 or newer), ``events`` on the Python that has
TensorBoard; the others need nothing but the standard library.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the part that the first word names, and return its exit code."""
    part = sys.argv.pop(1)
    if part == "kernel":
        from snapenv_workspace import kernel

        kernel.start(sys.argv.pop(1))
        return 0
    if part == "events":
        from snapenv_workspace import events

        return events.follow(*sys.argv[1:])
    if part == "sshd":
        from snapenv_workspace import ssh

        ssh.execute(*sys.argv[1:])
    if part == "status":
        from snapenv_workspace import status

        return status.main()
    from snapenv_workspace import serve

    return serve.main()


if __name__ == "__main__":
    sys.exit(main())
