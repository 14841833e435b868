/* What the tests of keys made at run time share: keys without a gateway. */
#ifndef TESTS_KEYS_H
#define TESTS_KEYS_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "state/keyring.h"

static inline void hash_of(const char *text, unsigned char hash[LUN_KEY_HASH]) { assert_true(lun_key_hash(text, strlen(text), hash)); }

static inline struct lun_key_digest digest_of(const char *text, lun_us until)
{
    struct lun_key_digest d = { .until = until };
    hash_of(text, d.hash);
    snprintf(d.hint, sizeof d.hint, "%.11s", text);
    return d;
}

/* What a key of that name and text is like: valid for ever. Its strings are borrowed. */
static inline struct lun_key like(const char *name, const char *text)
{
    return (struct lun_key){ .name = name, .rule = { .name = name, .budget = { .limit = -1 } }, .fields = "{}", .life = 1, .version = 1, .made = 1, .changed = 1,
                             .expires = LUN_NEVER, .now = digest_of(text, LUN_NEVER) };
}

static inline struct lun_key *find(const struct lun_keyring *r, const char *text, lun_us wall, enum lun_key_standing *stands)
{
    unsigned char hash[LUN_KEY_HASH];
    hash_of(text, hash);
    return lun_keyring_find(r, hash, wall, stands);
}

/* A ring of these, whose references it takes. */
static inline struct lun_keyring *ring_of(struct lun_key **keys, int n)
{
    struct lun_keyring *r = lun_keyring_new(keys, n);
    for (int i = 0; i < n; i++) lun_key_unref(keys[i]);
    return r;
}
#endif
