#!/bin/sh
# Carry an environment to a machine without any network: every wheel travels in one file.
#
#     air_gap.sh pack PYTHON FILE      where there is a network
#     air_gap.sh unpack FILE FOLDER    where there is none; needs the same version of Python
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
