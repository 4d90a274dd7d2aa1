// Every call is made by `syscall`: nothing is looked up at run time, nothing allocates, and a call that comes before
// `start` has run, from the constructor of another library, passes through.

#define _GNU_SOURCE
#include "CDiskFaults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { kDescriptorsMax = 1 << 20 };

static bool started;
static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static tq_faults_control no_faults;
static tq_faults_control *control = &no_faults;
static uint64_t syncs;

// The inodes of the open files below the root that may be written; 0 for every other descriptor.
static _Atomic uint64_t inodes[kDescriptorsMax];

// Held from before an operation until its record is written, so that records have the order of the effects.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void) { pthread_mutex_lock(&mutex); }

static void unlock(void) {
    const int error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
}

static _Noreturn void give_up(const char *what, const char *which) {
    const char *parts[] = {"tq-disk-faults: ", what, " ", which, ": ", strerror(errno), "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) syscall(SYS_write, 2, parts[i], strlen(parts[i]));
    _exit(70);
}

// MARK: The journal

static void append(const struct iovec *parts, int count) {
    struct iovec rest[2] = {parts[0], count > 1 ? parts[1] : (struct iovec){0}};
    while (rest[0].iov_len + rest[1].iov_len > 0) {
        const ssize_t written = syscall(SYS_writev, journal, rest, 2);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) give_up("cannot write the journal", getenv("TQ_FAULTS_JOURNAL"));
        size_t left = (size_t)written;
        for (int i = 0; i < 2; ++i) {
            const size_t part = left < rest[i].iov_len ? left : rest[i].iov_len;
            rest[i].iov_base = (char *)rest[i].iov_base + part;
            rest[i].iov_len -= part;
            left -= part;
        }
    }
}

static void record_outcome(int kind, uint64_t file, uint64_t number, const void *payload, size_t length, int outcome) {
    if (journal < 0) return;
    const int error = errno;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    tq_journal_record record = {
        .length = (uint32_t)length,
        .kind = (uint16_t)kind,
        .outcome = (uint16_t)outcome,
        .nanoseconds = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
        .file = file,
        .number = number,
    };
    append((struct iovec[]){{&record, sizeof record}, {(void *)payload, length}}, 2);
    errno = error;
}

static void record(int kind, uint64_t file, uint64_t number, const void *payload, size_t length) {
    record_outcome(kind, file, number, payload, length, 0);
}

static void record_two_names(int kind, const char *from, const char *to) {
    char names[2 * PATH_MAX];
    const size_t length = strlen(from) + 1;
    memcpy(names, from, length);
    memcpy(names + length, to, strlen(to));
    record(kind, 0, 0, names, length + strlen(to));
}

// MARK: Faults

struct fault {
    bool happens;
    int error;
    uint64_t manner;
};

