/* Preloaded into a command and all that it starts: counts what they write below some folders, and at
 * a call of a given number lets it fail, end, wait, or see another time.
 *
 * FIRE_STATE  a file of 64 bytes that all processes share: how many calls there were, and what ended
 * FIRE_UNDER  the folders, one a line
 * FIRE_TRACE  each call is written here: number, name, device, inode, size before, path
 * FIRE_DO     count, fail, stop, kill, slow or clock
 * FIRE_FROM, FIRE_TO  the calls that it is done to, counted from 1
 * FIRE_VALUE  of fail an errno, of slow milliseconds, of clock seconds
 *
 * What is set here is hidden from the program, so that one that looks at its variables sees none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { COUNT, FAIL, STOP, KILL, SLOW, CLOCK };
enum { NO_SPACE_NEEDED = 1, SYNCS = 2 };

struct state {
    _Atomic uint64_t calls;
    _Atomic int32_t ended;  /* 1: every process ends at its next call */
    _Atomic int32_t first;  /* the process that was started first */
    _Atomic uint64_t hit;   /* the first call that something was done to */
};

static struct state *shared;
static char under[8][PATH_MAX], trace[PATH_MAX];
static int folders, what;
static uint64_t from, to;
static int64_t value;
static char kept[8][PATH_MAX + 64]; /* NAME=value of each variable above, and LD_PRELOAD */
static int kept_count;
extern char **environ;

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static const char *const OURS[] = {"LD_PRELOAD", "FIRE_STATE", "FIRE_UNDER", "FIRE_TRACE",
                                   "FIRE_DO", "FIRE_FROM", "FIRE_TO", "FIRE_VALUE"};

__attribute__((constructor)) static void begin(void) {
    const char *state = getenv("FIRE_STATE");
    if (!state) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, state, O_RDWR | O_CLOEXEC, 0);
    if (file < 0) return;
    void *memory = mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (memory == MAP_FAILED) return;
    const char *list = getenv("FIRE_UNDER"), *asked = getenv("FIRE_DO"), *text;
    while (list && *list && folders < 8) {
        size_t size = strcspn(list, "\n");
        snprintf(under[folders++], PATH_MAX, "%.*s", (int)size, list);
        list += size + (list[size] == '\n');
    }
    if ((text = getenv("FIRE_TRACE"))) snprintf(trace, sizeof trace, "%s", text);
    const char *const words[] = {"count", "fail", "stop", "kill", "slow", "clock"};
    for (int i = 0; asked && i < 6; i++)
        if (!strcmp(asked, words[i])) what = i;
    from = (text = getenv("FIRE_FROM")) ? strtoull(text, NULL, 10) : UINT64_MAX;
    to = (text = getenv("FIRE_TO")) ? strtoull(text, NULL, 10) : UINT64_MAX;
    value = (text = getenv("FIRE_VALUE")) ? strtoll(text, NULL, 10) : 0;
    for (size_t i = 0; i < sizeof OURS / sizeof *OURS; i++) {
        if (!(text = getenv(OURS[i]))) continue;
        snprintf(kept[kept_count++], sizeof *kept, "%s=%s", OURS[i], text);
    }
    for (size_t i = 0; i < sizeof OURS / sizeof *OURS; i++) unsetenv(OURS[i]);
    shared = memory;
    int none = 0;
    __atomic_compare_exchange_n((int32_t *)&shared->first, &none, (int32_t)getpid(), 0,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* ---- which calls count ---- */

static int is_below(const char *path) {
    for (int i = 0; i < folders; i++) {
        size_t size = strlen(under[i]);
        if (!strncmp(path, under[i], size) && (path[size] == '/' || !path[size])) return 1;
    }
    return 0;
}

static const char *of_handle(int handle, char *into) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", handle);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, name, into, PATH_MAX - 1);
    into[size > 0 ? size : 0] = 0;
    return into;
}

static const char *absolute(int folder, const char *path, char *into) {
    char above[PATH_MAX] = "";
    int end = 0;
    /* A folder that is held open is named by its number. */
    if (path && sscanf(path, "/proc/self/fd/%d/%n", &folder, &end) == 1 && end) path += end;
    if (!path || *path == '/') {
        snprintf(into, PATH_MAX, "%s", path ? path : "");
        return into;
    }
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, above, sizeof above) < 0) *above = 0;
    } else {
        of_handle(folder, above);
    }
    if (snprintf(into, PATH_MAX, "%s/%s", above, path) >= PATH_MAX) *into = 0;
    return into;
}

static __thread off_t resized = -1; /* to so many bytes, by the call that is noted */

