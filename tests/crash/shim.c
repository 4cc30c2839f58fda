/*
 * Counts, in one order for all threads, every call by which a process touches the files below a directory or its standard
 * output, and lets one of them fail or be the last. Loaded with LD_PRELOAD by the crash harness, never by the product.
 *
 * Why not `strace --inject`: it counts for each thread by itself, and the store's calls wander over a pool of threads, so
 * "the forty-first write" can't be named. The harness runs strace beside this once and fails if strace sees a call that
 * was not counted here.
 *
 * FEED_CRASH_ROOT  the directory, absolute and without links
 * FEED_CRASH_LOG   one line a call: number, name, result, errno, offset, length, injected, path, second path (tabs between)
 * FEED_CRASH_DATA  the bytes of all writes, one after the other; optional
 * FEED_CRASH_AT    the number of the call that is hit, from 1; optional
 * FEED_CRASH_DO    "kill", or "term" (it is made, and the process has SIGTERM by then), or the errno that it gets
 * FEED_CRASH_READS set: reads count too, and closes
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], out[PATH_MAX];
static size_t root_length;
static int log_fd = -1, data_fd = -1, reads, inject_errno, inject_kill, inject_term;
static long number, at;

static void path_of_fd(int fd, char *path)
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, PATH_MAX - 1);
	path[n > 0 ? n : 0] = 0;
}

static int raw_open(const char *name, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, name, flags | O_CLOEXEC, 0600);
}

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("FEED_CRASH_ROOT");
	if (!text) return;
	snprintf(root, sizeof root, "%s/", text);
	root_length = strlen(root);
	path_of_fd(1, out);
	if ((text = getenv("FEED_CRASH_LOG"))) log_fd = raw_open(text, O_WRONLY | O_CREAT | O_APPEND);
	if ((text = getenv("FEED_CRASH_DATA"))) data_fd = raw_open(text, O_WRONLY | O_CREAT | O_APPEND);
	if ((text = getenv("FEED_CRASH_AT"))) at = atol(text);
	reads = getenv("FEED_CRASH_READS") != NULL;
	text = getenv("FEED_CRASH_DO");
	inject_kill = text && !strcmp(text, "kill");
	inject_term = text && !strcmp(text, "term");
	inject_errno = text && !inject_kill && !inject_term ? atoi(text) : 0;
}

static int counts(const char *path)
{
	if (!root_length) return 0;
	/* The directory itself counts too: its entries are the state's and the output's. */
	if (!strncmp(path, root, root_length) || (*out && !strcmp(path, out))) return 1;
	return !strncmp(path, root, root_length - 1) && !path[root_length - 1];
}

/* Absolute, so that it can be compared. */
static void resolve(int dirfd, const char *name, char *path)
{
	if (*name == '/') snprintf(path, PATH_MAX, "%s", name);
	else if (dirfd == AT_FDCWD) path[0] = 0; /* the harness names the state by absolute paths */
	else {
		path_of_fd(dirfd, path);
		size_t n = strlen(path);
		if (*name) snprintf(path + n, PATH_MAX - n, "/%s", name);
	}
	/* The product reopens its output that way. */
	if (!strncmp(path, "/proc/self/fd/", 14)) path_of_fd(atoi(path + 14), path);
}

static void raw_write(int fd, const void *bytes, size_t n)
{
	if (fd >= 0 && syscall(SYS_write, fd, bytes, n) < 0) _exit(99);
}

static void note(const char *name, long result, int error, long offset, const char *injected, const char *path, const char *second)
{
	char line[3 * PATH_MAX];
	if (inject_term && number == at) injected = "term";
	int n = snprintf(line, sizeof line, "%ld\t%s\t%ld\t%d\t%ld\t%ld\t%s\t%s\t%s\n", number, name, result, error, offset,
		result, injected, path, second ? second : "");
	raw_write(log_fd, line, (size_t)n);
}

/* With the lock held: counts the call, and hits it if it is its turn. True if it must not be made. */
static int hit(const char *name, const char *path, const char *second)
{
	if (++number != at) return 0;
	if (inject_kill) {
		note(name, -1, 0, -1, "kill", path, second);
		syscall(SYS_kill, getpid(), SIGKILL);
		for (;;) pause();
	}
	if (inject_term) syscall(SYS_kill, getpid(), SIGTERM);
	if (!inject_errno) return 0;
	note(name, -1, inject_errno, -1, "error", path, second);
	errno = inject_errno;
	return 1;
}

