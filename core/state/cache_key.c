#include "state/cache_key.h"
#include "base/hex.h"
#include "state/canonical.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a JSON text means ---- */

#define KNOWN 32                /* members of an object whose order does not count; of larger ones that of the rest does, and is safe too */

struct reader {
    struct lun_siphash secret;
    const char *at, *end;
    const struct rule *rules;   /* of the members at the top; NULL: all count */
    unsigned without;           /* rules in force: those members are left out */
    bool stored;
    int depth;
};
struct member { struct lun_digest key, value; };

static struct lun_digest value(struct reader *);

static void blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) r->at++;
}

static const char *string(struct reader *r)         /* to its end; where it began */
{
    const char *start = r->at++, *quote = r->at;
    while ((quote = memchr(quote, '"', (size_t)(r->end - quote)))) {
        const char *before = quote++;
        while (before[-1] == '\\') before--;                    /* the first quote stands before all of them */
        if ((quote - 1 - before) % 2) continue;
        r->at = quote;
        return start;
    }
    r->at = r->end;
    return start;
}

/* A text as it enters a fold, which is keyed: a short one is itself (its length is the last byte), of a longer one the digest, which nobody can
 * know and so nobody can write. */
static struct lun_digest text_of(const struct reader *r, const char *text, size_t n)
{
    struct lun_digest d = {0};
    if (n >= sizeof d) return lun_siphash_digest(r->secret, text, n);
    memcpy(&d, text, n);
    d.b |= (uint64_t)n << 56;
    return d;
}

static struct lun_digest scalar(struct reader *r)
{
    const char *start = r->at;
    if (*start == '"') string(r);
    else while (r->at < r->end && !strchr(",]} \n\r\t", *r->at)) r->at++;
    return text_of(r, start, (size_t)(r->at - start));
}

/* A digest of digests; `kind` divides arrays, objects and their members. */
static struct lun_digest fold(const struct reader *r, char kind, struct lun_digest a, struct lun_digest b, uint64_t n)
{
    struct { struct lun_digest a, b; uint64_t kind; } all = { a, b, (uint64_t)(unsigned char)kind | n << 8 };
    return lun_siphash_digest(r->secret, &all, sizeof all);
}

static void add(struct lun_digest *sum, struct lun_digest d)
{
    sum->a += d.a;
    sum->b += d.b;
}

static struct lun_digest array(struct reader *r)
{
    struct lun_digest all = {0};
    uint64_t n = 0;
    for (r->at++, blanks(r); r->at < r->end && *r->at != ']'; blanks(r)) {
        all = fold(r, 1, all, value(r), n++);
        blanks(r);
        if (r->at < r->end && *r->at == ',') r->at++;
    }
    if (r->at < r->end) r->at++;
    return fold(r, 2, all, all, n);
}

static bool twice(const struct member *m, int n)
{
    for (int i = 1; i < n; i++)
        for (int j = 0; j < i; j++) if (m[i].key.a == m[j].key.a && m[i].key.b == m[j].key.b) return true;
    return false;
}

/* A name as what it says: escapes are resolved, so that a member that occurs twice is seen to. */
static struct lun_digest name_of(const struct reader *r, struct lun_json name)
{
    struct lun_buf text = {0};
    if (!memchr(name.at, '\\', name.n)) return text_of(r, name.at + 1, name.n >= 2 ? name.n - 2 : 0);
    lun_json_string(name, false, &text);
    struct lun_digest d = text_of(r, text.n ? text.at : "", text.n);
    lun_buf_free(&text);
    return d;
}

/* Members at the top that say who asks or how the answer is to come, not what is wanted. */
#define RULE(name, reads) { name, sizeof name - 1, reads }
static const struct rule { const char *name; size_t n; unsigned reads; } rules[] = {
    RULE("store", LUN_READS_BODY), RULE("stream", LUN_READS_STREAM), RULE("stream_options", LUN_READS_BODY), RULE("user", LUN_READS_BODY),
    RULE("safety_identifier", LUN_READS_BODY), RULE("metadata", LUN_READS_BODY), RULE("prompt_cache_key", LUN_READS_BODY), { NULL, 0, 0 } };

