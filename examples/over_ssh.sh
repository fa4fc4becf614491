#!/bin/sh
# Capture an environment on another machine over ssh, and restore it on this one as a venv.
#
#     over_ssh.sh HOST /path/on/HOST/bin/python [FOLDER]
#
# HOST is as for ssh: a name in ~/.ssh/config, or USER@HOST. Nothing is installed there.
set -eu

host=$1
python=$2
into=${3:-.venv}

snapenv capture --ssh "$host" --python "$python" -o snapshot
snapenv restore snapshot --engine venv --into "$into"