#define AROUND(type, name, path, second, call)                                 \
	do {                                                                   \
		pthread_mutex_lock(&order);                                    \
		type result = (type)-1;                                        \
		if (!hit(name, path, second)) {                                \
			result = (call);                                       \
			int error = result == (type)-1 ? errno : 0;            \
			note(name, (long)result, error, -1, "-", path, second); \
			errno = error;                                         \
		}                                                              \
		pthread_mutex_unlock(&order);                                  \
		return result;                                                 \
	} while (0)

#define NEXT(type, name, ...)                                                  \
	static type (*next)(__VA_ARGS__);                                      \
	if (!next) next = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int opened(int dirfd, const char *name, int flags, mode_t mode)
{
	char path[PATH_MAX];
	resolve(dirfd, name, path);
	if (!counts(path)) return (int)syscall(SYS_openat, dirfd, name, flags, mode);
	/* The name tells whether it may make the file, and whether it empties it. */
	const char *kind = flags & O_CREAT ? flags & O_TRUNC ? "open-create-empty" : "open-create" : flags & O_TRUNC ? "open-empty" : "open";
	AROUND(int, kind, path, NULL, (int)syscall(SYS_openat, dirfd, name, flags, mode));
}

#define MODE(flags, mode)                                                      \
	mode_t mode = 0;                                                       \
	if ((flags) & (O_CREAT | O_TMPFILE)) {                                 \
		va_list rest;                                                  \
		va_start(rest, flags);                                         \
		mode = va_arg(rest, mode_t);                                   \
		va_end(rest);                                                  \
	}

int open(const char *name, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, name, flags, mode); }
int openat(int dirfd, const char *name, int flags, ...) { MODE(flags, mode) return opened(dirfd, name, flags, mode); }
int openat64(int dirfd, const char *name, int flags, ...) { MODE(flags, mode) return opened(dirfd, name, flags, mode); }

DIR *opendir(const char *name)
{
	NEXT(DIR *, opendir, const char *);
	char path[PATH_MAX];
	resolve(AT_FDCWD, name, path);
	if (!counts(path)) return next(name);
	pthread_mutex_lock(&order);
	DIR *result = NULL;
	if (!hit("open", path, NULL)) {
		result = next(name);
		int error = result ? 0 : errno;
		note("open", result ? 0 : -1, error, -1, "-", path, NULL);
		errno = error;
	}
	pthread_mutex_unlock(&order);
	return result;
}

/* `offset` -1: where the descriptor stands. */
static ssize_t written(const char *name, int fd, const void *bytes, size_t n, off_t offset)
{
	char path[PATH_MAX];
	path_of_fd(fd, path);
	if (!counts(path)) return offset < 0 ? syscall(SYS_write, fd, bytes, n) : syscall(SYS_pwrite64, fd, bytes, n, offset);
	pthread_mutex_lock(&order);
	ssize_t result = -1;
	if (!hit(name, path, NULL)) {
		result = offset < 0 ? syscall(SYS_write, fd, bytes, n) : syscall(SYS_pwrite64, fd, bytes, n, offset);
		int error = result < 0 ? errno : 0;
		off_t end = offset < 0 ? lseek(fd, 0, SEEK_CUR) : offset + result;
		note(name, result, error, result < 0 || end < 0 ? -1 : end - result, "-", path, NULL);
		if (result > 0) raw_write(data_fd, bytes, (size_t)result);
		errno = error;
	}
	pthread_mutex_unlock(&order);
	return result;
}

