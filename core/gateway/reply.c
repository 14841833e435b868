#include "gateway/reply.h"
#include "base/decimal.h"
#include "base/json.h"
#include "base/text.h"
#include "state/health.h"
#include <string.h>

static const struct { int status; const char *code, *type, *should_retry, *message; } codes[] = {
#define X(id, status, code, type, retry, message) { status, code, type, retry, message },
    LUN_CODES(X)
#undef X
};

int lun_code_status(enum lun_code c)       { return codes[c].status; }
const char *lun_code_name(enum lun_code c) { return codes[c].code; }
const char *lun_code_message(enum lun_code c) { return codes[c].message; }

enum lun_code lun_code_of_status(int status)
{
    for (int c = 0; c < LUN_CODE_COUNT; c++) if (codes[c].status == status) return (enum lun_code)c;
    return status < 500 ? LUN_CODE_INVALID_REQUEST : LUN_CODE_UPSTREAM_FAILED;
}

static int status_of(const struct lun_error *e) { return e->status ? e->status : codes[e->code].status; }
static bool exposed(const struct lun_question *q) { return !q->client || q->client->expose; }

/* ---- verdict ---- */

static bool counts(const struct lun_trial *t) { return t->kind != LUN_KIND_SKIPPED && t->kind != LUN_KIND_CANCELLED; }

static void tell_trials(const struct lun_question *q, struct lun_buf *out, bool late)
{
    int told = 0;
    for (const struct lun_trial *t = q->trials; t; t = t->next) {
        bool cancelled = t->kind == LUN_KIND_CANCELLED;
        if (!counts(t) && !(late && cancelled)) continue;
        lun_buf_printf(out, "%s %s: ", told++ ? ";" : ":", exposed(q) ? t->target->name : "attempt");
        if (cancelled) { lun_buf_puts(out, "not finished in time"); continue; }
        lun_buf_printf(out, "%s", lun_kind_name(t->kind));
        if (t->status) lun_buf_printf(out, " (%d)", t->status);
        lun_buf_printf(out, ", %s", t->detail && exposed(q) ? t->detail : lun_kind_text(t->kind));
    }
}

/* When a target would be asked again: when its provider no longer bars it (an open circuit does not, where no other can serve), and when its queue had a turn to give. */
static lun_us free_again(const struct lun_question *q, const struct lun_target *target)
{
    lun_us until = lun_health_barred_until(target, q->loop->now);
    for (const struct lun_trial *t = q->trials; t; t = t->next)
        if (t->target == target && t->kind == LUN_KIND_POOL_FULL && t->ended + t->retry_after > until) until = t->ended + t->retry_after;
    return until;
}

static lun_us soonest(const struct lun_question *q)
{
    lun_us now = q->loop->now, due = LUN_NEVER;
    for (int i = 0; i < q->n_asked; i++) {
        lun_us until = free_again(q, q->asked[i]);
        if (until < due) due = until;
    }
    return due == LUN_NEVER ? 0 : due > now ? due - now : LUN_SECOND;
}

/* The request is at fault, says the last provider asked. */
static bool at_fault(enum lun_kind k) { return k == LUN_KIND_BAD_REQUEST || k == LUN_KIND_TOO_LONG || k == LUN_KIND_FILTERED; }

struct lun_error lun_reply_verdict(struct lun_question *q)
{
    struct lun_error e = { .code = LUN_CODE_RATE_LIMITED };
    struct lun_buf text = {0};
    const struct lun_trial *last = NULL;
    int n = 0, limited = 0, free_of_charge = 0;
    for (const struct lun_trial *t = q->trials; t; t = t->next) {
        if (!counts(t)) continue;
        last = t;
        n++;
        limited += t->kind == LUN_KIND_RATE_LIMITED || t->kind == LUN_KIND_POOL_FULL || t->kind == LUN_KIND_QUOTA;
        free_of_charge += t->kind == LUN_KIND_OVERLOADED;
    }
    if (last && at_fault(last->kind)) e.code = LUN_CODE_INVALID_REQUEST;
    else if (n > limited) e.code = n == limited + free_of_charge ? LUN_CODE_OVERLOADED : LUN_CODE_UPSTREAM_FAILED;
    if (e.code == LUN_CODE_RATE_LIMITED || e.code == LUN_CODE_OVERLOADED) e.retry_after = soonest(q);
    if (!n) lun_buf_puts(&text, "No target can take this now: all of them rest.");
    else if (e.code == LUN_CODE_INVALID_REQUEST) lun_buf_printf(&text, "%s.", last->detail ? last->detail : lun_kind_text(last->kind));
    else {
        lun_buf_printf(&text, "%s %s failed", n > 1 ? "All" : "The", n > 1 ? "attempts" : "attempt");
        tell_trials(q, &text, false);
        lun_buf_puts(&text, q->retry_denied ? ". The budget of retries is used up." : ".");
    }
    e.message = lun_arena_strndup(q->arena, text.at, text.n);
    lun_buf_free(&text);
    return e;
}