unsigned lun_cache_key_field(const char *name)
{
    for (const struct rule *rule = rules; rule->name; rule++) if (!strcmp(rule->name, name)) return rule->reads;
    return 0;
}

/* The rule for a member; NULL: it counts as it is. */
static const struct rule *rule_of(const struct reader *r, struct lun_json name)
{
    if (r->depth || !r->rules) return NULL;
    bool escaped = memchr(name.at, '\\', name.n);
    for (const struct rule *rule = r->rules; rule->name; rule++)
        if (escaped ? lun_json_is(name, rule->name) : name.n - 2 == rule->n && !memcmp(name.at + 1, rule->name, rule->n)) return rule;
    return NULL;
}

static struct lun_digest object(struct reader *r)
{
    struct member m[KNOWN];
    struct lun_digest sum = {0};
    int known = 0;
    uint64_t n = 0;
    for (r->at++, blanks(r); r->at < r->end && *r->at != '}'; blanks(r)) {
        const char *start = string(r);
        struct lun_json name = { start, (size_t)(r->at - start) };
        const struct rule *rule = rule_of(r, name);
        blanks(r);
        r->at++;                                                /* the colon */
        blanks(r);
        r->depth++;
        const char *text = r->at;
        struct lun_digest v = value(r), key = name_of(r, name);
        r->depth--;
        if (rule == rules && r->at - text == 4 && !memcmp(text, "true", 4)) r->stored = true;      /* store */
        blanks(r);
        if (r->at < r->end && *r->at == ',') r->at++;
        if (rule && !(r->without & rule->reads)) continue;
        n++;
        if (known < KNOWN) m[known++] = (struct member){ key, v };
        else add(&sum, fold(r, 3, key, v, n));                  /* its place counts */
    }
    if (r->at < r->end) r->at++;
    bool placed = twice(m, known);                              /* which of two comes last decides: all places count */
    for (int i = 0; i < known; i++) add(&sum, fold(r, 3, m[i].key, m[i].value, placed ? (uint64_t)i + 1 : 0));
    return fold(r, 4, sum, sum, n);
}

static struct lun_digest value(struct reader *r)
{
    blanks(r);
    if (r->at >= r->end) return (struct lun_digest){0};
    return *r->at == '{' ? object(r) : *r->at == '[' ? array(r) : scalar(r);
}

struct lun_digest lun_cache_key_json(struct lun_siphash secret, const char *text, size_t n)
{
    struct reader r = { .secret = secret, .at = text, .end = text + n };
    struct lun_digest d = value(&r);
    return fold(&r, 5, d, d, 0);
}

/* ---- the request ---- */

/* What comes in is folded to a digest whenever the room is full; each text has its length before it. */
struct list {
    struct lun_buf *all;                /* not folded: all of it goes there, in words that other processes have too. NULL: folded */
    struct lun_siphash secret; size_t n; char at[1024];
};

static void put(struct list *l, const void *bytes, size_t n)
{
    struct lun_digest d;
    if (l->all) { lun_buf_add(l->all, bytes, n); return; }
    if (n > sizeof l->at / 2) {
        d = lun_siphash_digest(l->secret, bytes, n);
        bytes = &d;
        n = sizeof d;
    }
    if (l->n + n > sizeof l->at) {
        struct lun_digest all = lun_siphash_digest(l->secret, l->at, l->n);
        memcpy(l->at, &all, sizeof all);
        l->n = sizeof all;
    }
    if (n) memcpy(l->at + l->n, bytes, n);
    l->n += n;
}

static void put_number(struct list *l, uint64_t n) { put(l, &n, sizeof n); }

static void put_text(struct list *l, const char *text)
{
    put_number(l, text ? strlen(text) : UINT64_MAX);
    if (text) put(l, text, strlen(text));
}

static void put_targets(struct list *l, const struct lun_target *const *targets, int n)
{
    put_number(l, (uint64_t)n);
    for (int i = 0; i < n; i++)
        if (l->all) put_text(l, targets[i]->name);
        else put(l, &targets[i]->index, sizeof targets[i]->index);      /* of one version: the place is the name */
}

