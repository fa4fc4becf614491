#!/bin/sh
# Carry an environment to a machine without any network: every wheel travels in one file.
#
#     air_gap.sh pack PYTHON FILE.tar      where there is a network
#     air_gap.sh unpack FILE.tar FOLDER    where there is none; needs the same version of Python
set -eu

case $1 in
pack)
    python=$2
    file=$3
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    snapenv capture --vendor all --python "$python" -o "$work/snapshot"
    tar -cf "$file" -C "$work" snapshot
    ;;
unpack)
    file=$2
    into=$3
    tar -xf "$file"
    snapenv restore snapshot --engine venv --into "$into"
    ;;
*)
    echo "usage: air_gap.sh pack PYTHON FILE.tar | unpack FILE.tar FOLDER" >&2
    exit 2
    ;;
esac