struct lun_error lun_reply_late(struct lun_question *q)
{
    struct lun_error e = { .code = LUN_CODE_DEADLINE_EXCEEDED };
    struct lun_buf text = {0};
    lun_buf_puts(&text, "The request's deadline has passed");
    tell_trials(q, &text, true);
    lun_buf_putc(&text, '.');
    e.message = lun_arena_strndup(q->arena, text.at, text.n);
    lun_buf_free(&text);
    return e;
}

const char *lun_reply_unsaid(struct lun_question *q, const struct lun_tag_budget *t)
{
    const char *where[] = {
        [LUN_TAG_FROM_TAGS] = lun_arena_printf(q->arena, "among its tags (x-lunette-tags: %s=…, or metadata.tags)", t->name),
        [LUN_TAG_FROM_HEADER] = lun_arena_printf(q->arena, "in the header %s", t->at),
        [LUN_TAG_FROM_METADATA] = lun_arena_printf(q->arena, "in metadata.%s", t->at),
        [LUN_TAG_FROM_POLICY] = "by what the policy says (lunette.charge)",
    };
    bool may = !q->client || q->client->trust & LUN_TRUST_TAGS || t->from == LUN_TAG_FROM_POLICY;
    return lun_arena_printf(q->arena, "Every request is charged to a `%s` here, and this one has none: it has to be said %s%s.", t->name, where[t->from],
                            may ? "" : ", which this key is not trusted with: the tag has to be the key's own");
}

/* ---- heads ---- */

static const char *const names[] = {
#define X(id, name, ...) name,
    LUN_ANSWER_HEADERS(X)
#undef X
};

void lun_reply_bare(const char *id, struct lun_pair out[LUN_REPLY_BARE])
{
    out[0] = (struct lun_pair){ names[LUN_HEADER_CONTENT_TYPE], "application/json" };
    out[1] = (struct lun_pair){ names[LUN_HEADER_REQUEST_ID], id };
    out[2] = (struct lun_pair){ names[LUN_HEADER_PROVIDER_REQUEST_ID], id };
}

struct list { struct lun_arena *arena; struct lun_pair *at; int n; };

static void put(struct list *l, enum lun_answer_header header, const char *value)
{
    if (!value || !*value || l->n == LUN_HEADER_COUNT) return;
    l->at[l->n++] = (struct lun_pair){ names[header], value };
}

/* What a policy or a file may have put into a name must not end the header line. */
static const char *visible(struct lun_arena *arena, const char *text)
{
    if (!text || lun_text_printable(text, strlen(text))) return text;
    char *copy = lun_arena_strdup(arena, text);
    for (unsigned char *c = (unsigned char *)copy; *c; c++) if (*c < 0x20 || *c >= 0x7f) *c = '?';
    return copy;
}

static const char *labels(struct lun_question *q)
{
    size_t n = 0;
    if (q->n_labels <= 1) return q->n_labels ? q->labels[0] : NULL;
    for (int i = 0; i < q->n_labels; i++) n += strlen(q->labels[i]) + 1;
    char *text = lun_arena_alloc(q->arena, n), *at = text;
    for (int i = 0; i < q->n_labels; i++) {
        if (i) *at++ = ',';
        at = stpcpy(at, q->labels[i]);
    }
    return text;
}

static int attempts(const struct lun_question *q)
{
    int n = 0;
    for (const struct lun_trial *t = q->trials; t; t = t->next) n += t->kind != LUN_KIND_SKIPPED;
    return n;
}

static const char *number(struct lun_arena *a, int64_t n) { return lun_decimal_text(lun_arena_alloc(a, LUN_DECIMAL_ROOM), n); }

static const char *ms(struct lun_arena *a, lun_us t)
{
    char *text = lun_arena_alloc(a, LUN_DECIMAL_ROOM);
    text[lun_decimal_parts(text, t, 3)] = 0;
    return text;
}

static const char *usd(struct lun_arena *a, int64_t nano)
{
    char *text = lun_arena_alloc(a, LUN_DECIMAL_ROOM);
    lun_price_text(nano, text);
    return text;
}

static const char *budget_left(struct lun_question *q)
{
    struct lun_account *accounts[LUN_ACCOUNTS];
    int64_t left = lun_accounts_left(accounts, lun_question_accounts(q, accounts), lun_question_wall(q));
    return left == INT64_MAX ? NULL : usd(q->arena, left);
}

static void put_figures(struct list *l, struct lun_question *q, const struct lun_done *done)
{
    lun_us overhead = done->latency - done->upstream_wait;
    if (!done->trial || !q->trials || lun_price_known(&done->trial->target->price)) put(l, LUN_HEADER_COST, usd(q->arena, done->cost));
    put(l, LUN_HEADER_LATENCY, ms(q->arena, done->latency));
    put(l, LUN_HEADER_OVERHEAD, ms(q->arena, overhead > 0 ? overhead : 0));
    put(l, LUN_HEADER_BUDGET_LEFT, budget_left(q));
}

