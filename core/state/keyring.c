#include "state/keyring.h"
#include "base/alloc.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* ---- one key: all of it in one piece of memory ---- */

struct packing { char *at; size_t n; };         /* at NULL: only measures */

static void *pack(struct packing *p, const void *what, size_t n)
{
    void *here = p->at ? p->at + p->n : NULL;
    if (here && n) memcpy(here, what, n);
    p->n += (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    return here;
}

static const char *pack_text(struct packing *p, const char *text) { return text ? pack(p, text, strlen(text) + 1) : NULL; }

static void pack_models(struct packing *p, const struct lun_client_rule *like, struct lun_client_rule *rule)
{
    const char **names = pack(p, like->models, (size_t)like->n_models * sizeof *names);
    for (int i = 0; i < like->n_models; i++) {
        const char *name = pack_text(p, like->models[i]);
        if (names) names[i] = name;
    }
    rule->models = names;
}

static void pack_tags(struct packing *p, const struct lun_client_rule *like, struct lun_client_rule *rule)
{
    struct lun_pair *tags = pack(p, like->tags, (size_t)like->n_tags * sizeof *tags);
    for (int i = 0; i < like->n_tags; i++) {
        struct lun_pair tag = { pack_text(p, like->tags[i].name), pack_text(p, like->tags[i].value) };
        if (tags) tags[i] = tag;
    }
    rule->tags = tags;
}

/* Once to measure, with a `k` that means nothing, once to copy. */
static void pack_key(struct packing *p, const struct lun_key *like, struct lun_key *k)
{
    pack(p, like, sizeof *like);
    k->rule.name = k->name = pack_text(p, like->name);
    k->team = pack_text(p, like->team);
    k->fields = pack_text(p, like->fields);
    k->rule.class = pack_text(p, like->rule.class);
    k->rule.task = pack_text(p, like->rule.task);
    k->older = pack(p, like->older, (size_t)like->n_older * sizeof *like->older);
    pack_models(p, &like->rule, &k->rule);
    pack_tags(p, &like->rule, &k->rule);
}

/* All but the count of references, which others may change meanwhile. */
struct lun_key lun_key_said(const struct lun_key *k)
{
    struct lun_key said = {0};
    size_t from = offsetof(struct lun_key, rule);
    memcpy((char *)&said + from, (const char *)k + from, sizeof said - from);
    return said;
}

struct lun_key *lun_key_new(const struct lun_key *like)
{
    struct lun_key said = lun_key_said(like), measure = said;
    struct packing p = {0};
    pack_key(&p, &said, &measure);
    struct lun_key *k = lun_alloc(p.n);
    p = (struct packing){ .at = (char *)k };
    pack_key(&p, &said, k);
    memcpy(k->rule.hash, like->now.hash, sizeof k->rule.hash);
    k->rule.team = NULL, k->rule.account = NULL, k->rule.state = NULL, k->rule.index = -1;
    atomic_init(&k->references, 1);
    return k;
}

struct lun_key *lun_key_ref(struct lun_key *k)
{
    if (k) atomic_fetch_add_explicit(&k->references, 1, memory_order_relaxed);
    return k;
}

void lun_key_unref(struct lun_key *k)
{
    if (k && atomic_fetch_sub_explicit(&k->references, 1, memory_order_acq_rel) == 1) free(k);
}

static int order(int64_t a, int64_t b) { return a < b ? -1 : a > b; }

bool lun_key_is_newer(const struct lun_key *k, const struct lun_key *than)
{
    int is = order(k->life, than->life);
    if (!is) is = order(k->revoked != 0, than->revoked != 0);
    if (!is) is = order(k->version, than->version);
    if (!is) is = order(k->changed, than->changed);
    if (!is) is = memcmp(k->now.hash, than->now.hash, sizeof k->now.hash);
    if (!is) is = order(k->expires, than->expires);
    if (!is) is = strcmp(k->fields, than->fields);
    return is > 0;
}

/* ---- how it stands ---- */

enum lun_key_standing lun_key_stands(const struct lun_key *k, lun_us wall)
{
    return k->revoked ? LUN_KEY_REVOKED : k->expires != LUN_NEVER && wall >= k->expires ? LUN_KEY_EXPIRED : LUN_KEY_VALID;
}

const char *lun_key_standing_name(enum lun_key_standing s)
{
    static const char *const names[] = { "unknown", "valid", "expired", "replaced", "revoked" };
    return names[s];
}

/* ---- the ring ---- */

struct lun_key_place { struct lun_key *key; const struct lun_key_digest *digest; };

static size_t first_place(const struct lun_keyring *r, const unsigned char hash[LUN_KEY_HASH])
{
    uint64_t begin;
    memcpy(&begin, hash, sizeof begin);
    return (size_t)begin & (r->room - 1);
}

static void place(struct lun_keyring *r, struct lun_key *k, const struct lun_key_digest *d)
{
    size_t at = first_place(r, d->hash);
    while (r->places[at].key) at = (at + 1) & (r->room - 1);
    r->places[at] = (struct lun_key_place){ k, d };
}

static void make_places(struct lun_keyring *r)
{
    size_t n = 0;
    for (int i = 0; i < r->n; i++) n += 1 + (size_t)r->keys[i]->n_older;
    for (r->room = 16; r->room < 2 * n; r->room *= 2) { }
    r->places = lun_zalloc(r->room * sizeof *r->places);
    for (int i = 0; i < r->n; i++) {
        struct lun_key *k = r->keys[i];
        place(r, k, &k->now);
        for (int j = 0; j < k->n_older; j++) place(r, k, &k->older[j]);
    }
}

static int by_name_then_age(const void *a, const void *b)
{
    const struct lun_key *x = *(struct lun_key *const *)a, *y = *(struct lun_key *const *)b;
    int names = strcmp(x->name, y->name);
    return names ? names : lun_key_is_newer(y, x) - lun_key_is_newer(x, y);
}

struct lun_keyring *lun_keyring_new(struct lun_key *const *keys, int n)
{
    struct lun_keyring *r = lun_zalloc(sizeof *r);
    atomic_init(&r->references, 1);
    r->keys = lun_alloc((size_t)(n + 1) * sizeof *r->keys);
    if (n) memcpy(r->keys, keys, (size_t)n * sizeof *keys);
    qsort(r->keys, (size_t)n, sizeof *r->keys, by_name_then_age);
    for (int i = 0; i < n; i++)
        if (!r->n || strcmp(r->keys[r->n - 1]->name, r->keys[i]->name)) r->keys[r->n++] = r->keys[i];
    for (int i = 0; i < r->n; i++) lun_key_ref(r->keys[i]);
    make_places(r);
    return r;
}

struct lun_keyring *lun_keyring_ref(struct lun_keyring *r)
{
    if (r) atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
    return r;
}

void lun_keyring_unref(struct lun_keyring *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) != 1) return;
    for (int i = 0; i < r->n; i++) lun_key_unref(r->keys[i]);
    free(r->keys);
    free(r->places);
    free(r);
}