// Counts an operation and says whether it is to fail; the lock is held.
static struct fault take_fault(int kind) {
    tq_faults_rule *rule = &control->rules[kind];
    const uint64_t number = __atomic_add_fetch(&rule->operations, 1, __ATOMIC_RELAXED);
    uint64_t times = __atomic_load_n(&rule->times, __ATOMIC_ACQUIRE);
    if (times == 0 || number < __atomic_load_n(&rule->from, __ATOMIC_RELAXED)) return (struct fault){0};
    // Compared, because the test may change the rule at the same time.
    if (times != UINT64_MAX) {
        __atomic_compare_exchange_n(&rule->times, &times, times - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    __atomic_add_fetch(&rule->failed, 1, __ATOMIC_RELAXED);
    return (struct fault){
        .happens = true,
        .error = (int)__atomic_load_n(&rule->error, __ATOMIC_RELAXED),
        .manner = __atomic_load_n(&rule->manner, __ATOMIC_RELAXED),
    };
}

static bool is_full(void) { return __atomic_load_n(&control->is_full, __ATOMIC_RELAXED) != 0; }

static int fail(int error) {
    errno = error;
    return -1;
}

// MARK: Which files

// The part of a canonical path below the root; NULL for other paths.
static const char *below_root(const char *path) {
    if (strncmp(path, root, root_length) != 0) return NULL;
    if (path[root_length] == 0) return path + root_length;
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

static bool canonical_path(int descriptor, char path[PATH_MAX]) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return false;
    path[length] = 0;
    return true;
}

// Says on standard error, which is the log of most programs, which file meets a fault.
static void tell(const char *what, int descriptor) {
    const int error = errno;
    char path[PATH_MAX], line[PATH_MAX + 64];
    if (canonical_path(descriptor, path)) {
        const int length = snprintf(line, sizeof line, "tq-disk-faults: %s fails: %s\n", what, path);
        syscall(SYS_write, 2, line, (size_t)length);
    }
    errno = error;
}

// The name below the root of what a path names or would name; false for every other path.
static bool locate(int at, const char *path, char name[PATH_MAX]) {
    if (!started || path == NULL) return false;
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') --end;
    size_t base = end;
    while (base > 0 && path[base - 1] != '/') --base;
    if (end >= PATH_MAX || base == end) return false;
    char parent[PATH_MAX] = ".";
    if (base > 0) snprintf(parent, sizeof parent, "%.*s", (int)base, path);

    const int error = errno;
    bool is_below = false;
    const int directory = (int)syscall(SYS_openat, at, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (directory >= 0) {
        char canonical[PATH_MAX];
        const char *below = canonical_path(directory, canonical) ? below_root(canonical) : NULL;
        syscall(SYS_close, directory);
        is_below = below != NULL && snprintf(name, PATH_MAX, "%s%s%.*s", below, *below ? "/" : "", (int)(end - base),
                                             path + base) < PATH_MAX;
    }
    errno = error;
    return is_below;
}

static uint64_t inode_of(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 ? status.st_ino : 0;
}

static off_t size_of(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 ? status.st_size : 0;
}

// The inode of a file below the root that was opened to be written; else 0.
static uint64_t tracked(int descriptor) {
    if (descriptor < 0 || descriptor >= kDescriptorsMax) return 0;
    return atomic_load_explicit(&inodes[descriptor], memory_order_acquire);
}

// The inode of anything below the root, such as a directory, which is opened to be read; else 0.
static uint64_t inode_below_root(int descriptor) {
    const uint64_t inode = tracked(descriptor);
    if (inode != 0 || !started) return inode;
    char path[PATH_MAX];
    const int error = errno;
    const bool is_below = canonical_path(descriptor, path) && below_root(path) != NULL;
    errno = error;
    return is_below ? inode_of(descriptor) : 0;
}

// MARK: Opening and closing

static int open_file(int at, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    const bool changes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
    if (!changes || !locate(at, path, name)) return (int)syscall(SYS_openat, at, path, flags, mode);
    lock();
    const int error = errno;
    struct stat before = {0};
    const bool is_new = fstatat(at, path, &before, 0) != 0 && (flags & O_CREAT) != 0;
    errno = error;
    const struct fault fault = is_new ? take_fault(TQ_FAULTS_NAME) : (struct fault){0};
    const int result = fault.happens ? fail(fault.error) : (int)syscall(SYS_openat, at, path, flags, mode);
    if (result >= kDescriptorsMax) give_up("too large a descriptor for", path);
    if (result >= 0) {
        const uint64_t inode = inode_of(result);
        atomic_store_explicit(&inodes[result], inode, memory_order_release);
        if (is_new) {
            record(TQ_RECORD_CREATE, inode, 0, name, strlen(name));
        } else if ((flags & O_TRUNC) != 0 && before.st_size > 0) {
            record(TQ_RECORD_TRUNCATE, inode, 0, NULL, 0);
        }
    }
    unlock();
    return result;
}

static mode_t mode_of(int flags, va_list arguments) { return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0; }

#define OPEN(at)                                        \
    va_list arguments;                                  \
    va_start(arguments, flags);                         \
    const mode_t mode = mode_of(flags, arguments);      \
    va_end(arguments);                                  \
    return open_file(at, path, flags, mode)

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD); }
int openat(int at, const char *path, int flags, ...) { OPEN(at); }
int openat64(int at, const char *path, int flags, ...) { OPEN(at); }
int creat(const char *path, mode_t mode) { return open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int descriptor) {
    // Before the call, since another thread may get the same number as soon as it is free.
    if (tracked(descriptor) != 0) atomic_store_explicit(&inodes[descriptor], 0, memory_order_release);
    return (int)syscall(SYS_close, descriptor);
}

// MARK: Writing

enum { kAtPosition = -1 };

// Writes and records; the lock is held.
static ssize_t put(int descriptor, const struct iovec *parts, int count, off_t offset) {
    const ssize_t written = offset == kAtPosition ? syscall(SYS_writev, descriptor, parts, count)
                                                  : syscall(SYS_pwritev, descriptor, parts, count, offset, 0);
    if (written <= 0) return written;
    if (offset == kAtPosition) offset = lseek(descriptor, 0, SEEK_CUR) - written;
    size_t left = (size_t)written;
    for (int i = 0; left > 0; ++i) {
        const size_t length = parts[i].iov_len < left ? parts[i].iov_len : left;
        if (length > 0) record(TQ_RECORD_WRITE, tracked(descriptor), (uint64_t)offset, parts[i].iov_base, length);
        offset += (off_t)length;
        left -= length;
    }
    return written;
}

static off_t end_of_write(int descriptor, const struct iovec *parts, int count, off_t offset) {
    if (offset == kAtPosition) {
        const bool appends = (fcntl(descriptor, F_GETFL) & O_APPEND) != 0;
        offset = appends ? size_of(descriptor) : lseek(descriptor, 0, SEEK_CUR);
    }
    for (int i = 0; i < count; ++i) offset += (off_t)parts[i].iov_len;
    return offset;
}

static ssize_t write_parts(int descriptor, const struct iovec *parts, int count, off_t offset) {
    lock();
    const struct fault fault = take_fault(TQ_FAULTS_WRITE);
    ssize_t result = 0;
    if (!fault.happens) {
        const bool is_refused = is_full() && end_of_write(descriptor, parts, count, offset) > size_of(descriptor);
        result = is_refused ? fail(ENOSPC) : put(descriptor, parts, count, offset);
    } else {
        tell("write", descriptor);
        const struct iovec half = {parts[0].iov_base, (parts[0].iov_len + 1) / 2};
        if (fault.manner != TQ_MANNER_PLAIN) result = put(descriptor, &half, 1, offset);
        if (fault.manner != TQ_MANNER_SHORT) result = fail(fault.error);
    }
    unlock();
    return result;
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    if (tracked(descriptor) == 0 || count == 0) return syscall(SYS_write, descriptor, bytes, count);
    return write_parts(descriptor, &(struct iovec){(void *)bytes, count}, 1, kAtPosition);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    if (tracked(descriptor) == 0 || count == 0 || offset < 0) {
        return syscall(SYS_pwrite64, descriptor, bytes, count, offset);
    }
    return write_parts(descriptor, &(struct iovec){(void *)bytes, count}, 1, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off_t offset) {
    return pwrite(descriptor, bytes, count, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    if (tracked(descriptor) == 0 || count <= 0) return syscall(SYS_writev, descriptor, parts, count);
    return write_parts(descriptor, parts, count, kAtPosition);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
    if (tracked(descriptor) == 0 || count <= 0 || offset < 0) {
        return syscall(SYS_pwritev, descriptor, parts, count, offset, 0);
    }
    return write_parts(descriptor, parts, count, offset);
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off_t offset) {
    return pwritev(descriptor, parts, count, offset);
}

// MARK: Sizes

// Calls and records the size, if that is another one now; the lock is taken.
static int resize(int descriptor, off_t end, long call, long first, long second, long third) {
    lock();
    const struct fault fault = take_fault(TQ_FAULTS_ALLOCATE);
    const off_t before = size_of(descriptor);
    int result;
    if (fault.happens) {
        result = fail(fault.error);
    } else if (is_full() && end > before) {
        result = fail(ENOSPC);
    } else {
        result = (int)syscall(call, descriptor, first, second, third);
    }
    const off_t after = size_of(descriptor);
    if (after != before) record(TQ_RECORD_TRUNCATE, tracked(descriptor), (uint64_t)after, NULL, 0);
    unlock();
    return result;
}

int ftruncate(int descriptor, off_t size) {
    if (tracked(descriptor) == 0) return (int)syscall(SYS_ftruncate, descriptor, size);
    return resize(descriptor, size, SYS_ftruncate, size, 0, 0);
}

int ftruncate64(int descriptor, off_t size) { return ftruncate(descriptor, size); }

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
    if (tracked(descriptor) == 0) return (int)syscall(SYS_fallocate, descriptor, mode, offset, length);
    // The other modes change what is in the file; nobody asks for them.
    if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) return fail(EOPNOTSUPP);
    return resize(descriptor, offset + length, SYS_fallocate, mode, offset, length);
}

int fallocate64(int descriptor, int mode, off_t offset, off_t length) {
    return fallocate(descriptor, mode, offset, length);
}

int posix_fallocate(int descriptor, off_t offset, off_t length) {
    const int error = errno;
    const int result = fallocate(descriptor, 0, offset, length) == 0 ? 0 : errno;
    errno = error;
    return result;
}

int posix_fallocate64(int descriptor, off_t offset, off_t length) {
    return posix_fallocate(descriptor, offset, length);
}

// MARK: Syncs

static void delay_sync(void) {
    const uint64_t nanoseconds = __atomic_load_n(&control->sync_delay_nanoseconds, __ATOMIC_RELAXED);
    struct timespec rest = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    while (nanoseconds > 0 && nanosleep(&rest, &rest) != 0 && errno == EINTR) {}
}

static int sync_file(int descriptor, long call) {
    const uint64_t inode = inode_below_root(descriptor);
    if (inode == 0) return (int)syscall(call, descriptor);
    lock();
    const struct fault fault = take_fault(TQ_FAULTS_SYNC);
    const uint64_t number = ++syncs;
    record(TQ_RECORD_SYNC_BEGIN, inode, number, NULL, 0);
    unlock();

    delay_sync();
    int result, outcome;
    if (fault.happens) {
        result = fault.manner == TQ_MANNER_LIE ? 0 : fail(fault.error);
        outcome = fault.manner == TQ_MANNER_DROP ? TQ_SYNC_DROPPED : TQ_SYNC_KEPT;
    } else {
        result = (int)syscall(call, descriptor);
        outcome = result == 0 ? TQ_SYNC_DURABLE : TQ_SYNC_DROPPED;
    }

    lock();
    record_outcome(TQ_RECORD_SYNC_END, inode, number, NULL, 0, outcome);
    unlock();
    return result;
}

int fsync(int descriptor) { return sync_file(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return sync_file(descriptor, SYS_fdatasync); }

// MARK: Names

static int change_names(int kind, long call, int from_at, const char *from, int to_at, const char *to) {
    char old_name[PATH_MAX], new_name[PATH_MAX];
    const bool is_from_below = locate(from_at, from, old_name), is_to_below = locate(to_at, to, new_name);
    if (!is_from_below && !is_to_below) return (int)syscall(call, from_at, from, to_at, to, 0);
    if (is_from_below != is_to_below) return fail(EXDEV);
    lock();
    const struct fault fault = take_fault(TQ_FAULTS_NAME);
    const int result = fault.happens ? fail(fault.error) : (int)syscall(call, from_at, from, to_at, to, 0);
    if (result == 0) record_two_names(kind, old_name, new_name);
    unlock();
    return result;
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int renameat(int from_at, const char *from, int to_at, const char *to) {
    return change_names(TQ_RECORD_RENAME, SYS_renameat2, from_at, from, to_at, to);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    if (flags != 0) return (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
    return change_names(TQ_RECORD_LINK, SYS_linkat, from_at, from, to_at, to);
}

int unlinkat(int at, const char *path, int flags) {
    char name[PATH_MAX];
    if (!locate(at, path, name)) return (int)syscall(SYS_unlinkat, at, path, flags);
    lock();
    const struct fault fault = take_fault(TQ_FAULTS_NAME);
    const int result = fault.happens ? fail(fault.error) : (int)syscall(SYS_unlinkat, at, path, flags);
    if (result == 0) record(TQ_RECORD_REMOVE, 0, 0, name, strlen(name));
    unlock();
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int remove(const char *path) {
    const int error = errno;
    if (unlink(path) == 0) return 0;
    if (errno != EISDIR) return -1;
    errno = error;
    return rmdir(path);
}

int mkdirat(int at, const char *path, mode_t mode) {
    char name[PATH_MAX];
    if (!locate(at, path, name)) return (int)syscall(SYS_mkdirat, at, path, mode);
    lock();
    const struct fault fault = take_fault(TQ_FAULTS_NAME);
    const int result = fault.happens ? fail(fault.error) : (int)syscall(SYS_mkdirat, at, path, mode);
    struct stat status;
    if (result == 0 && fstatat(at, path, &status, 0) == 0) {
        record(TQ_RECORD_DIRECTORY, status.st_ino, 0, name, strlen(name));
    }
    unlock();
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

// MARK: Starting

static void record_content(const char *path, uint64_t inode) {
    static char bytes[1 << 16];
    const int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (descriptor < 0) give_up("cannot read", path);
    uint64_t offset = 0;
    ssize_t count;
    while ((count = read(descriptor, bytes, sizeof bytes)) > 0) {
        record(TQ_RECORD_WRITE, inode, offset, bytes, (size_t)count);
        offset += (uint64_t)count;
    }
    if (count < 0) give_up("cannot read", path);
    syscall(SYS_close, descriptor);
}

static void record_directory(const char *path) {
    DIR *directory = opendir(path);
    if (directory == NULL) give_up("cannot read", path);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char inner[PATH_MAX];
        struct stat status;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= PATH_MAX || lstat(inner, &status) != 0) {
            give_up("cannot use", inner);
        }
        const char *name = below_root(inner);
        if (S_ISDIR(status.st_mode)) {
            record(TQ_RECORD_DIRECTORY, status.st_ino, 0, name, strlen(name));
            record_directory(inner);
        } else if (S_ISREG(status.st_mode)) {
            record(TQ_RECORD_CREATE, status.st_ino, 0, name, strlen(name));
            record_content(inner, status.st_ino);
        }
    }
    closedir(directory);
}

static void start_journal(const char *path) {
    journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    struct stat status;
    if (journal < 0 || stat(root, &status) != 0) give_up("cannot create the journal", path);
    tq_journal_header header = {.magic = {'T', 'Q', 'D', 'I', 'S', 'K', 'J', '1'}, .directory = status.st_ino};
    append(&(struct iovec){&header, sizeof header}, 1);
    record_directory(root);
    record(TQ_RECORD_STARTED, 0, 0, NULL, 0);
}

static void start_control(const char *path) {
    const int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    void *memory = MAP_FAILED;
    if (descriptor >= 0 && size_of(descriptor) >= (off_t)sizeof *control) {
        memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    }
    if (memory == MAP_FAILED || memcmp(memory, "TQFAULT1", 8) != 0) give_up("cannot use the control file", path);
    syscall(SYS_close, descriptor);
    control = memory;
}

// MARK: The wall clock

int clock_gettime(clockid_t clock, struct timespec *time) {
    const int status = (int)syscall(SYS_clock_gettime, clock, time);
    if (status != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return status;
    time->tv_sec += __atomic_load_n(&control->wall_clock_seconds, __ATOMIC_RELAXED);
    return status;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    const int status = clock_gettime(CLOCK_REALTIME, &now);
    *time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return status;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place != NULL) *place = now.tv_sec;
    return now.tv_sec;
}

// A wait until a time of the wall clock, which the kernel knows as it is: a time that seems to be still to come after a
// step back may be over for it, and a loop around such a wait would spin.
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict held,
                           const struct timespec *restrict end) {
    // Only waits by the monotonic clock, which begins with the machine, end this early.
    enum { kWallClockSecondsMin = 1000000000 };
    if (end->tv_sec < kWallClockSecondsMin) return pthread_cond_clockwait(condition, held, CLOCK_MONOTONIC, end);
    struct timespec real = *end;
    real.tv_sec -= __atomic_load_n(&control->wall_clock_seconds, __ATOMIC_RELAXED);
    return pthread_cond_clockwait(condition, held, CLOCK_REALTIME, &real);
}

__attribute__((constructor)) static void start(void) {
    const char *directory = getenv("TQ_FAULTS_DIRECTORY"), *journal_path = getenv("TQ_FAULTS_JOURNAL"),
               *control_path = getenv("TQ_FAULTS_CONTROL");
    if (control_path != NULL) start_control(control_path);
    if (directory == NULL) return;
    if (realpath(directory, root) == NULL) give_up("cannot use", directory);
    root_length = strlen(root);
    if (journal_path != NULL) start_journal(journal_path);
    started = true;
}
