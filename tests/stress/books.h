/* The books of the provider that bills for real (biller.c): a file that is mapped by it and by who checks it (buyers.c). A record is whole before it is
 * counted, and counted before a byte of an answer leaves: it stands there whatever happens to gateway and provider afterwards. */
#ifndef BOOKS_H
#define BOOKS_H
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BOOKS_MOST = 1 << 22, BOOKS_KEYS = 64 };

/*  what becomes of a request, and how many of a hundred */
#define FATES(X) \
    X(whole,      68) /* answered, usage as charged */ \
    X(lie,         8) /* answered, more usage claimed than charged, as much as the request allows at most */ \
    X(silent,      4) /* answered without usage */ \
    X(slow,        5) /* answered piece by piece, with pauses */ \
    X(cut,         4) /* the connection ends in the middle of the answer */ \
    X(reset,       2) /* it is reset, before the answer or in the middle of it */ \
    X(never,       1) /* no answer comes */ \
    X(error,       3) /* 500, and charged all the same */ \
    X(bad,         1) /* 200, and no JSON */ \
    X(busy,        2) /* 429, not charged */ \
    X(overloaded,  2) /* 503, not charged */
#define X(name, weight) FATE_##name,
enum fate { FATES(X) FATE_COUNT };
#undef X

struct book {                       /* one request that arrived whole; nano-USD */
    int64_t charge;                 /* what it really cost */
    int64_t claim;                  /* what the usage in its answer amounts to; -1: the answer tells none */
    int64_t most;                   /* what it could have cost */
    uint16_t key;                   /* N of "user":"kN" */
    uint8_t fate, target;
    uint32_t unused;
    char id[32];                    /* x-lunette-request-id, where the gateway sends it on */
};
struct books { uint64_t n; char unused[56]; struct book at[BOOKS_MOST]; };

/* NULL: cannot be opened. */
static inline struct books *books_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct books))) return NULL;
    void *m = mmap(NULL, sizeof(struct books), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return m == MAP_FAILED ? NULL : m;
}
#endif
