/* Redis: an address that is one is shown so that it is read again as the same place, its password never; an answer is the same however it was cut. */
#include "fuzz.h"
#include "state/redis_address.h"
#include "wire/redis_parts.h"

/* ---- addresses ---- */

static bool same_text(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

static void promise_address(const char *url)
{
    struct lun_redis_address a, b;
    char shown[LUN_REDIS_SHOWN + 512];
    const char *wrong = lun_redis_address_read(&a, url);
    PROMISE(!wrong || strncmp(wrong, "must ", 5) == 0);
    if (wrong) return;
    PROMISE((a.path || (a.host && *a.host && a.port > 0 && a.port < 65536)) && a.db >= 0 && a.db <= LUN_REDIS_DB_MOST && (!a.user || a.password));
    lun_redis_address_show(&a, shown, sizeof shown);
    PROMISE(strlen(shown) < LUN_REDIS_SHOWN && !lun_redis_address_read(&b, shown));
    PROMISE(same_text(a.path, b.path) && same_text(a.host, b.host) && (a.path || a.port == b.port) && a.db == b.db && a.tls == b.tls && !b.user && !b.password);
}

/* ---- answers ---- */

static void put_item(struct lun_buf *out, const char *item, size_t n)
{
    if (!item) { lun_buf_puts(out, "nil "); return; }
    PROMISE(!item[n]);
    lun_buf_printf(out, "%zu:", n), lun_buf_add(out, item, n);
}

/* False: a list within a list. */
static bool put_answer(struct lun_buf *out, const redisReply *r)
{
    struct lun_redis_answer a;
    char why[LUN_REDIS_WHY];
    if (!lun_redis_answer_read(&a, r, "redis://there", why)) { lun_buf_puts(out, "nested"); return false; }
    PROMISE(a.reply.result == LUN_REDIS_OK || a.reply.result == LUN_REDIS_ERROR);
    if (a.reply.result == LUN_REDIS_ERROR) {
        PROMISE(a.reply.kind < LUN_REDIS_CLOSED && a.reply.why == why && strlen(why) < sizeof why);
        for (const char *c = why; *c; c++) PROMISE((unsigned char)*c >= ' ' && *c != 127);
        lun_buf_printf(out, "error %s", why);
    } else for (int i = 0; i < a.reply.n; i++) put_item(out, a.reply.items[i], a.reply.lens[i]);
    lun_buf_putc(out, '\n');
    lun_redis_answer_free(&a);
    return true;
}

static struct lun_buf read_cut(struct input in, struct cuts *cuts)
{
    struct lun_redis_parser p;
    struct lun_buf out = {0};
    bool good = true;
    lun_redis_parser_open(&p);
    for (size_t at = 0, n; good && at < in.n; at += n) {
        void *reply = NULL;
        n = cuts ? next_piece(cuts, in.n - at) : in.n - at;
        good = redisReaderFeed(p.reader, in.at + at, n) == REDIS_OK;
        while (good && (good = redisReaderGetReply(p.reader, &reply) == REDIS_OK) && reply) {
            good = put_answer(&out, reply);
            freeReplyObject(reply);
        }
    }
    if (!good) lun_buf_puts(&out, "strange");
    lun_redis_parser_close(&p);
    return out;
}

void fuzz_redis(struct input in)
{
    struct cuts cuts = take_cuts(&in);
    char *url = lun_strndup(in.at, in.n);
    struct lun_buf whole = read_cut(in, NULL), cut = read_cut(in, &cuts);
    PROMISE(whole.n == cut.n && (!whole.n || !memcmp(whole.at, cut.at, whole.n)));
    if (strlen(url) == in.n) promise_address(url);
    free(url);
    lun_buf_free(&whole), lun_buf_free(&cut);
}
