/* /admin/requests: those that are over, as far as they are remembered. */
#include "base/alloc.h"
#include "gateway/admin_parts.h"
#include <stdlib.h>
#include <string.h>

/* ---- the last ---- */

static bool how_many(struct lun_slice query, uint64_t *n)
{
    if (query.n < 3 || query.n > 8 || memcmp(query.at, "n=", 2)) return false;
    *n = 0;
    for (const char *p = query.at + 2; p < query.at + query.n; p++) {
        if (*p < '0' || *p > '9') return false;
        *n = *n * 10 + (uint64_t)(*p - '0');
    }
    return *n > 0;
}

void lun_admin_recent(struct visit *v)
{
    struct lun_ring *recent = v->admin->options.recent;
    struct lun_buf out = {0};
    uint64_t n;
    if (!how_many(v->head->query, &n)) { lun_admin_refuse(v->exchange, 400, "the only parameter here is ?n=50: how many of the last requests, from 1"); return; }
    uint64_t newest = lun_ring_newest(recent), number = newest;
    lun_buf_puts(&out, "{\"requests\":[");
    for (size_t before; number && newest - number < n; number--) {
        before = out.n;
        if (number < newest) lun_buf_putc(&out, ',');
        if (lun_ring_get(recent, number, &out, NULL)) continue;
        out.n = before;                 /* others have come in its place */
        break;
    }
    lun_buf_puts(&out, "]}");
    lun_admin_reply(v->exchange, 200, &out);
}

/* ---- one of them ---- */

static bool is_called(struct lun_json line, const char *name)
{
    if (lun_json_is(lun_json_get(line, "id"), name) || lun_json_is(lun_json_get(line, "client_request_id"), name)) return true;
    for (struct lun_json_each e = lun_json_each(lun_json_get(line, "attempts")); lun_json_next(&e); )
        if (lun_json_is(lun_json_get(e.value, "provider_request_id"), name)) return true;
    return false;
}

/* The latest of that name: a client may call several the same. False: none is remembered. */
static bool find(struct lun_ring *recent, const char *name, struct lun_buf *line, struct lun_buf *why)
{
    for (uint64_t number = lun_ring_newest(recent); number; number--) {
        line->n = why->n = 0;
        if (!lun_ring_get(recent, number, line, why)) return false;
        if (memmem(line->at, line->n, name, strlen(name)) && is_called((struct lun_json){ line->at, line->n }, name)) return true;
    }
    return false;
}

static void put_captured(const struct lun_admin *a, struct lun_json line, struct lun_buf *out)
{
    struct lun_buf id = {0}, captured = {0};
    if (lun_json_string(lun_json_get(line, "id"), true, &id) && lun_captured_get(a->options.captured, lun_buf_text(&id), a->options.reactor->loop.now, &captured)) {
        lun_json_put_key(out, "captured");
        lun_buf_add(out, captured.at, captured.n);
    }
    lun_buf_free(&id), lun_buf_free(&captured);
}

void lun_admin_request(struct visit *v)
{
    char *name = lun_admin_name(v);
    struct lun_buf line = {0}, why = {0}, out = {0};
    if (name && find(v->admin->options.recent, name, &line, &why)) {
        lun_buf_puts(&out, "{\"request\":");
        lun_buf_add(&out, line.at, line.n);
        lun_buf_puts(&out, ",\"explanation\":");
        if (why.n) lun_buf_add(&out, why.at, why.n);
        else lun_buf_puts(&out, "null");
        put_captured(v->admin, (struct lun_json){ line.at, line.n }, &out);
        lun_buf_putc(&out, '}');
        lun_admin_reply(v->exchange, 200, &out);
    } else lun_admin_refuse(v->exchange, 404, "no request of this id is remembered: it is not over yet, too long ago, or was asked of another gateway");
    lun_buf_free(&line), lun_buf_free(&why);
    free(name);
}
