/* The system-call edge of every process below a test: an LD_PRELOAD library that counts the calls that change files,
 * makes chosen ones fail or kill, and writes down what happened (tests/faults/edge.py is its other side).
 * Only files below POSTROOM_EDGE_ROOT count, and none that ends in "-shm": those are maps that SQLite makes anew.
 * POSTROOM_EDGE_CONTROL is a file that all processes map: the plan, and the counter that makes "the 17th call" one
 * call of all of them. POSTROOM_EDGE_TRACE, where it is given, is a file that all append to (tests/faults/trace.py).
 * Writes are written down before they are made, names after, a sync both before and after. Wrappers make the system
 * call themselves: there is nothing of libc's to go around.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN = 1, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MKDIR, ALLOCATE, LINK };
enum phase { BEGIN, END, NOT_MADE };
enum action { COUNT, KILL_BEFORE, KILL_AFTER, FAIL, SHORT };

struct control { /* tests/faults/edge.py: _CONTROL */
    uint32_t armed, action, kinds;
    int32_t error;
    uint64_t at, times, seen, fired;
    int32_t group; /* what a kill kills; 0: the process alone */
    char within[76];
};

struct head { /* tests/faults/trace.py: _HEAD */
    uint32_t magic, total, pid, thread;
    uint8_t kind, phase;
    uint16_t path, other, unused;
    uint64_t inode;
    int64_t offset, length, result;
} __attribute__((packed));

struct file {
    ino_t inode;
    char path[];
};

struct call {
    enum kind kind;
    uint64_t inode;
    int64_t offset, length;
    const struct iovec *pieces;
    int count;
    char path[PATH_MAX], other[PATH_MAX]; /* below the root */
};

static char root[PATH_MAX];
static size_t root_length;
static struct control *control;
static int trace = -1;
static struct file *files[65536]; /* by descriptor, and good only while the inode is the same */

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("POSTROOM_EDGE_ROOT"), *plan = getenv("POSTROOM_EDGE_CONTROL");
    const char *to = getenv("POSTROOM_EDGE_TRACE");
    if (!at || !plan || strlen(at) >= sizeof root)
        return;
    int fd = syscall(SYS_openat, AT_FDCWD, plan, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return;
    control = map;
    strcpy(root, at);
    if (to) {
        int low = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_APPEND | O_CLOEXEC);
        trace = fcntl(low, F_DUPFD_CLOEXEC, 900); /* out of the way of whoever counts on low numbers */
        if (trace < 0)
            abort();
        close(low);
    }
    root_length = strlen(root);
}

/* --- which file */

static int below(const char *path, char *into)
{
    if (!root_length || strncmp(path, root, root_length) != 0)
        return 0;
    const char *rest = path + root_length;
    if (*rest == '\0')
        rest = ".";
    else if (*rest++ != '/')
        return 0;
    size_t length = strlen(rest);
    if (length >= PATH_MAX || (length > 4 && strcmp(rest + length - 4, "-shm") == 0))
        return 0;
    memcpy(into, rest, length + 1);
    return 1;
}

static int named(int folder, const char *path, char *into)
{
    char whole[PATH_MAX], link[64];
    if (!root_length || !path)
        return 0;
    if (*path == '/')
        return below(path, into);
    if (folder == AT_FDCWD)
        strcpy(link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    if (length <= 0 || length + strlen(path) + 2 > sizeof whole)
        return 0;
    whole[length] = '/';
    strcpy(whole + length + 1, path);
    return below(whole, into);
}

static int opened(int fd, struct call *call)
{
    struct stat stat;
    if (!root_length || fstat(fd, &stat) != 0 || !(S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode)))
        return 0;
    call->inode = stat.st_ino;
    struct file *file = fd < 65536 ? files[fd] : NULL;
    if (file && file->inode == stat.st_ino) {
        strcpy(call->path, file->path);
        return 1;
    }
    char link[64], whole[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    if (length <= 0)
        return 0;
    whole[length] = '\0';
    return below(whole, call->path);
}

static void remember(int fd, struct call *call)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return;
    call->inode = stat.st_ino;
    struct file *file = fd < 65536 ? malloc(sizeof *file + strlen(call->path) + 1) : NULL;
    if (file) {
        file->inode = stat.st_ino;
        strcpy(file->path, call->path);
        files[fd] = file; /* the one before stays: another thread may read it */
    }
}

/* --- what is written down */

static void note(const struct call *call, enum phase phase, int64_t result, int data)
{
    if (trace < 0)
        return;
    int kept = errno;
    struct head head = {0x45444745, sizeof head, getpid(), syscall(SYS_gettid), call->kind, phase,
                        strlen(call->path), strlen(call->other), 0, call->inode, call->offset, call->length, result};
    size_t length = data ? call->length : 0, put = 0;
    head.total += head.path + head.other + length;
    char *octets = length ? malloc(length) : NULL;
    for (int at = 0; octets && at < call->count; put += call->pieces[at++].iov_len)
        memcpy(octets + put, call->pieces[at].iov_base, call->pieces[at].iov_len);
    struct iovec pieces[] = {
        {&head, sizeof head}, {(void *)call->path, head.path}, {(void *)call->other, head.other}, {octets, length}};
    if (put != length || syscall(SYS_writev, trace, pieces, 4) != head.total)
        abort(); /* a trace with a hole would prove what isn't so */
    free(octets);
    errno = kept;
}

