/* The admin interface's part for shadows: one is begun, looked at, ended. */
#include "base/alloc.h"
#include "gateway/admin_parts.h"
#include "gateway/view.h"
#include <stdlib.h>

#define LONGEST (7 * 86400.0)       /* seconds */

struct asked_shadow { struct asked asked; struct lun_admin *admin; };    /* first, as who waits is known by it */

static struct asked_shadow *wait_for(struct visit *v)
{
    struct asked_shadow *a = lun_zalloc(sizeof *a);
    *a = (struct asked_shadow){ { v->exchange }, v->admin };
    lun_exchange_set_user(v->exchange, &a->asked);
    return a;
}

static void told(void *self, const struct lun_change_result *r)
{
    struct asked_shadow *a = self;
    struct lun_buf body = {0};
    if (r->status != 200) lun_view_result(r, &body);
    else {
        lun_buf_puts(&body, "{\"shadow\":");
        lun_changes_show_shadow(a->admin->options.changes, &body);
        lun_view_warnings(r, &body);
        lun_buf_putc(&body, '}');
    }
    if (a->asked.exchange) lun_admin_reply(a->asked.exchange, r->status, &body);
    lun_buf_free(&body);
    free(a);
}

void lun_admin_shadow(struct visit *v)
{
    struct lun_buf out = {0};
    lun_changes_show_shadow(v->admin->options.changes, &out);
    lun_admin_reply(v->exchange, 200, &out);
}

/* False: it is there, and no number within these bounds. */
static bool take(struct lun_json body, const char *name, double min, double max, double *out)
{
    struct lun_json value = lun_json_get(body, name);
    double number;
    if (!value.n) return true;
    if (!lun_json_double(value, &number) || !(number >= min && number <= max)) return false;
    *out = number;
    return true;
}

/* NULL: they are taken; otherwise what is wrong. */
static const char *read_terms(struct lun_json body, struct lun_shadow_terms *t)
{
    double seconds = 0, requests = (double)t->bounds.requests;
    if (!take(body, "seconds", 0.001, LONGEST, &seconds) || seconds <= 0) return "an object is wanted: {\"seconds\":600}, 0.001 to 604800";
    if (!take(body, "share", 1e-6, 1, &t->share)) return "share: a number above 0, at most 1";
    if (!take(body, "errors", 0, 1, &t->bounds.errors)) return "errors: a share of the requests, 0 to 1";
    if (!take(body, "cost", -1, 1e6, &t->bounds.cost)) return "cost: by what share it may be dearer: 0.05; less than 0: it must be cheaper";
    if (!take(body, "requests", 1, 1e12, &requests)) return "requests: how many at least, from 1";
    t->lasts = lun_us_from_seconds(seconds);
    t->bounds.requests = (int64_t)requests;
    t->force = lun_json_true(lun_json_get(body, "force"));
    return NULL;
}

void lun_admin_shadow_begin(struct visit *v)
{
    struct lun_shadow_terms terms = LUN_SHADOW_TERMS;
    const char *wrong = read_terms(v->body, &terms);
    if (wrong) { lun_admin_refuse(v->exchange, 422, wrong); return; }
    char *by = lun_admin_who(v);
    lun_changes_shadow(v->admin->options.changes, by, &terms, told, wait_for(v));
    free(by);
}

static void told_change(void *self, const struct lun_change_result *r)
{
    struct asked_shadow *a = self;
    struct lun_buf body = {0};
    lun_view_result(r, &body);
    if (a->asked.exchange) lun_admin_reply(a->asked.exchange, r->status, &body);
    lun_buf_free(&body);
    free(a);
}

void lun_admin_shadow_finish(struct visit *v)
{
    char *by = lun_admin_who(v);
    lun_changes_shadow_due(v->admin->options.changes, by, told_change, wait_for(v));
    free(by);
}

void lun_admin_shadow_end(struct visit *v)
{
    struct lun_buf why = {0};
    char *by = lun_admin_who(v);
    lun_json_string(lun_json_get(v->body, "why"), true, &why);
    lun_changes_unshadow(v->admin->options.changes, by, lun_buf_text(&why), told, wait_for(v));
    lun_buf_free(&why);
    free(by);
}
