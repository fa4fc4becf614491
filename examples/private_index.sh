#!/bin/sh
# Capture an environment with packages from a private index, and restore it as a venv.
#
#     PIP_EXTRA_INDEX_URL=https://USER:PASSWORD@example.com/simple/ private_index.sh PYTHON [FOLDER]
#
# The login can also be in pip.conf, uv.toml, ~/.netrc or a keyring. It is used on this machine
# and never written into the snapshot: whoever restores it needs their own login.
set -eu

python=$1
into=${2:-.venv}

snapenv capture --python "$python" -o snapshot
snapenv show snapshot --packages
snapenv restore snapshot --engine venv --into "$into"
