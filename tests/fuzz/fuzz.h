/* What the targets share. A target is a function of any bytes; it promises something of a part of the program, and calls fuzz_broken where the promise is
 * not kept. The same functions are run by libFuzzer (libfuzzer.c) and by `make test` over the kept corpus (tests/unit/test_corpus.c). */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H
#include "base/alloc.h"
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct input { const char *at; size_t n; };

/* The targets, each in a file of its name, with its cases in corpus/NAME. */
#define FUZZ_TARGETS(X) X(http) X(chunks) X(json) X(sse) X(load) X(keys) X(guard) X(prices) X(usage) X(retry) X(redis) X(journal) X(recover) X(body) X(answer) X(import) X(csv) X(packed) X(words)
#define X(name) void fuzz_##name(struct input);
FUZZ_TARGETS(X)
#undef X

_Noreturn void fuzz_broken(const char *file, int line, const char *promise);
#define PROMISE(what) do { if (!(what)) fuzz_broken(__FILE__, __LINE__, #what); } while (0)

/* The last byte, which is taken away; 0 when there is none. What steers a target stands at the end, so that texts begin as texts. */
static inline unsigned take(struct input *in) { return in->n ? (unsigned char)in->at[--in->n] : 0; }

/* Where a text is cut: pieces of these lengths in turn. */
struct cuts { unsigned lengths[4], next; };
static inline struct cuts take_cuts(struct input *in)
{
    struct cuts c = {0};
    for (int i = 0; i < 4; i++) c.lengths[i] = 1 + take(in);
    return c;
}
/* How much of `left` bytes comes next. */
static inline size_t next_piece(struct cuts *c, size_t left)
{
    size_t n = c->lengths[c->next++ % 4];
    return n < left ? n : left;
}

/* A copy of its own size, so that a byte read too far is noticed; yours to free. */
static inline char *copy_of(const char *at, size_t n)
{
    char *copy = calloc(1, n ? n : 1);
    if (!copy) abort();
    if (n) memcpy(copy, at, n);
    return copy;
}
#endif
