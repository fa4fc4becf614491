#!/bin/sh
# Restore a snapshot in a CI job, and fail the job if the result does not match the capture.
#
#     ci.sh SNAPSHOT FOLDER
#
# Writes result.json and report.html, for the job's artifacts.
set -eu

snapshot=$1
into=$2

restore() {
    snapenv --json restore "$snapshot" --engine venv --into "$into" --report report.html >result.json
}

code=0
restore || code=$?
if [ "$code" -eq 4 ]; then # an index or a disk failed, not the environment: retry once
    sleep "${RETRY_SECONDS:-30}"
    code=0
    restore || code=$?
fi
case $code in
0) echo "the environment is the one that was captured" ;;
1) echo "the environment does not match the capture: see report.html" ;;
*) echo "the restore failed: see result.json" ;;
esac
exit "$code"
