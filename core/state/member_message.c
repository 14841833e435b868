/* How a member puts what it has to say: the arguments of lua/draw.lua, and the heads of its answers. */
#include "state/member_inner.h"
#include "base/alloc.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists of names ---- */

bool lun_list_has(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; n && (at = strstr(at, name)); at++)
        if (at > list && at[-1] == ' ' && at[n] == ' ') return true;
    return false;
}

static char *pick(const char *from, const char *start, const char *but)
{
    struct lun_buf out = {0};
    lun_buf_puts(&out, start);
    for (const char *at = from; *(at += strspn(at, " ")); at += strcspn(at, " ")) {
        int n = (int)strcspn(at, " ");
        char name[256];
        snprintf(name, sizeof name, "%.*s", n, at);
        if (lun_list_has(but ? but : lun_buf_text(&out), name)) continue;
        lun_buf_printf(&out, "%s%s ", out.n ? "" : " ", name);
    }
    char *text = lun_strdup(lun_buf_text(&out));
    lun_buf_free(&out);
    return text;
}

char *lun_list_join(const char *a, const char *b)           { return pick(b, a, NULL); }
char *lun_list_without(const char *list, const char *other) { return pick(list, "", *other ? other : " "); }

bool lun_list_within(const char *list, const char *other)
{
    char *left = lun_list_without(list, other);
    bool none = !*left;
    free(left);
    return none;
}

/* ---- what is said ---- */

static void argue(struct lun_message *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void argue(struct lun_message *to, const char *format, ...)
{
    char *text;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0) abort();
    va_end(ap);
    if (to->n == to->room) to->arguments = lun_realloc(to->arguments, (size_t)(to->room = to->room ? to->room * 2 : 32) * sizeof *to->arguments);
    to->arguments[to->n++] = text;
}

static int64_t ms(lun_us t) { return t == LUN_NEVER ? 0 : t / LUN_MS; }

static void put_state(struct lun_message *to, struct lun_member_account *a)
{
    argue(to, "%s", a->key);
    a->sent = a->over ? LUN_TOLD_OVER : a->has;
    if (a->over) argue(to, "over");
    else argue(to, "%" PRId64, a->has);
    argue(to, "%" PRId64, a->limit);
    argue(to, "%" PRId64, ms(a->ends));
    a->news = false;
}

static bool is_said(const struct lun_member_account *a, bool all) { return all ? !a->over : lun_member_is_news(a); }

static int count_accounts(const struct lun_member *m, bool all)
{
    int n = 0;
    for (const struct lun_member_account *a = m->accounts; a; a = a->next) n += is_said(a, all);
    return n;
}

/* Those of whom it has none to say were never told of, and need not be. */
static void put_accounts(struct lun_member *m, bool all)
{
    struct lun_message *to = &m->numbered;
    argue(to, "%d", count_accounts(m, all));
    for (struct lun_member_account *a = m->accounts; a; a = a->next)
        if (is_said(a, all)) put_state(to, a);
        else a->sent = -1;
}

static void put_parts(struct lun_member *m)
{
    struct lun_message *to = &m->numbered;
    int words = 0;
    for (const char *at = m->parts; *(at += strspn(at, " ")); at += strcspn(at, " ")) words++;
    argue(to, "%d", words / 3);
    for (const char *at = m->parts; *(at += strspn(at, " ")); at += strcspn(at, " ")) argue(to, "%.*s", (int)strcspn(at, " "), at);
}

/* In which pieces it may have had something, and says nothing of it any more. */
static void put_passed(struct lun_member *m)
{
    argue(&m->numbered, "%zu", m->passed.n);
    for (struct lun_names_each e = lun_names_each(&m->passed); lun_names_next(&e); ) {
        argue(&m->numbered, "%s", e.name);
        argue(&m->numbered, "%" PRId64, ((const struct lun_member_passed *)e.thing)->ended);
    }
}

static void put_register(struct lun_member *m)
{
    struct lun_message *to = &m->numbered;
    char fresh[33];
    m->ports.nonce(m->ports.self, fresh);
    argue(to, "%s", fresh);
    argue(to, "%s", m->members);
    argue(to, "%d", m->vouched);
    argue(to, "%s", m->gone);
    argue(to, "%" PRId64, m->before);
    argue(to, "%" PRId64, m->head.round);
    argue(to, "%" PRId64, m->over);
    put_accounts(m, true);
    put_parts(m);
    put_passed(m);
}

static void put_group(struct lun_message *to, const struct lun_member_group *g)
{
    argue(to, "%d", g->n);
    for (int i = 0; i < g->n; i++) {
        const struct lun_member_account *a = g->accounts[i];
        argue(to, "%s", a->key);
        argue(to, "%" PRId64, g->more[i]);
        argue(to, "%" PRId64, a->limit);
        argue(to, "%" PRId64, ms(a->starts));
        argue(to, "%" PRId64, ms(a->ends));
        argue(to, "%s", a->per);
    }
}

static bool may_raise(const struct lun_member *m) { return !m->leaves && m->head.open && lun_list_has(m->head.vouched, m->options.id) && m->vouched; }