/* Its name in `models`: the one asked for, if it is among those of that. */
/* As the client would ask for it: what fitted a pattern, not the pattern. */
static const char *model_of(const struct lun_question *q, const struct lun_target *t)
{
    const char *name = lun_question_model_of(q, t);
    return q->entry && name == q->entry->name ? q->model : name;
}

static void put_target(struct list *l, struct lun_question *q, const struct lun_trial *t)
{
    if (!exposed(q)) return;
    put(l, LUN_HEADER_ATTEMPTS, number(q->arena, attempts(q)));
    if (!t) return;
    put(l, LUN_HEADER_MODEL, visible(q->arena, model_of(q, t->target)));
    put(l, LUN_HEADER_TARGET, visible(q->arena, t->target->name));
    put(l, LUN_HEADER_PROVIDER, visible(q->arena, t->target->provider->name));
    put(l, LUN_HEADER_FALLBACK, t->fallback ? "true" : "false");
    if (t->warning) put(l, LUN_HEADER_WARNING, visible(q->arena, t->warning));
    if (t->provider_request_id) put(l, LUN_HEADER_PROVIDER_REQUEST_ID, visible(q->arena, t->provider_request_id));
}

static struct list list_in(struct lun_arena *a)
{
    return (struct list){ .arena = a, .at = lun_arena_alloc(a, LUN_HEADER_COUNT * sizeof(struct lun_pair)) };
}

void lun_reply_head(struct lun_question *q, int status, const char *content_type, const struct lun_trial *t, const struct lun_done *done,
                    const struct lun_error *e, int64_t length, struct lun_head *head)
{
    struct list l = list_in(q->arena);
    put(&l, LUN_HEADER_CONTENT_TYPE, content_type);
    if (length < 0) {
        put(&l, LUN_HEADER_CACHE_CONTROL, "no-cache");
        put(&l, LUN_HEADER_BUFFERING, "no");
    }
    put(&l, LUN_HEADER_REQUEST_ID, q->id);
    put(&l, LUN_HEADER_POLICY, visible(q->arena, q->snapshot->version));
    put(&l, LUN_HEADER_LABELS, visible(q->arena, labels(q)));
    if (t || e || done) put_target(&l, q, t);
    if (!t || !t->provider_request_id || !exposed(q)) put(&l, LUN_HEADER_PROVIDER_REQUEST_ID, q->id);
    if (done) put(&l, LUN_HEADER_CACHE, lun_cache_result_name(done->cache));
    if (done && length >= 0) put_figures(&l, q, done);
    if (e) put(&l, LUN_HEADER_SHOULD_RETRY, codes[e->code].should_retry);
    if (e && e->retry_after) put(&l, LUN_HEADER_RETRY_AFTER, number(q->arena, (e->retry_after + LUN_SECOND - 1) / LUN_SECOND));
    *head = (struct lun_head){ .status = status, .stream = length < 0, .length = length, .headers = l.at, .n_headers = l.n };
}

int lun_reply_trailers(struct lun_question *q, const struct lun_done *done, const struct lun_pair **out)
{
    struct list l = list_in(q->arena);
    put_target(&l, q, done->trial);
    put(&l, LUN_HEADER_CACHE, lun_cache_result_name(done->cache));
    put_figures(&l, q, done);
    *out = l.at;
    return l.n;
}

/* ---- errors ---- */

static void put_budget(struct lun_buf *out, const struct lun_account_view *v, const struct lun_question *q)
{
    char left[24], at[25];
    lun_price_text(v->left > 0 ? v->left : 0, left);
    lun_json_member_text(out, "budget", v->name);
    lun_json_put_key(out, "left");
    lun_buf_puts(out, left);
    lun_json_put_key(out, "resets_at");
    if (!q || v->resets_in == LUN_NEVER) { lun_buf_puts(out, "null"); return; }
    lun_clock_text(lun_question_wall(q) + v->resets_in, at);
    lun_json_put_text(out, at);
}

void lun_reply_error_body(const struct lun_question *q, const struct lun_error *e, struct lun_buf *out)
{
    lun_buf_puts(out, "{\"error\":{");
    lun_json_member_text(out, "message", e->message ? e->message : codes[e->code].message);
    lun_json_member_text(out, "type", codes[e->code].type);
    lun_json_member_text(out, "param", e->param);
    lun_json_member_text(out, "code", codes[e->code].code);
    lun_json_member_int(out, "status", status_of(e));
    if (e->budget) put_budget(out, e->budget, q);
    if (q || e->id) lun_json_member_text(out, "request_id", q ? q->id : e->id);
    lun_buf_puts(out, "}}");
}

void lun_reply_error_event(const struct lun_question *q, const struct lun_error *e, struct lun_buf *out)
{
    lun_buf_puts(out, "data: ");
    lun_reply_error_body(q, e, out);
    lun_buf_puts(out, "\n\n");
}