ssize_t write(int fd, const void *bytes, size_t n) { return written("write", fd, bytes, n, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset) { return written("pwrite", fd, bytes, n, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset) { return written("pwrite", fd, bytes, n, offset); }

/* As many as the first part: a short write, which every caller has to be ready for. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
	char path[PATH_MAX];
	path_of_fd(fd, path);
	if (!counts(path)) return syscall(SYS_writev, fd, parts, count);
	for (int i = 0; i < count; i++)
		if (parts[i].iov_len) return written("write", fd, parts[i].iov_base, parts[i].iov_len, -1);
	return 0;
}

static ssize_t taken(const char *name, int fd, void *bytes, size_t n, off_t offset)
{
	char path[PATH_MAX];
	if (reads) path_of_fd(fd, path);
	if (!reads || !counts(path)) return offset < 0 ? syscall(SYS_read, fd, bytes, n) : syscall(SYS_pread64, fd, bytes, n, offset);
	AROUND(ssize_t, name, path, NULL, offset < 0 ? syscall(SYS_read, fd, bytes, n) : syscall(SYS_pread64, fd, bytes, n, offset));
}

ssize_t read(int fd, void *bytes, size_t n) { return taken("read", fd, bytes, n, -1); }
ssize_t pread(int fd, void *bytes, size_t n, off_t offset) { return taken("pread", fd, bytes, n, offset); }
ssize_t pread64(int fd, void *bytes, size_t n, off64_t offset) { return taken("pread", fd, bytes, n, offset); }

/* A descriptor is gone even if its close fails. */
int close(int fd)
{
	char path[PATH_MAX];
	if (reads) path_of_fd(fd, path);
	if (!reads || !counts(path)) return (int)syscall(SYS_close, fd);
	pthread_mutex_lock(&order);
	int failed = hit("close", path, NULL), error = errno;
	int result = (int)syscall(SYS_close, fd);
	if (failed) result = -1;
	else {
		error = result ? errno : 0;
		note("close", result, error, -1, "-", path, NULL);
	}
	pthread_mutex_unlock(&order);
	errno = error;
	return result;
}

#define ON_FD(name, signature, arguments, call)                                \
	int name signature                                                     \
	{                                                                      \
		NEXT(int, name, arguments);                                    \
		char path[PATH_MAX];                                           \
		path_of_fd(fd, path);                                          \
		if (!counts(path)) return call;                                \
		AROUND(int, #name, path, NULL, call);                          \
	}
#define LIST(...) __VA_ARGS__

ON_FD(fsync, (int fd), int, next(fd))
ON_FD(fdatasync, (int fd), int, next(fd))
ON_FD(syncfs, (int fd), int, next(fd))
ON_FD(fchmod, (int fd, mode_t mode), LIST(int, mode_t), next(fd, mode))
ON_FD(fchown, (int fd, uid_t user, gid_t group), LIST(int, uid_t, gid_t), next(fd, user, group))
ON_FD(flock, (int fd, int operation), LIST(int, int), next(fd, operation))
ON_FD(sync_file_range, (int fd, off64_t from, off64_t n, unsigned flags), LIST(int, off64_t, off64_t, unsigned), next(fd, from, n, flags))
ON_FD(fallocate, (int fd, int mode, off_t from, off_t n), LIST(int, int, off_t, off_t), next(fd, mode, from, n))
ON_FD(fallocate64, (int fd, int mode, off64_t from, off64_t n), LIST(int, int, off64_t, off64_t), next(fd, mode, from, n))

static int cut(int fd, off_t length)
{
	char path[PATH_MAX];
	path_of_fd(fd, path);
	if (!counts(path)) return (int)syscall(SYS_ftruncate, fd, length);
	pthread_mutex_lock(&order);
	int result = -1;
	if (!hit("ftruncate", path, NULL)) {
		result = (int)syscall(SYS_ftruncate, fd, length);
		int error = result ? errno : 0;
		note("ftruncate", result, error, length, "-", path, NULL);
		errno = error;
	}
	pthread_mutex_unlock(&order);
	return result;
}

int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

#define ON_PATH(name, signature, arguments, dirfd, which, call)                \
	int name signature                                                     \
	{                                                                      \
		NEXT(int, name, arguments);                                    \
		char path[PATH_MAX];                                           \
		resolve(dirfd, which, path);                                   \
		if (!counts(path)) return call;                                \
		AROUND(int, #name, path, NULL, call);                          \
	}

ON_PATH(mkdir, (const char *name, mode_t mode), LIST(const char *, mode_t), AT_FDCWD, name, next(name, mode))
ON_PATH(mkdirat, (int dir, const char *name, mode_t mode), LIST(int, const char *, mode_t), dir, name, next(dir, name, mode))
ON_PATH(rmdir, (const char *name), const char *, AT_FDCWD, name, next(name))
ON_PATH(unlink, (const char *name), const char *, AT_FDCWD, name, next(name))
ON_PATH(unlinkat, (int dir, const char *name, int flags), LIST(int, const char *, int), dir, name, next(dir, name, flags))
ON_PATH(truncate, (const char *name, off_t n), LIST(const char *, off_t), AT_FDCWD, name, next(name, n))
ON_PATH(truncate64, (const char *name, off64_t n), LIST(const char *, off64_t), AT_FDCWD, name, next(name, n))

static int renamed(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	char path[PATH_MAX], second[PATH_MAX];
	resolve(from_dir, from, path);
	resolve(to_dir, to, second);
	if (!counts(path) && !counts(second)) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	AROUND(int, "rename", path, second, (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags));
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renamed(from_dir, from, to_dir, to, 0); }
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) { return renamed(from_dir, from, to_dir, to, flags); }

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t n, unsigned flags)
{
	NEXT(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
	char path[PATH_MAX];
	path_of_fd(to, path);
	/* Its bytes could not be recorded; the caller falls back to reading and writing. */
	if (counts(path)) { errno = ENOSYS; return -1; }
	return next(from, from_at, to, to_at, n, flags);
}
