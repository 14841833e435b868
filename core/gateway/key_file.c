#include "gateway/key_file.h"
#include "base/alloc.h"
#include "base/text.h"
#include "script/load_key.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define LUN_KEY_CHANGES ((int64_t)1 << 53)

/* ---- writing ---- */

static void put_digest(struct lun_buf *out, const struct lun_key_digest *d)
{
    char hash[LUN_KEY_HASH_TEXT];
    lun_key_hash_text(d->hash, hash);
    lun_json_member_text(out, "hash", hash);
    lun_json_member_text(out, "hint", d->hint);
}

static void put_older(struct lun_buf *out, const struct lun_key *k)
{
    lun_json_put_key(out, "older");
    lun_buf_putc(out, '[');
    for (int i = 0; i < k->n_older; i++) {
        lun_buf_puts(out, i ? ",{" : "{");
        put_digest(out, &k->older[i]);
        lun_json_member_int(out, "until", k->older[i].until);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

void lun_key_put(struct lun_buf *out, const struct lun_key *k)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "name", k->name);
    lun_json_member_int(out, "life", k->life);
    lun_json_member_int(out, "version", k->version);
    lun_json_member_int(out, "made", k->made);
    lun_json_member_int(out, "changed", k->changed);
    if (k->expires != LUN_NEVER) lun_json_member_int(out, "expires", k->expires);
    if (k->revoked) lun_json_member_int(out, "revoked", k->revoked);
    put_digest(out, &k->now);
    if (k->n_older) put_older(out, k);
    lun_json_put_key(out, "fields"), lun_buf_puts(out, k->fields);
    lun_buf_putc(out, '}');
}

static void put_sum(struct lun_buf *out, const char *at, size_t n)
{
    unsigned char sum[LUN_KEY_HASH] = {0};
    char text[LUN_KEY_HASH_TEXT];
    EVP_Digest(at, n, sum, NULL, EVP_sha256(), NULL);
    lun_key_hash_text(sum, text);
    lun_buf_puts(out, text);
}

void lun_key_file_put(struct lun_buf *out, const struct lun_keyring *r)
{
    struct lun_buf list = {0};
    lun_buf_puts(&list, "[\n");
    for (int i = 0; r && i < r->n; i++) {
        if (i) lun_buf_puts(&list, ",\n");
        lun_key_put(&list, r->keys[i]);
    }
    lun_buf_puts(&list, "\n]");
    lun_buf_printf(out, "{\"format\":%d,\"sum\":\"", FORMAT);
    put_sum(out, list.at, list.n);
    lun_buf_puts(out, "\",\"keys\":");
    lun_buf_add(out, list.at, list.n);
    lun_buf_puts(out, "}\n");
    lun_buf_free(&list);
}

/* ---- reading ---- */

static bool wrong(char **why, const char *what)
{
    if (!*why) *why = lun_strdup(what);
    return false;
}

static bool unread(char **why, const char *member)
{
    if (!*why) *why = lun_printf("its `%s` cannot be read", member);
    return false;
}

/* One that must be there where `least` is above 0. */
static bool read_int(struct lun_json object, const char *name, int64_t least, int64_t otherwise, int64_t *out, char **why)
{
    struct lun_json v = lun_json_get(object, name);
    *out = otherwise;
    if (!v.n && !least) return true;
    return (lun_json_int(v, out) && *out >= least && *out >= 0) || unread(why, name);
}

static bool read_digest(struct lun_json object, struct lun_key_digest *d, char **why)
{
    struct lun_buf hash = {0}, hint = {0};
    bool good = lun_json_string(lun_json_get(object, "hash"), true, &hash) && !strpbrk(lun_buf_text(&hash), "ABCDEF")
             && lun_key_hash_read(lun_buf_text(&hash), d->hash);           /* as it is written here */
    if (!good) unread(why, "hash");
    else if (!lun_json_string(lun_json_get(object, "hint"), true, &hint) || hint.n >= LUN_KEY_HINT || !lun_text_graphic(lun_buf_text(&hint))) good = unread(why, "hint");
    else strcpy(d->hint, lun_buf_text(&hint));
    lun_buf_free(&hash), lun_buf_free(&hint);
    return good;
}

static bool read_older(struct lun_json list, struct lun_key *k, struct lun_key_digest older[LUN_KEY_OLDER_MOST], char **why)
{
    k->older = older;
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); k->n_older++)
        if (k->n_older == LUN_KEY_OLDER_MOST || !read_digest(e.value, &older[k->n_older], why)
            || !read_int(e.value, "until", 1, 0, &older[k->n_older].until, why)) return unread(why, "older");
    return true;
}

