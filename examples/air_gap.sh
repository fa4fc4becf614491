#!/bin/sh
# Move an environment to a machine without a network: one file contains every wheel.
#
#     air_gap.sh pack PYTHON FILE      on a machine with a network
#     air_gap.sh unpack FILE FOLDER    on the machine without one; needs the same version of Python
set -eu

case $1 in
pack)
    python=$2
    file=$3
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    snapenv capture --python "$python" -o "$work/snapshot"
    snapenv export "$work/snapshot" --vendor all -o "$file"
    ;;
unpack)
    file=$2
    into=$3
    snapenv restore "$file" --engine venv --into "$into"
    ;;
*)
    echo "usage: air_gap.sh pack PYTHON FILE | unpack FILE FOLDER" >&2
    exit 2
    ;;
esac
