#include "base/alloc.h"
#include "base/hex.h"
#include "wire/redis_parts.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *word, *text; } errors[] = {
#define X(id, word, text) { word, text },
    LUN_REDIS_ERRORS(X)
#undef X
};

const char *lun_redis_error_word(enum lun_redis_error e) { return errors[e].word; }

static enum lun_redis_error of_word(const char *at)
{
    size_t n = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (enum lun_redis_error e = 0; e < LUN_REDIS_CLOSED; e++)
        if (strlen(errors[e].word) == n && !memcmp(errors[e].word, at, n)) return e;
    return LUN_REDIS_OTHER;
}

/* "ERR The user executing the script can't run this command …" (Redis 7.0);
 * "ERR Error running script (call to f_0123…): @user_script:1: @user_script: 1: -OOM command not allowed …" */
enum lun_redis_error lun_redis_error_of(const char *text)
{
    enum lun_redis_error e = of_word(text);
    if (e == LUN_REDIS_OTHER && strstr(text, "user executing the script can't")) return LUN_REDIS_NOPERM;
    const char *inner = e == LUN_REDIS_OTHER ? strstr(text, "@user_script") : NULL;
    inner = inner ? strstr(inner, ": -") : NULL;
    return inner ? of_word(inner + 3) : e;
}

void lun_redis_say(char why[LUN_REDIS_WHY], const char *place, enum lun_redis_error e, const char *detail)
{
    char shown[160];
    snprintf(shown, sizeof shown, "%s", detail ? detail : "");
    for (char *c = shown; *c; c++) if (*c < ' ' || *c > '~') *c = '?';
    snprintf(why, LUN_REDIS_WHY, *shown ? "%s %s (%s)" : "%s %s", place, errors[e].text, shown);
}

bool lun_redis_is_whole(const struct lun_redis_reply *r, int least)
{
    for (int i = 0; i < r->n; i++) if (!r->items[i]) return false;
    return r->result == LUN_REDIS_OK && r->n >= least;
}

const char *lun_redis_digest(const char *script, char out[41])
{
    unsigned char sha[EVP_MAX_MD_SIZE] = { 0 };
    EVP_Digest(script, strlen(script), sha, NULL, EVP_sha1(), NULL);      /* a wrong one is a script that is not known: then EVAL */
    lun_hex_write(out, sha, 20);
    return out;
}

static void *make_list(const redisReadTask *task, int n)
{
    const struct lun_redis_parser *p = task->privdata;
    return n <= LUN_REDIS_ITEMS ? p->make_list(task, n) : NULL;
}

void lun_redis_parser_open(struct lun_redis_parser *p)
{
    p->reader = redisReaderCreate();
    if (!p->reader) abort();
    p->functions = *p->reader->fn;
    p->make_list = p->functions.createArray, p->functions.createArray = make_list;
    p->reader->fn = &p->functions, p->reader->privdata = p;
}

void lun_redis_parser_close(struct lun_redis_parser *p)
{
    if (p->reader) redisReaderFree(p->reader);
    p->reader = NULL;
}

static bool take(struct lun_redis_answer *a, int i, const redisReply *r)
{
    switch (r->type) {
    case REDIS_REPLY_STRING: case REDIS_REPLY_STATUS: a->items[i] = r->str, a->lens[i] = r->len; return true;
    case REDIS_REPLY_INTEGER: a->lens[i] = (size_t)snprintf(a->numbers[i], sizeof *a->numbers, "%lld", r->integer), a->items[i] = a->numbers[i]; return true;
    case REDIS_REPLY_NIL: return true;
    default: return false;
    }
}

bool lun_redis_answer_read(struct lun_redis_answer *a, const redisReply *r, const char *place, char why[LUN_REDIS_WHY])
{
    bool list = r->type == REDIS_REPLY_ARRAY;
    *a = (struct lun_redis_answer){ .reply = { .result = LUN_REDIS_OK } };
    if (r->type == REDIS_REPLY_ERROR) {
        enum lun_redis_error e = lun_redis_error_of(r->str);
        lun_redis_say(why, place, e, r->str);
        a->reply = (struct lun_redis_reply){ .result = LUN_REDIS_ERROR, .kind = e, .why = why };
        return true;
    }
    size_t n = list ? r->elements : 1;
    a->items = lun_zalloc((n + 1) * sizeof *a->items), a->lens = lun_zalloc((n + 1) * sizeof *a->lens), a->numbers = lun_alloc((n + 1) * sizeof *a->numbers);
    a->reply.n = (int)n, a->reply.items = a->items, a->reply.lens = a->lens;
    bool flat = true;
    for (size_t i = 0; flat && i < n; i++) flat = take(a, (int)i, list ? r->element[i] : r);
    if (!flat) lun_redis_answer_free(a);
    return flat;
}

void lun_redis_answer_free(struct lun_redis_answer *a)
{
    free(a->items);
    free(a->lens);
    free(a->numbers);
    *a = (struct lun_redis_answer){ 0 };
}