static void put_draw(struct lun_member *m)
{
    struct lun_message *to = &m->numbered;
    put_accounts(m, false);
    m->n_sent = 0;
    for (struct lun_member_group *g; may_raise(m) && (g = m->wanted) && m->n_sent < LUN_MEMBER_GROUPS; ) {
        m->sent[m->n_sent++] = g;
        if (!(m->wanted = g->next)) m->last_wanted = &m->wanted;
    }
    argue(to, "%d", m->n_sent);
    for (int i = 0; i < m->n_sent; i++) put_group(to, m->sent[i]);
}

static void send(struct lun_member *m, const struct lun_message *message)
{
    m->busy = true;
    m->op = message->op;
    m->ports.send(m->ports.self, (const char *const *)message->arguments, message->n);
}

static void put_vouch(struct lun_member *m, struct lun_message *to)
{
    char self[256], *others;
    snprintf(self, sizeof self, " %s ", m->options.id);
    argue(to, "%s", others = lun_list_without(m->members, self));
    free(others);
}

static void put_open(struct lun_member *m, struct lun_message *to)
{
    char *all = lun_list_join(m->members, m->options.id);
    argue(to, "%s", all);
    free(all);
}

static void put_head(struct lun_member *m, struct lun_message *to)
{
    static const char *const names[] = { [LUN_OP_LOOK] = "look", [LUN_OP_FOUND] = "found", [LUN_OP_OPEN] = "open", [LUN_OP_JOIN] = "join", [LUN_OP_STAY] = "stay",
                                         [LUN_OP_VOUCH] = "vouch", [LUN_OP_FORGET] = "forget", [LUN_OP_PARTS] = "parts", [LUN_OP_READY] = "ready",
                                         [LUN_OP_REGISTER] = "register", [LUN_OP_DRAW] = "draw", [LUN_OP_LEAVE] = "leave" };
    char fresh[33];
    bool anew = to->op == LUN_OP_FOUND || to->op == LUN_OP_OPEN;
    if (anew) m->ports.nonce(m->ports.self, fresh);
    argue(to, "%s", names[to->op]);
    argue(to, "%s", anew ? fresh : m->nonce);
    argue(to, "%s", m->options.id);
    argue(to, "%" PRIu64, to == &m->numbered ? ((uint64_t)m->options.run << 32) + ++m->count : 0);
}

/* They hold for the lists of names as they are in this round; or for a Redis that has lost all, until an epoch begins. */
static bool is_of_a_round(enum lun_member_op op)
{
    return op == LUN_OP_FOUND || op == LUN_OP_OPEN || op == LUN_OP_JOIN || op == LUN_OP_STAY || op == LUN_OP_VOUCH || op == LUN_OP_FORGET
        || op == LUN_OP_READY;
}

void lun_member_say(struct lun_member *m, enum lun_member_op op)
{
    struct lun_message *to = op == LUN_OP_REGISTER || op == LUN_OP_DRAW || op == LUN_OP_LEAVE ? &m->numbered : &m->plain;
    while (to->n) free(to->arguments[--to->n]);
    to->op = op;
    put_head(m, to);
    if (is_of_a_round(op)) argue(to, "%" PRId64, m->head.round);
    if (op == LUN_OP_OPEN) put_open(m, to);
    else if (op == LUN_OP_STAY) argue(to, "%d", m->vouched);
    else if (op == LUN_OP_VOUCH) put_vouch(m, to);
    else if (op == LUN_OP_FORGET) argue(to, "%s", m->forget);
    else if (op == LUN_OP_REGISTER) put_register(m);
    else if (op == LUN_OP_DRAW) put_draw(m);
    if (to == &m->numbered) m->again = true;
    send(m, to);
}

void lun_member_say_again(struct lun_member *m) { send(m, &m->numbered); }

/* ---- what is answered ---- */

static void take(char **to, const char *text)
{
    free(*to);
    *to = lun_strdup(text);
}

bool lun_member_read(struct lun_member *m, const char *const *items, int n, int *rest)
{
    enum { STATUS, NONCE, OPEN, MEMBERS, VOUCHED, MISSING, GONE, NOW, BEFORE, DUE, ROUND, LEAVING, UNREADY, SURE, HEAD };
    if (n < HEAD || strlen(items[NONCE]) >= sizeof m->head.nonce) return false;
    m->head.lost = !*items[NONCE];
    strcpy(m->head.nonce, items[NONCE]);
    m->head.open = !strcmp(items[OPEN], "1");
    m->head.before = strtoll(items[BEFORE], NULL, 10);
    m->head.now = strtoll(items[NOW], NULL, 10);
    take(&m->head.members, items[MEMBERS]);
    take(&m->head.vouched, items[VOUCHED]);
    take(&m->head.missing, items[MISSING]);
    take(&m->head.gone, items[GONE]);
    take(&m->head.due, items[DUE]);
    take(&m->head.leaving, items[LEAVING]);
    take(&m->head.unready, items[UNREADY]);
    take(&m->head.sure, items[SURE]);
    m->head.round = strtoll(items[ROUND], NULL, 10);
    free(m->head.living);
    m->head.living = lun_list_without(m->head.members, m->head.leaving);
    *rest = HEAD;
    return true;
}

bool lun_member_save(struct lun_member *m, struct lun_member_account *const *accounts, const int64_t *has, int n)
{
    struct lun_member_disk disk = { m->members, m->gone, m->parts, m->vouched, m->before };
    if (m->ports.commit(m->ports.self, accounts, has, n, &disk)) return true;
    m->pause = true;
    return false;
}