static void note(uint64_t number, const char *call, int handle, const char *path) {
    if (!*trace) return;
    struct stat status = {0};
    if (handle >= 0) fstat(handle, &status);
    char line[PATH_MAX + 128];
    int size = snprintf(line, sizeof line, "%lu %s %lu %lu %ld %s\n", (unsigned long)number, call,
                        (unsigned long)status.st_dev, (unsigned long)status.st_ino,
                        (long)(resized >= 0 ? resized : status.st_size), path);
    if (size >= (int)sizeof line) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return;
    syscall(SYS_write, file, line, (size_t)size);
    syscall(SYS_close, file);
}

/* Return an errno if the call is to fail; a process that is to end does not return. */
static int meet(const char *call, int handle, const char *path, int kind) {
    if (!shared || !is_below(path)) return 0;
    if (shared->ended) syscall(SYS_kill, getpid(), SIGKILL);
    int before = errno;
    uint64_t number = ++shared->calls;
    int is_hit = number >= from && number <= to;
    if (is_hit && what == STOP) {
        shared->ended = 1;
        shared->hit = number;
        syscall(SYS_kill, getpid(), SIGKILL);
    }
    note(number, call, handle, path);
    errno = before;
    if (!is_hit || what == COUNT || what == CLOCK) return 0;
    if (what == FAIL && kind & NO_SPACE_NEEDED && value != EIO) return 0;
    uint64_t none = 0;
    __atomic_compare_exchange_n((uint64_t *)&shared->hit, &none, number, 0, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    if (what == FAIL) return (int)value;
    if (what == KILL) {
        if (shared->first) syscall(SYS_kill, shared->first, SIGKILL);
        return 0;
    }
    struct timespec wait = {value / 1000, value % 1000 * 1000000};
    syscall(SYS_nanosleep, &wait, NULL);
    return 0;
}

static int meet_handle(const char *call, int handle, int kind) {
    char path[PATH_MAX];
    if (!shared || handle < 0) return 0;
    return meet(call, handle, of_handle(handle, path), kind);
}

static int meet_path(const char *call, int folder, const char *name, int kind) {
    char path[PATH_MAX];
    if (!shared) return 0;
    return meet(call, -1, absolute(folder, name, path), kind);
}

/* A power cut in a write leaves the half of it. */
static void tear(int handle, const void *data, size_t size) {
    char path[PATH_MAX];
    if (shared && what == STOP && shared->calls + 1 == from && size > 1 &&
        is_below(of_handle(handle, path)))
        syscall(SYS_write, handle, data, size / 2);
}

#define REFUSE(error, failed) \
    do { \
        int why = (error); \
        if (why) { \
            errno = why; \
            return failed; \
        } \
    } while (0)

/* ---- the calls ---- */

static int makes(int flags) { return flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE; }

#define OPEN(name, ...) \
    mode_t mode = 0; \
    if (makes(flags)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    } \
    REAL(name)

int open(const char *path, int flags, ...) {
    OPEN(open);
    if (makes(flags)) REFUSE(meet_path("open", AT_FDCWD, path, 0), -1);
    int handle = real(path, flags, mode);
    return handle;
}
int open64(const char *path, int flags, ...) {
    OPEN(open64);
    if (makes(flags)) REFUSE(meet_path("open", AT_FDCWD, path, 0), -1);
    return real(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    OPEN(openat);
    if (makes(flags)) REFUSE(meet_path("open", folder, path, 0), -1);
    return real(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    OPEN(openat64);
    if (makes(flags)) REFUSE(meet_path("open", folder, path, 0), -1);
    return real(folder, path, flags, mode);
}
int creat(const char *path, mode_t mode) {
    REAL(creat);
    REFUSE(meet_path("open", AT_FDCWD, path, 0), -1);
    return real(path, mode);
}
ssize_t write(int handle, const void *data, size_t size) {
    REAL(write);
    tear(handle, data, size);
    REFUSE(meet_handle("write", handle, 0), -1);
    return real(handle, data, size);
}
ssize_t pwrite(int handle, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    REFUSE(meet_handle("write", handle, 0), -1);
    return real(handle, data, size, at);
}
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    REFUSE(meet_handle("write", handle, 0), -1);
    return real(handle, data, size, at);
}
ssize_t writev(int handle, const struct iovec *parts, int count) {
    REAL(writev);
    REFUSE(meet_handle("write", handle, 0), -1);
    return real(handle, parts, count);
}
ssize_t sendfile(int out, int in, off_t *at, size_t size) {
    REAL(sendfile);
    REFUSE(meet_handle("write", out, 0), -1);
    return real(out, in, at, size);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
    REAL(sendfile64);
    REFUSE(meet_handle("write", out, 0), -1);
    return real(out, in, at, size);
}
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size,
                        unsigned flags) {
    REAL(copy_file_range);
    REFUSE(meet_handle("write", out, 0), -1);
    return real(in, in_at, out, out_at, size, flags);
}
static int meet_size(int handle, off_t size) {
    resized = size;
    int why = meet_handle("truncate", handle, 0);
    resized = -1;
    return why;
}
int ftruncate(int handle, off_t size) {
    REAL(ftruncate);
    REFUSE(meet_size(handle, size), -1);
    return real(handle, size);
}
int ftruncate64(int handle, off64_t size) {
    REAL(ftruncate64);
    REFUSE(meet_size(handle, size), -1);
    return real(handle, size);
}
int posix_fallocate(int handle, off_t at, off_t size) {
    REAL(posix_fallocate);
    int why = meet_handle("allocate", handle, 0);
    return why ? why : real(handle, at, size);
}
int fsync(int handle) {
    REAL(fsync);
    REFUSE(meet_handle("fsync", handle, SYNCS), -1);
    return real(handle);
}
int fdatasync(int handle) {
    REAL(fdatasync);
    REFUSE(meet_handle("fsync", handle, SYNCS), -1);
    return real(handle);
}
int syncfs(int handle) {
    REAL(syncfs);
    REFUSE(meet_handle("syncfs", handle, SYNCS), -1);
    return real(handle);
}
int rename(const char *old, const char *new) {
    REAL(rename);
    REFUSE(meet_path("rename", AT_FDCWD, new, 0), -1);
    return real(old, new);
}
int renameat(int above, const char *old, int folder, const char *new) {
    REAL(renameat);
    REFUSE(meet_path("rename", folder, new, 0), -1);
    return real(above, old, folder, new);
}
int renameat2(int above, const char *old, int folder, const char *new, unsigned flags) {
    REAL(renameat2);
    REFUSE(meet_path("rename", folder, new, 0), -1);
    return real(above, old, folder, new, flags);
}
int link(const char *old, const char *new) {
    REAL(link);
    REFUSE(meet_path("link", AT_FDCWD, new, 0), -1);
    return real(old, new);
}
int linkat(int above, const char *old, int folder, const char *new, int flags) {
    REAL(linkat);
    REFUSE(meet_path("link", folder, new, 0), -1);
    return real(above, old, folder, new, flags);
}
int symlink(const char *old, const char *new) {
    REAL(symlink);
    REFUSE(meet_path("symlink", AT_FDCWD, new, 0), -1);
    return real(old, new);
}
int symlinkat(const char *old, int folder, const char *new) {
    REAL(symlinkat);
    REFUSE(meet_path("symlink", folder, new, 0), -1);
    return real(old, folder, new);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    REFUSE(meet_path("mkdir", AT_FDCWD, path, 0), -1);
    return real(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(mkdirat);
    REFUSE(meet_path("mkdir", folder, path, 0), -1);
    return real(folder, path, mode);
}
int unlink(const char *path) {
    REAL(unlink);
    REFUSE(meet_path("unlink", AT_FDCWD, path, NO_SPACE_NEEDED), -1);
    return real(path);
}
int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    REFUSE(meet_path("unlink", folder, path, NO_SPACE_NEEDED), -1);
    return real(folder, path, flags);
}
int rmdir(const char *path) {
    REAL(rmdir);
    REFUSE(meet_path("unlink", AT_FDCWD, path, NO_SPACE_NEEDED), -1);
    return real(path);
}

/* ---- the clock, which jumps at a call and stays there ---- */

static int64_t jumped(void) {
    return shared && what == CLOCK && shared->calls >= from ? value : 0;
}
int clock_gettime(clockid_t clock, struct timespec *into) {
    REAL(clock_gettime);
    int done = real(clock, into);
    if (!done && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) into->tv_sec += jumped();
    return done;
}
int gettimeofday(struct timeval *restrict into, void *restrict zone) {
    REAL(gettimeofday);
    int done = real(into, zone);
    if (!done) into->tv_sec += jumped();
    return done;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

/* ---- what is started is preloaded too ---- */

#define WITH_OURS(old) \
    int many = 0; \
    while ((old) && (old)[many]) many++; \
    char *all[many + 9]; \
    for (int i = 0; i < many; i++) all[i] = (old)[i]; \
    for (int i = 0; i < kept_count; i++) all[many + i] = kept[i]; \
    all[many + (shared ? kept_count : 0)] = NULL

int execve(const char *path, char *const words[], char *const old[]) {
    REAL(execve);
    WITH_OURS(old);
    return real(path, words, all);
}
int execv(const char *path, char *const words[]) { return execve(path, words, environ); }
int execvpe(const char *file, char *const words[], char *const old[]) {
    REAL(execvpe);
    WITH_OURS(old);
    return real(file, words, all);
}
int execvp(const char *file, char *const words[]) { return execvpe(file, words, environ); }
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const words[], char *const old[]) {
    REAL(posix_spawn);
    WITH_OURS(old);
    return real(pid, path, actions, attributes, words, all);
}
int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const words[], char *const old[]) {
    REAL(posix_spawnp);
    WITH_OURS(old);
    return real(pid, file, actions, attributes, words, all);
}