/* --- what is to happen */

static void end_all(void)
{
    if (control->group > 1)
        kill(-control->group, SIGKILL);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* COUNT: go on. FAIL: errno is set. SHORT: do a part of it. KILL_AFTER: go on, and then call `after` with it. */
static enum action judge(const struct call *call)
{
    if (!control || !__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE) || !(control->kinds >> call->kind & 1))
        return COUNT;
    if (fnmatch(control->within, call->path, 0) != 0)
        return COUNT;
    uint64_t number = __atomic_add_fetch(&control->seen, 1, __ATOMIC_SEQ_CST);
    if (number < control->at || number - control->at >= control->times || control->action == COUNT)
        return COUNT;
    __atomic_add_fetch(&control->fired, 1, __ATOMIC_SEQ_CST);
    enum action action = control->action;
    if (action == KILL_BEFORE)
        end_all();
    if (action == SHORT && (number > control->at || call->kind != WRITE || call->length < 2))
        action = control->error ? FAIL : COUNT;
    if (action == FAIL) {
        errno = control->error;
        note(call, NOT_MADE, -control->error, 0);
    }
    return action;
}

static long after(const struct call *call, enum action action, long result)
{
    if (action == KILL_AFTER)
        end_all();
    if (result < 0 || (call->kind == WRITE && result != call->length))
        note(call, END, result < 0 ? -errno : result, 0);
    else if (call->kind != WRITE && call->kind != TRUNCATE)
        note(call, END, result, 0);
    return result;
}

#define CALL(what) struct call call; call.kind = what; call.inode = 0; call.offset = call.length = 0; \
    call.pieces = NULL; call.count = 0; call.path[0] = call.other[0] = '\0'

/* --- writes */

static ssize_t write_at(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    CALL(WRITE);
    int ours = opened(fd, &call);
    if (!ours)
        return offset < 0 ? syscall(SYS_writev, fd, pieces, count)
                          : syscall(SYS_pwritev2, fd, pieces, count, offset, 0, flags);
    for (int at = 0; at < count; at++)
        call.length += pieces[at].iov_len;
    call.offset = offset >= 0 ? offset : lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    call.pieces = pieces;
    call.count = count;
    enum action action = judge(&call);
    if (action == FAIL)
        return -1;
    struct iovec part = {NULL, 0};
    if (action == SHORT) {
        part = pieces[0];
        for (int at = 0; part.iov_len == 0; at++)
            part = pieces[at];
        part.iov_len = (part.iov_len + 1) / 2;
        call.pieces = pieces = &part;
        call.count = count = 1;
        call.length = part.iov_len;
    }
    note(&call, BEGIN, 0, 1);
    ssize_t result = offset < 0 ? syscall(SYS_writev, fd, pieces, count)
                                : syscall(SYS_pwritev2, fd, pieces, count, offset, 0, flags);
    return after(&call, action, result);
}

static ssize_t write_one(int fd, const void *octets, size_t length, off_t offset)
{
    struct iovec piece = {(void *)octets, length};
    return write_at(fd, &piece, 1, offset, 0);
}

ssize_t write(int fd, const void *octets, size_t length) { return write_one(fd, octets, length, -1); }
ssize_t pwrite(int fd, const void *octets, size_t length, off_t at) { return write_one(fd, octets, length, at); }
ssize_t pwrite64(int fd, const void *octets, size_t length, off64_t at) { return write_one(fd, octets, length, at); }
ssize_t writev(int fd, const struct iovec *p, int n) { return write_at(fd, p, n, -1, 0); }
ssize_t pwritev(int fd, const struct iovec *p, int n, off_t at) { return write_at(fd, p, n, at, 0); }
ssize_t pwritev64(int fd, const struct iovec *p, int n, off64_t at) { return write_at(fd, p, n, at, 0); }
ssize_t pwritev2(int fd, const struct iovec *p, int n, off_t at, int f) { return write_at(fd, p, n, at, f); }
ssize_t pwritev64v2(int fd, const struct iovec *p, int n, off64_t at, int f) { return write_at(fd, p, n, at, f); }

/* Copies within the kernel become writes, so that what they write can be written down. */
static ssize_t copy(int from, off_t *start, int to, off_t *at, size_t length)
{
    static __thread char octets[1 << 16];
    size_t wanted = length < sizeof octets ? length : sizeof octets;
    ssize_t got = start ? pread(from, octets, wanted, *start) : read(from, octets, wanted);
    if (got <= 0)
        return got;
    ssize_t put = write_one(to, octets, got, at ? *at : -1);
    if (put < got && !start)
        lseek(from, (put < 0 ? 0 : put) - got, SEEK_CUR);
    if (put > 0 && start)
        *start += put;
    if (put > 0 && at)
        *at += put;
    return put;
}

