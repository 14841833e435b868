/* Keys that were made at run time: what a keys.json, a message of another gateway or an admin's body says. What is taken is written and read again as the
 * same; what an admin may say of a key, keys.json can hold. */
#include "fuzz.h"
#include "gateway/key_file.h"
#include "script/load_key.h"
#include "script/mistakes.h"
#include "state/snapshot.h"
#include <openssl/evp.h>

#define NOW ((lun_us)1795867200 * LUN_SECOND)       /* 2026-11-28T12:00:00Z */

static bool same(const struct lun_buf *a, const struct lun_buf *b) { return a->n == b->n && !memcmp(a->at, b->at, a->n); }

/* ---- one key ---- */

static void promise_read_again(const struct lun_key *k)
{
    struct lun_buf once = {0}, twice = {0};
    struct lun_json v;
    char *why;
    lun_key_put(&once, k);
    PROMISE(lun_json_check(once.at, once.n, &v, NULL));
    struct lun_key *again = lun_key_read(v, &why);
    if (!again) fuzz_broken(__FILE__, __LINE__, why);
    lun_key_put(&twice, again);
    PROMISE(same(&once, &twice) && !lun_key_is_newer(again, k) && !lun_key_is_newer(k, again));
    lun_key_unref(again);
    lun_buf_free(&once), lun_buf_free(&twice);
}

static void try_key(struct lun_json v)
{
    char *why;
    struct lun_key *k = lun_key_read(v, &why);
    PROMISE(k ? !why : why != NULL);
    if (k) {
        PROMISE(*k->name && k->life > 0 && k->version > 0 && k->n_older >= 0 && k->n_older <= LUN_KEY_OLDER_MOST);
        promise_read_again(k);
    }
    lun_key_unref(k);
    free(why);
}

/* ---- an admin's body ---- */

static void promise_keepable(struct lun_key_form *form)
{
    struct lun_key like = form->key;
    like.life = like.version = like.made = like.changed = 1;
    strcpy(like.now.hint, "sk-lun-AbCd");
    struct lun_key *k = lun_key_new(&like);
    promise_read_again(k);
    lun_key_unref(k);
}

static void promise_told(const struct lun_mistakes *m)
{
    PROMISE(m->n > 0);
    for (int i = 0; i < m->n; i++)
        for (const char *c = m->items[i].what; *c; c++) PROMISE((unsigned char)*c >= ' ' && *c != 127);
}

static void try_form(struct lun_json said, struct lun_json onto, const char *name, unsigned may)
{
    struct lun_key_form form = {0};
    struct lun_mistakes mistakes = {0};
    lun_us keep;
    if (lun_key_form_read(&form, said, onto, name, may, NULL, NOW, &mistakes)) promise_keepable(&form);
    else promise_told(&mistakes);
    lun_key_form_free(&form);
    lun_mistakes_free(&mistakes);
    if (lun_key_keep_read(said, &keep, &mistakes)) PROMISE(keep >= 0 && keep <= 366 * 86400 * LUN_SECOND);
    else promise_told(&mistakes);
    lun_mistakes_free(&mistakes);
}

/* ---- a whole file ---- */

static void try_file(const char *text, size_t n)
{
    char *why;
    struct lun_buf once = {0}, twice = {0};
    struct lun_keyring *r = lun_key_file_read(text, n, &why), *again;
    PROMISE(r ? !why : why != NULL);
    free(why);
    if (!r) return;
    lun_key_file_put(&once, r);
    PROMISE((again = lun_key_file_read(once.at, once.n, &why)) && again->n == r->n);
    lun_key_file_put(&twice, again);
    PROMISE(same(&once, &twice));
    for (int i = 0; i < r->n; i++) {
        enum lun_key_standing stands;
        PROMISE(lun_keyring_named(r, r->keys[i]->name) == r->keys[i] && (!i || strcmp(r->keys[i - 1]->name, r->keys[i]->name) < 0));
        PROMISE(lun_keyring_find(r, r->keys[i]->now.hash, NOW, &stands) == r->keys[i] && stands == lun_key_stands(r->keys[i], NOW));
    }
    lun_keyring_unref(r), lun_keyring_unref(again);
    lun_buf_free(&once), lun_buf_free(&twice);
}

/* With the sum that no chance finds. */
static void try_list(struct lun_json list)
{
    unsigned char hash[LUN_KEY_HASH];
    char sum[LUN_KEY_HASH_TEXT];
    struct lun_buf text = {0};
    EVP_Digest(list.at, list.n, hash, NULL, EVP_sha256(), NULL);
    lun_key_hash_text(hash, sum);
    lun_buf_printf(&text, "{\"format\":1,\"sum\":\"%s\",\"keys\":", sum);
    lun_buf_add(&text, list.at, list.n), lun_buf_puts(&text, "}");
    try_file(text.at, text.n);
    lun_buf_free(&text);
}

static void promise_hash(const char *text)
{
    unsigned char hash[LUN_KEY_HASH];
    char again[LUN_KEY_HASH_TEXT];
    if (!lun_key_hash_read(text, hash)) return;
    lun_key_hash_text(hash, again);
    PROMISE(!strcasecmp(text, again));
}

/* A text, and behind a zero byte perhaps another: the fields that the first changes. */
void fuzz_keys(struct input in)
{
    unsigned may = take(&in) & 7;
    char *copy = copy_of(in.at, in.n), *zero = memchr(copy, 0, in.n);
    size_t n = zero ? (size_t)(zero - copy) : in.n;
    struct lun_json said, onto;
    try_file(copy, n);
    if (zero) promise_hash(copy);
    if (!zero || !lun_json_check(zero + 1, in.n - n - 1, &onto, NULL) || lun_json_type(onto) != LUN_JSON_OBJECT) onto = (struct lun_json){0};
    if (lun_json_check(copy, n, &said, NULL)) {
        try_key(said);
        if (lun_json_type(said) == LUN_JSON_ARRAY) try_list(said);
        if (lun_json_type(said) == LUN_JSON_OBJECT) try_form(said, onto, "app", may);
    }
    free(copy);
}
