# Run a program in a folder of its own, for as long as the other side waits for it. For any POSIX
# shell. The words: a mark, the size of the tar that stdin begins with, a Python, a line that
# exports variables, and the program with its arguments. Stdin ends when nobody waits any more.
mark=$1 size=$2 python=$3 variables=$4
shift 4
left=
unpack_with_python='
import io, sys, tarfile
content = io.BytesIO(sys.stdin.buffer.read(int(sys.argv[1])))
tarfile.open(fileobj=content).extractall()
'

answer() {
    printf '%s %s\n' "$mark" "$1" >&2
    exit "$2"
}

unpack() {
    if command -v tar >/dev/null && command -v head >/dev/null; then
        head -c "$size" <&3 | tar -xmof -
    else
        "$python" -I -W ignore -c "$unpack_with_python" "$size" <&3
    fi
}

# sshd gives each session a process group; where another server does not, the program alone ends.
end_when_nobody_waits() {
    cat
    trap '' TERM
    kill -s TERM "$$"
    kill -s TERM -- "-$$"
    kill -s KILL "$(cat "$scratch/pid")"
    rm -rf "$scratch"
    kill -s KILL -- "-$$"
}

exec 3<&0 </dev/null
trap : HUP INT PIPE
trap left=yes TERM
printf '\n%s\n' "$mark"
printf '\n%s\n' "$mark" >&2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/snapenv-XXXXXXXX") || answer unwritten 1
trap 'cd / && rm -rf "$scratch"' EXIT
mkdir "$scratch/run" && cd "$scratch/run" && unpack || answer unwritten 1
end_when_nobody_waits <&3 >/dev/null 2>&1 &
watcher=$!
(
    exec 3<&-
    eval "$variables"
    exec sh -c 'echo $$ >../pid && exec "$@"' sh "$@"
)
status=$?
if [ "$left" ]; then
    trap '' TERM
    wait
fi
kill -s KILL "$watcher"
answer "$status" "$status"
