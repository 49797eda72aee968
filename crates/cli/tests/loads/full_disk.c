/* Put before the server's own calls: once the file named by SYNCLINE_DISK_IS_FULL exists, tables of databases cannot grow any
 * more. What they hold already can be written, and so can the log: only new blocks find no room. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int no_room(int file, off_t offset) {
  const char *full = getenv("SYNCLINE_DISK_IS_FULL");
  struct stat state;
  char link[64], path[4096];
  if (full == NULL || access(full, F_OK) != 0 || fstat(file, &state) != 0 || offset < state.st_size) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return strstr(path, "/data/base/") != NULL;
}

#define REFUSE(offset)                \
  if (no_room(file, offset)) {        \
    errno = ENOSPC;                   \
    return -1;                        \
  }

#define WRITE(name)                                                                      \
  ssize_t name(int file, const void *data, size_t size, off_t offset) {                  \
    static ssize_t (*real)(int, const void *, size_t, off_t);                            \
    REFUSE(offset)                                                                       \
    if (real == NULL) real = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, #name); \
    return real(file, data, size, offset);                                               \
  }

#define WRITEV(name)                                                                     \
  ssize_t name(int file, const struct iovec *data, int count, off_t offset) {            \
    static ssize_t (*real)(int, const struct iovec *, int, off_t);                       \
    REFUSE(offset)                                                                       \
    if (real == NULL) real = (ssize_t(*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, #name); \
    return real(file, data, count, offset);                                              \
  }

#define ALLOCATE(name)                                                                   \
  int name(int file, off_t offset, off_t size) {                                         \
    static int (*real)(int, off_t, off_t);                                               \
    if (no_room(file, offset)) return ENOSPC;                                            \
    if (real == NULL) real = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, #name);        \
    return real(file, offset, size);                                                     \
  }

WRITE(pwrite)
WRITE(pwrite64)
WRITEV(pwritev)
WRITEV(pwritev64)
ALLOCATE(posix_fallocate)
ALLOCATE(posix_fallocate64)