static bool read_numbers(struct lun_json j, struct lun_key *k, char **why)
{
    if (!read_int(j, "life", 1, 0, &k->life, why) || !read_int(j, "version", 1, 0, &k->version, why)) return false;
    if (k->life > LUN_KEY_CHANGES || k->version > LUN_KEY_CHANGES) return unread(why, k->life > LUN_KEY_CHANGES ? "life" : "version");     /* one more is a number still */
    return read_int(j, "made", 1, 0, &k->made, why)
        && read_int(j, "changed", 1, 0, &k->changed, why) && read_int(j, "expires", 0, LUN_NEVER, &k->expires, why) && read_int(j, "revoked", 0, 0, &k->revoked, why);
}

static bool read_fields(struct lun_json j, struct lun_key_form *form, char **why)
{
    struct lun_mistakes mistakes = {0};
    char *name = lun_json_string_in(lun_json_get(j, "name"), true, &form->arena, NULL);
    struct lun_json fields = lun_json_get(j, "fields");
    if (!name || !*name) return unread(why, "name");
    if (lun_json_type(fields) != LUN_JSON_OBJECT) return unread(why, "fields");
    bool good = lun_key_form_read(form, fields, (struct lun_json){0}, name, 0, NULL, 0, &mistakes);
    if (!good && !*why) *why = lun_printf("its `fields`: %s", mistakes.n ? mistakes.items[0].what : "cannot be read");
    lun_mistakes_free(&mistakes);
    return good;
}

struct lun_key *lun_key_read(struct lun_json j, char **why)
{
    struct lun_key_digest older[LUN_KEY_OLDER_MOST] = {0};
    struct lun_key_form form = {0};
    struct lun_key *k = NULL, *like = &form.key;
    *why = NULL;
    bool good = read_fields(j, &form, why) && read_numbers(j, like, why) && read_digest(j, &like->now, why);
    if (good && read_older(lun_json_get(j, "older"), like, older, why)) k = lun_key_new(like);
    lun_key_form_free(&form);
    return k;
}

/* The list, if all around it is right. */
static struct lun_json list_of(const char *text, size_t n, char **why)
{
    struct lun_buf sum = {0};
    struct lun_json all, none = {0}, list;
    int64_t format = 0;
    if (!lun_json_check(text, n, &all, NULL) || lun_json_type(all) != LUN_JSON_OBJECT) return wrong(why, "it is not whole"), none;
    if (!lun_json_int(lun_json_get(all, "format"), &format) || format != FORMAT) return wrong(why, "it is of another version of the program"), none;
    list = lun_json_get(all, "keys");
    if (lun_json_type(list) != LUN_JSON_ARRAY) return wrong(why, "it holds no list of keys"), none;
    put_sum(&sum, list.at, list.n);
    bool same = lun_json_is(lun_json_get(all, "sum"), lun_buf_text(&sum));
    lun_buf_free(&sum);
    return same ? list : (wrong(why, "it is not as it was written: its sum is another one"), none);
}

/* What two entries may not have in common. */
static bool are_distinct(const struct lun_keyring *r, int n, char **why)
{
    enum lun_key_standing stands;
    if (r->n < n) return wrong(why, "a name is in it twice");
    for (int i = 0; i < r->n; i++)
        if (lun_keyring_find(r, r->keys[i]->now.hash, 0, &stands) != r->keys[i]) return wrong(why, "two keys in it have the same hash");
    return true;
}

static void put_where(char **why, size_t index)
{
    char *what = *why;
    *why = lun_printf("key number %zu: %s", index + 1, what ? what : "it cannot be read");
    free(what);
}

struct lun_keyring *lun_key_file_read(const char *text, size_t n, char **why)
{
    *why = NULL;
    struct lun_json list = list_of(text, n, why);
    size_t count = lun_json_count(list);
    if (!list.n) return NULL;
    if (count > LUN_KEYS_MOST) return wrong(why, "there are too many keys in it"), NULL;
    struct lun_key **keys = lun_alloc((count + 1) * sizeof *keys);
    struct lun_keyring *r = NULL;
    int got = 0;
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); got++)
        if (!(keys[got] = lun_key_read(e.value, why))) { put_where(why, e.index); break; }
    if (got == (int)count) r = lun_keyring_new(keys, got);
    if (r && !are_distinct(r, got, why)) lun_keyring_unref(r), r = NULL;
    while (got--) lun_key_unref(keys[got]);
    free(keys);
    return r;
}