static enum lun_key_standing standing(const struct lun_key_place *p, lun_us wall)
{
    enum lun_key_standing key = lun_key_stands(p->key, wall);
    bool replaced = p->digest != &p->key->now && p->digest->until != LUN_NEVER && wall >= p->digest->until;
    return key == LUN_KEY_VALID && replaced ? LUN_KEY_REPLACED : key;
}

struct lun_key *lun_keyring_find(const struct lun_keyring *r, const unsigned char hash[LUN_KEY_HASH], lun_us wall, enum lun_key_standing *stands)
{
    *stands = LUN_KEY_UNKNOWN;
    if (!r || !r->n) return NULL;
    for (size_t at = first_place(r, hash); r->places[at].key; at = (at + 1) & (r->room - 1)) {
        const struct lun_key_place *p = &r->places[at];
        if (CRYPTO_memcmp(p->digest->hash, hash, LUN_KEY_HASH)) continue;
        *stands = standing(p, wall);
        return p->key;
    }
    return NULL;
}

static int where(const struct lun_keyring *r, const char *name)
{
    int low = 0, high = r->n;
    while (low < high) {
        int middle = (low + high) / 2;
        if (strcmp(r->keys[middle]->name, name) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

struct lun_key *lun_keyring_named(const struct lun_keyring *r, const char *name)
{
    int at = r ? where(r, name) : 0;
    return r && at < r->n && !strcmp(r->keys[at]->name, name) ? r->keys[at] : NULL;
}

struct lun_keyring *lun_keyring_with(struct lun_keyring *r, struct lun_key *const *more, int n_more, int *changed)
{
    int n = r ? r->n : 0, newer = 0;
    struct lun_key **all = lun_alloc((size_t)(n + n_more + 1) * sizeof *all);
    if (n) memcpy(all, r->keys, (size_t)n * sizeof *all);
    for (int i = 0; i < n_more; i++) {
        const struct lun_key *before = lun_keyring_named(r, more[i]->name);
        if (!before || lun_key_is_newer(more[i], before)) all[n + newer++] = more[i];
    }
    if (changed) *changed = newer;
    struct lun_keyring *out = newer || !r ? lun_keyring_new(all, n + newer) : lun_keyring_ref(r);
    free(all);
    return out;
}