/* Headers that differ from one request to the next and mean nothing. */
static bool says_nothing(const char *name)
{
    static const char *const nothing[] = { "baggage", "cache-control", "connection", "content-length", "idempotency-key", "te", "traceparent", "tracestate",
                                           "x-lunette-cache", "x-lunette-explain", "x-request-id", "x-stainless-retry-count" };
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) if (!strcmp(nothing[i], name)) return true;
    return false;
}

static void put_read(struct list *l, const struct lun_question *q, unsigned reads)
{
    put_number(l, reads);
    if (reads & LUN_READS_USER) put_text(l, q->user);
    if (reads & LUN_READS_SESSION) put_text(l, q->session);
    if (reads & LUN_READS_CLIENT) put_text(l, q->client ? q->client->name : NULL);
    if (reads & LUN_READS_RETRY) put_number(l, (uint64_t)q->client_retry);
    if (!(reads & LUN_READS_HEADERS)) return;
    for (int i = 0; i < q->n_headers; i++) {
        if (says_nothing(q->headers[i].name)) continue;
        put_text(l, q->headers[i].name);
        put_text(l, q->headers[i].value);
    }
}

static void put_facts(struct list *l, const struct lun_question *q)
{
    if (l->all) put(l, q->snapshot->alike, sizeof q->snapshot->alike);
    else put_text(l, q->snapshot->version);
    put_text(l, q->tuning ? q->tuning->json : NULL);
    put_text(l, q->client && !q->snapshot->cache.shared ? q->client->name : NULL);
    put_number(l, (uint64_t)q->endpoint << 1 | (q->client && !q->client->substitute));
    put_text(l, q->task);
    put_text(l, q->class);
    put_number(l, (uint64_t)q->budget);                         /* the core itself passes over what does not fit it */
    put_number(l, (uint64_t)q->n_labels);
    for (int i = 0; i < q->n_labels; i++) put_text(l, q->labels[i]);
    put_number(l, (uint64_t)q->n_tags);
    for (int i = 0; i < q->n_tags; i++) {
        put_text(l, q->tags[i].name);
        put_text(l, q->tags[i].value);
    }
    put_targets(l, q->targets, q->n_targets);
    put_targets(l, q->asked, q->n_asked);
}

void lun_cache_key_make(struct lun_cache_key *k, struct lun_siphash secret, const struct lun_question *q, bool hooks)
{
    unsigned reads = hooks ? atomic_load_explicit(&q->snapshot->reads, memory_order_relaxed) : 0;
    struct reader r = { .secret = secret, .at = q->body, .end = q->body + q->body_n, .rules = rules, .without = reads };
    struct list l;
    struct lun_digest body = value(&r);
    l.all = NULL;
    l.secret = secret;
    l.n = 0;
    put_number(&l, hooks);
    put_facts(&l, q);
    put_read(&l, q, reads);
    put(&l, &body, sizeof body);
    *k = (struct lun_cache_key){ .digest = lun_siphash_digest(secret, l.at, l.n), .reads = reads, .stored = r.stored };
}

/* ---- its name ---- */

#define FORMAT 1                        /* of what a name is made of: another one is another name for everything */

static bool is_left_out(void *self, struct lun_json name)
{
    const struct lun_cache_key *k = self;
    for (const struct rule *rule = rules; rule->name; rule++) if (lun_json_is_n(name, rule->name, rule->n)) return !(k->reads & rule->reads);
    return false;
}

void lun_cache_key_name(char out[LUN_CACHE_NAME], struct lun_cache_key *k, const struct lun_question *q, bool hooks)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    struct lun_buf all = {0};
    struct list l;
    l.all = &all;
    put_number(&l, FORMAT);
    put_number(&l, hooks);
    put_facts(&l, q);
    put_read(&l, q, k->reads);
    lun_canonical_put(&all, q->body, q->body_n, is_left_out, k);
    if (!EVP_Digest(all.at, all.n, sum, NULL, EVP_sha256(), NULL)) abort();
    lun_hex_write(out, sum, LUN_CACHE_NAME / 2);
    lun_buf_free(&all);
}