ssize_t copy_file_range(int from, off64_t *start, int to, off64_t *at, size_t length, unsigned flags)
{
    CALL(WRITE);
    return opened(to, &call) ? copy(from, start, to, at, length)
                             : syscall(SYS_copy_file_range, from, start, to, at, length, flags);
}

ssize_t sendfile(int to, int from, off_t *start, size_t length)
{
    CALL(WRITE);
    return opened(to, &call) ? copy(from, start, to, NULL, length) : syscall(SYS_sendfile, to, from, start, length);
}

ssize_t sendfile64(int to, int from, off64_t *start, size_t length) { return sendfile(to, from, start, length); }

/* --- syncs and sizes */

static int sync_file(int fd, long number)
{
    CALL(SYNC);
    if (!opened(fd, &call))
        return syscall(number, fd);
    enum action action = judge(&call);
    if (action == FAIL)
        return -1;
    note(&call, BEGIN, 0, 0);
    return after(&call, action, syscall(number, fd));
}

int fsync(int fd) { return sync_file(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

static int size_to(int fd, off_t length)
{
    CALL(TRUNCATE);
    if (!opened(fd, &call))
        return syscall(SYS_ftruncate, fd, length);
    call.length = length;
    enum action action = judge(&call);
    if (action == FAIL)
        return -1;
    note(&call, BEGIN, 0, 0);
    return after(&call, action, syscall(SYS_ftruncate, fd, length));
}

int ftruncate(int fd, off_t length) { return size_to(fd, length); }
int ftruncate64(int fd, off64_t length) { return size_to(fd, length); }

static int room(int fd, int mode, off_t offset, off_t length)
{
    CALL(ALLOCATE);
    if (!opened(fd, &call))
        return syscall(SYS_fallocate, fd, mode, offset, length);
    call.offset = offset;
    call.length = length;
    enum action action = judge(&call);
    return action == FAIL ? -1 : after(&call, action, syscall(SYS_fallocate, fd, mode, offset, length));
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return room(fd, mode, offset, length); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return room(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return room(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return room(fd, 0, offset, length) ? errno : 0; }

/* --- names */

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    CALL(OPEN);
    if (!named(folder, path, call.path))
        return syscall(SYS_openat, folder, path, flags, mode);
    struct stat stat;
    int there = fstatat(folder, path, &stat, 0) == 0;
    int creates = (flags & O_CREAT) && !there, empties = (flags & O_TRUNC) && there && stat.st_size > 0;
    if (empties)
        call.kind = TRUNCATE;
    enum action action = creates || empties ? judge(&call) : COUNT;
    if (action == FAIL)
        return -1;
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    int kept = errno;
    if (fd >= 0)
        remember(fd, &call);
    if (fd >= 0 && empties)
        note(&call, BEGIN, 0, 0);
    errno = kept;
    return creates ? after(&call, action, fd) : fd;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_at(folder, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

static int rename_at(int from, const char *old, int to, const char *new, unsigned flags)
{
    CALL(RENAME);
    if (!named(from, old, call.path) | !named(to, new, call.other))
        return syscall(SYS_renameat2, from, old, to, new, flags);
    enum action action = judge(&call);
    return action == FAIL ? -1 : after(&call, action, syscall(SYS_renameat2, from, old, to, new, flags));
}

int rename(const char *old, const char *new) { return rename_at(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return rename_at(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned f) { return rename_at(from, old, to, new, f); }

static int unlink_at(int folder, const char *path, int flags)
{
    CALL(UNLINK);
    if (!named(folder, path, call.path))
        return syscall(SYS_unlinkat, folder, path, flags);
    enum action action = judge(&call);
    return action == FAIL ? -1 : after(&call, action, syscall(SYS_unlinkat, folder, path, flags));
}

int unlink(const char *path) { return unlink_at(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return unlink_at(folder, path, flags); }
int rmdir(const char *path) { return unlink_at(AT_FDCWD, path, AT_REMOVEDIR); }

static int mkdir_at(int folder, const char *path, mode_t mode)
{
    CALL(MKDIR);
    struct stat stat;
    if (!named(folder, path, call.path) || fstatat(folder, path, &stat, 0) == 0)
        return syscall(SYS_mkdirat, folder, path, mode);
    enum action action = judge(&call);
    return action == FAIL ? -1 : after(&call, action, syscall(SYS_mkdirat, folder, path, mode));
}

int mkdir(const char *path, mode_t mode) { return mkdir_at(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return mkdir_at(folder, path, mode); }

static int link_at(int from, const char *old, int to, const char *new, int flags)
{
    CALL(LINK);
    if (!named(from, old, call.path) | !named(to, new, call.other))
        return syscall(SYS_linkat, from, old, to, new, flags);
    enum action action = judge(&call);
    return action == FAIL ? -1 : after(&call, action, syscall(SYS_linkat, from, old, to, new, flags));
}

int link(const char *old, const char *new) { return link_at(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) { return link_at(from, old, to, new, flags); }
