#include "state/member.h"
#include "base/alloc.h"
#include "base/http.h"
#include "state/member_inner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPED_NOT "._@+-"         /* in keys, beside letters and digits */

typedef struct lun_member member;
typedef struct lun_member_account account;

const char *lun_member_state_name(enum lun_member_state s)
{
#define X(id, name, text) name,
    static const char *const names[] = { LUN_MEMBER_STATES(X) };
#undef X
    return names[s];
}

const char *lun_member_state_text(enum lun_member_state s)
{
#define X(id, name, text) text,
    static const char *const texts[] = { LUN_MEMBER_STATES(X) };
#undef X
    return texts[s];
}

/* ---- beginning and end ---- */

static char *or_none(const char *text) { return lun_strdup(text ? text : ""); }

member *lun_member_new(const struct lun_member_options *o, const struct lun_member_ports *ports)
{
    member *m = lun_zalloc(sizeof *m);
    *m = (member){ .options = *o, .ports = *ports, .members = or_none(o->disk.members), .gone = or_none(o->disk.gone), .parts = or_none(o->disk.parts),
                   .vouched = o->disk.vouched, .before = o->disk.before, .who = lun_strdup("") };
    m->options.id = lun_strdup(o->id);
    m->options.disk = (struct lun_member_disk){0};
    m->last_wanted = &m->wanted;
    m->head.members = or_none(NULL), m->head.vouched = or_none(NULL), m->head.missing = or_none(NULL), m->head.gone = or_none(NULL), m->head.due = or_none(NULL);
    m->head.leaving = or_none(NULL), m->head.unready = or_none(NULL), m->head.sure = or_none(NULL), m->head.living = or_none(NULL);
    return m;
}

static void free_message(struct lun_message *message)
{
    while (message->n) free(message->arguments[--message->n]);
    free(message->arguments);
}

void lun_member_free(member *m)
{
    if (!m) return;
    for (account *a; (a = m->accounts); free(a)) {
        m->accounts = a->next;
        free(a->key);
    }
    lun_names_free(&m->by_key, NULL);
    lun_names_free(&m->passed, free);
    free_message(&m->plain);
    free_message(&m->numbered);
    free(m->members), free(m->gone), free(m->parts), free(m->who), free(m->forget);
    free(m->head.members), free(m->head.vouched), free(m->head.missing), free(m->head.gone), free(m->head.due);
    free(m->head.leaving), free(m->head.unready), free(m->head.sure), free(m->head.living);
    free((char *)m->options.id);
    free(m);
}

enum lun_member_state lun_member_state(const member *m) { return m->state; }

static void become(member *m, enum lun_member_state s, const char *who)
{
    if (m->state == s && !strcmp(m->who, who)) return;
    m->state = s;
    free(m->who);
    m->who = lun_strdup(who);
    m->ports.state(m->ports.self, s, m->who);
}

/* ---- accounts ---- */

static const char window[] = "@rolling+";

/* The part of a key that all pieces of a window have; 0: it is none's. */
static size_t window_of(const char *key)
{
    const char *at = strrchr(key, '@');
    return at && !strncmp(at, window, sizeof window - 1) ? (size_t)(at - key) + sizeof window - 1 : 0;
}

account *lun_member_account(member *m, const char *key, int64_t has)
{
    struct lun_buf out = {0};
    lun_http_escape(&out, key, ESCAPED_NOT);
    const char *escaped = lun_buf_text(&out);
    account *a = lun_names_get(&m->by_key, escaped);
    if (!a) {
        a = lun_zalloc(sizeof *a);
        *a = (account){ .next = m->accounts, .key = lun_strdup(escaped), .has = has, .told = -1, .sent = -1, .limit = -1, .ends = LUN_NEVER };
        a->window = window_of(a->key);
        strcpy(a->per, "-");
        m->accounts = a;
        lun_names_put(&m->by_key, escaped, a);
    }
    lun_buf_free(&out);
    return a;
}

void lun_member_describe(account *a, int64_t limit, lun_us starts, lun_us ends, const char *per)
{
    a->news |= a->limit != limit && (a->limit >= 0 || a->has > 0);
    a->limit = limit;
    a->starts = starts;
    a->ends = ends;
    a->over = false;                    /* somebody asks for it after all: it is told anew */
    snprintf(a->per, sizeof a->per, "%s", per && *per ? per : "-");
    for (char *c = a->per; *c; c++) if (*c == ' ') *c = '_';
}

void lun_member_end(account *a, lun_us ends)
{
    a->ends = ends;
    a->news = true;
}

void *lun_member_user(const account *a)             { return a->user; }
void lun_member_set_user(account *a, void *user)    { a->user = user; }
int64_t lun_member_has(const account *a)            { return a->has; }

/* ---- pieces of windows ---- */

static void pass(member *m, const char *budget, int64_t ended)
{
    struct lun_member_passed *p = lun_names_get(&m->passed, budget);
    if (ended <= 0) return;
    if (!p) lun_names_put(&m->passed, budget, p = lun_zalloc(sizeof *p));
    if (ended > p->ended) p->ended = ended;
}

/* The budget of a piece, as Redis has it. Yours to free. */
static char *budget_of(const account *a) { return lun_printf("%.*s", (int)(a->window - (sizeof window - 1)), a->key); }

static void note_passed(member *m, const account *a, int64_t ended)
{
    if (!a->window) return;
    char *budget = budget_of(a);
    pass(m, budget, ended);
    free(budget);
}

void lun_member_left_out(member *m, const char *budget, lun_us ended)
{
    struct lun_buf out = {0};
    lun_http_escape(&out, budget, ESCAPED_NOT);
    pass(m, lun_buf_text(&out), ended / LUN_MS);
    lun_buf_free(&out);
}

static bool is_passed(const member *m, const account *a)
{
    char *budget = budget_of(a);
    const struct lun_member_passed *p = lun_names_get(&m->passed, budget);
    free(budget);
    return p && a->ends / LUN_MS <= p->ended;
}

/* Redis forgets it first, so that its sums and what is told to it never differ; it is drawn on no more. */
static bool is_over(member *m, account *a)
{
    if (a->over && a->told == LUN_TOLD_OVER) return true;
    if (a->ends == LUN_NEVER || a->ends / LUN_MS > m->head.now || a->has != a->told) return false;
    a->over = true;
    if (a->ends / LUN_MS > m->over) m->over = a->ends / LUN_MS;
    return false;
}

static bool may_go(member *m, account *a)
{
    return a->window ? a->has == a->told && (!a->has || is_passed(m, a)) : is_over(m, a);
}

bool lun_member_drop(member *m, account *a)
{
    if (!m->registered || !may_go(m, a)) return false;
    lun_names_take(&m->by_key, a->key);
    for (account **at = &m->accounts; *at; at = &(*at)->next) if (*at == a) { *at = a->next; break; }
    free(a->key);
    free(a);
    return true;
}

/* ---- what is to be done ---- */

static void put_back(member *m)
{
    for (int i = m->n_sent; i--; ) {
        struct lun_member_group *g = m->sent[i];
        if (!(g->next = m->wanted)) m->last_wanted = &g->next;
        m->wanted = g;
    }
    m->n_sent = 0;
}

/* Whatever was asked for in another epoch was granted there, if at all: here counts what is on the disk. */
static void adopt(member *m)
{
    strcpy(m->nonce, m->head.nonce);
    m->registered = false;
    m->again = false;
    m->noted = 0;
    put_back(m);
    for (account *a = m->accounts; a; a = a->next) a->told = a->over ? LUN_TOLD_OVER : -1;
}

/* Who is gone, or will be: of these the disk is to have what they had. */
static char *let_go(const member *m)
{
    char *all = lun_list_join(m->head.gone, m->head.leaving), self[256];
    snprintf(self, sizeof self, " %s ", m->options.id);
    char *others = lun_list_without(all, self);
    free(all);
    return others;
}

/* All that it knows and hears of, and itself, but `gone`. */
static char *all_but(const member *m, const char *gone)
{
    char *all = lun_list_join(m->members, m->head.members), *with = lun_list_join(all, m->options.id), *left = lun_list_without(with, gone);
    free(all), free(with);
    return left;
}

/* Nobody's name goes before what he had is there: who is gone by now, and was not yet when the disk was written, is a member for this one. */
static void note_members(member *m)
{
    char *goes = let_go(m), *stays = lun_list_without(m->gone, goes), *gone = lun_list_without(m->gone, stays), *before = m->members;
    bool vouched = m->vouched;
    m->members = all_but(m, gone);
    m->vouched |= lun_list_has(m->head.vouched, m->options.id);
    free(goes), free(stays), free(gone);
    if (lun_member_save(m, NULL, NULL, 0)) { free(before); return; }
    free(m->members);
    m->members = before, m->vouched = vouched;
}

/* The others may have let go of it: what the disk says of its being known there holds no more. */
static void note_unvouched(member *m)
{
    if (!m->vouched) return;
    m->vouched = false;
    if (!lun_member_save(m, NULL, NULL, 0)) m->vouched = true;
}

static void note_vouched(member *m)
{
    m->vouched = true;
    if (!lun_member_save(m, NULL, NULL, 0)) m->vouched = false;
}

bool lun_member_is_news(const account *a) { return a->over ? a->told != LUN_TOLD_OVER : a->has != a->told || a->news; }

static bool has_news(const member *m)
{
    for (const account *a = m->accounts; a; a = a->next) if (lun_member_is_news(a)) return true;
    return false;
}

static bool vouches(const member *m)   { return m->vouched && lun_list_has(m->head.vouched, m->options.id); }
static bool unknown(const member *m)   { return !lun_list_within(m->head.living, m->members); }
static bool has_to_vouch(const member *m) { return !lun_list_within(m->head.living, m->head.vouched) || !lun_list_has(m->head.sure, m->options.id); }
static bool drawing(const member *m)   { return m->head.open && vouches(m); }

static enum lun_member_op next_lost(member *m)
{
    if (m->vouched) return LUN_OP_OPEN;
    if (!*m->members && m->options.founds) return LUN_OP_FOUND;
    become(m, *m->members ? LUN_MEMBER_NEW : LUN_MEMBER_EMPTY, "");
    return LUN_OP_NONE;
}

/* New here, or let go of meanwhile, or about to be. Who leaves is content with that; and whom it was to forget itself, it has no say in any more. */
static enum lun_member_op next_outside(member *m)
{
    if (m->leaves) return LUN_OP_NONE;
    m->registered = false;
    free(m->forget), m->forget = NULL;
    if (lun_list_has(m->head.members, m->options.id) && !m->heard) return LUN_OP_STAY;
    note_unvouched(m);
    return LUN_OP_JOIN;
}

static bool has_to_note_the_gone(const member *m)
{
    char *gone = let_go(m);
    bool differs = !lun_list_within(gone, m->gone) || !lun_list_within(m->gone, gone);
    free(gone);
    return differs || (lun_list_has(m->head.unready, m->options.id) && m->noted != m->head.round);
}

/* What the lists of names ask for. */
static enum lun_member_op next_of_lists(member *m)
{
    const char *me = m->options.id;
    if (lun_list_has(m->head.vouched, me) && !m->vouched) note_vouched(m);
    if (has_to_note_the_gone(m)) return LUN_OP_PARTS;
    if (vouches(m) && unknown(m)) note_members(m);
    if (vouches(m) && has_to_vouch(m) && !m->pause) return LUN_OP_VOUCH;
    return lun_list_has(m->head.unready, me) ? LUN_OP_READY : LUN_OP_NONE;
}

static enum lun_member_op next(member *m)
{
    const char *me = m->options.id;
    enum lun_member_op op;
    if (!m->looked) return LUN_OP_LOOK;
    if (m->head.lost) return next_lost(m);
    if (strcmp(m->nonce, m->head.nonce)) adopt(m);
    if (!lun_list_has(m->head.living, me)) return next_outside(m);
    m->heard = false;
    /* Before it registers or is vouched for it knows all who are there: one whom it had forgotten may have come back meanwhile. */
    if (!lun_list_has(m->members, me) || (!(m->registered && m->vouched) && unknown(m))) note_members(m);
    if (!m->registered) return LUN_OP_REGISTER;
    if (m->forget && vouches(m)) return LUN_OP_FORGET;
    if ((op = next_of_lists(m))) return op;
    if (has_news(m) || (drawing(m) && m->wanted && !m->leaves)) return LUN_OP_DRAW;
    return m->leaves && !m->left ? LUN_OP_LEAVE : LUN_OP_NONE;
}

static void tell(member *m)
{
    if (!m->looked || m->head.lost) return;
    if (!lun_list_has(m->head.living, m->options.id) || !m->registered) become(m, LUN_MEMBER_JOINING, "");
    else if (!m->head.open) become(m, LUN_MEMBER_WAITING, m->head.missing);
    else if (!drawing(m)) become(m, LUN_MEMBER_NEW, "");
    else become(m, LUN_MEMBER_OPEN, "");
}

static void step(member *m)
{
    if (!m->connected || m->busy || m->outdated || m->pause) return;
    if (m->again && m->looked && !m->head.lost && !strcmp(m->nonce, m->head.nonce)) { lun_member_say_again(m); return; }
    enum lun_member_op op = next(m);
    tell(m);
    if (op && !m->pause) lun_member_say(m, op);
}

/* ---- what follows from an answer ---- */

struct grants { account *accounts[LUN_MEMBER_GROUPS * LUN_MEMBER_GROUP]; int64_t has[LUN_MEMBER_GROUPS * LUN_MEMBER_GROUP],
                total[LUN_MEMBER_GROUPS * LUN_MEMBER_GROUP]; int n; };

static void note_grant(struct grants *all, account *a, int64_t has, int64_t total)
{
    int i = 0;
    while (i < all->n && all->accounts[i] != a) i++;
    if (i == all->n) all->n++;
    all->accounts[i] = a, all->has[i] = has, all->total[i] = total;
}

/* What the answer says of a group, from items[*at] on. NULL: it is granted; otherwise why not. */
static const char *read_group(member *m, const struct lun_member_group *g, const char *const *items, int n, int *at, struct grants *all)
{
    enum { HAS, TOTAL, ABROAD, ABROAD_ENDS, PASSED, EACH };
    if (*at + 1 + EACH * g->n > n) { *at = n; return "ODD"; }
    const char *word = items[(*at)++];
    bool yes = !strcmp(word, "YES");
    for (int i = 0; i < g->n; i++, *at += EACH) {
        int64_t said[EACH], has, total;
        for (int k = 0; k < EACH; k++) said[k] = strtoll(items[*at + k], NULL, 10);
        has = said[HAS], total = said[TOTAL];
        m->ports.total(m->ports.self, g->accounts[i], total);
        if (g->accounts[i]->window) m->ports.beside(m->ports.self, g->accounts[i], said[ABROAD], said[ABROAD_ENDS] * LUN_MS);
        note_passed(m, g->accounts[i], said[PASSED]);
        if (!yes) continue;
        g->accounts[i]->told = has;
        note_grant(all, g->accounts[i], has, total);
    }
    return yes ? NULL : word;
}

static bool take_grants(member *m, const struct grants *all)
{
    if (all->n && !lun_member_save(m, all->accounts, all->has, all->n)) return false;
    for (int i = 0; i < all->n; i++) {
        all->accounts[i]->has = all->has[i];
        m->ports.granted(m->ports.self, all->accounts[i], all->has[i], all->total[i]);
    }
    return true;
}

static void heard(member *m)
{
    for (account *a = m->accounts; a; a = a->next) if (a->sent != -1) a->told = a->sent;
}

static void drawn(member *m, const char *const *items, int n)
{
    struct grants all;
    const char *why[LUN_MEMBER_GROUPS];
    int at = 0, n_sent = m->n_sent;
    all.n = 0;
    heard(m);
    for (int i = 0; i < n_sent; i++) why[i] = read_group(m, m->sent[i], items, n, &at, &all);
    bool kept = take_grants(m, &all);
    m->n_sent = 0;
    for (int i = 0; i < n_sent; i++) {          /* who is told may want something new, but nothing is sent from inside */
        struct lun_member_group *g = m->sent[i];
        g->listed = false;
        if (!why[i] && kept) m->ports.fulfilled(m->ports.self, g);
        else m->ports.refused(m->ports.self, g, why[i] ? why[i] : "DISK");
    }
}

static void registered(member *m)
{
    m->registered = true;
    heard(m);
}

/* Who is gone or leaves, and what they had: on the disk at once with all who are there, as their names go from it. */
static void note_gone(member *m, const char *const *items, int n)
{
    struct lun_buf parts = {0};
    char *gone = m->gone, *before = m->parts, *members = m->members;
    int64_t since = m->before;
    for (int i = 0; i + 2 < n; i += 3) lun_buf_printf(&parts, "%s %s %s ", items[i], items[i + 1], items[i + 2]);
    m->gone = let_go(m);
    m->parts = lun_strdup(lun_buf_text(&parts));
    m->members = all_but(m, m->gone);
    if (m->head.before > m->before) m->before = m->head.before;
    lun_buf_free(&parts);
    if (lun_member_save(m, NULL, NULL, 0)) {
        free(gone), free(before), free(members);
        m->noted = m->head.round;
        return;
    }
    free(m->gone), free(m->parts), free(m->members);
    m->gone = gone, m->parts = before, m->members = members, m->before = since;
}

/* What is wanted in a piece of a window may lie in any other of its pieces. */
static bool is_due(const account *a, const char *due)
{
    size_t n = a->window ? a->window : strlen(a->key);
    for (const char *at = due; *at; at += strcspn(at, " "), at += *at == ' ')
        if (!strncmp(at, a->key, n) && (a->window || !at[n] || at[n] == ' ')) return true;
    return false;
}

static void hear_demand(member *m)
{
    if (!*m->head.due) return;
    for (account *a = m->accounts; a; a = a->next) if (is_due(a, m->head.due)) m->ports.wanted(m->ports.self, a);
}

static void obeyed(member *m, enum lun_member_op op, const char *status, const char *const *items, int n)
{
    bool ok = !strcmp(status, "OK");
    if (!strcmp(status, "STALE")) m->outdated = true, become(m, LUN_MEMBER_OUTDATED, "");
    if (!strcmp(status, "UNKNOWN") && op != LUN_OP_FORGET) m->registered = false;
    if (!strcmp(status, "HEARD")) m->heard = true;
    if (op == LUN_OP_DRAW && !ok) put_back(m);
    if (op == LUN_OP_FORGET && (ok || !strcmp(status, "UNKNOWN"))) free(m->forget), m->forget = NULL;
    if (op == LUN_OP_LEAVE) m->left = ok || !strcmp(status, "ALONE");
    if (!ok) return;
    if (op == LUN_OP_DRAW) drawn(m, items, n);
    if (op == LUN_OP_REGISTER) registered(m);
    if (op == LUN_OP_PARTS) note_gone(m, items, n);
}

bool lun_member_answer(member *m, const char *const *items, int n)
{
    int rest;
    enum lun_member_op op = m->op;
    if (!m->busy) return true;
    m->op = LUN_OP_NONE;
    if (!lun_member_read(m, items, n, &rest)) { m->busy = m->looked = false; return false; }
    m->looked = true;
    bool mine = op != m->numbered.op || !strcmp(m->nonce, m->head.nonce);
    if (op == m->numbered.op) m->again = false;
    if (mine) obeyed(m, op, items[0], items + rest, n - rest);
    else if (op == LUN_OP_DRAW) put_back(m);
    if (!m->head.lost && !strcmp(m->nonce, m->head.nonce)) hear_demand(m);
    m->busy = false;            /* not before: who is told may want more at once, and those who are told are read from what was sent */
    step(m);
    return true;
}

/* Nothing more before the next tick: what was refused would be refused again. */
void lun_member_refuse(member *m)
{
    m->busy = false;
    m->pause = true;
}

void lun_member_apart(member *m)
{
    m->busy = m->connected = m->looked = false;
    become(m, LUN_MEMBER_APART, "");
}

void lun_member_connected(member *m)
{
    m->connected = true;
    m->looked = false;
    step(m);
}

void lun_member_tick(member *m)
{
    m->pause = false;
    if (!m->connected || m->busy || m->outdated) return;
    step(m);
    if (!m->busy) lun_member_say(m, LUN_OP_LOOK);
}

/* ---- what is wanted ---- */

void lun_member_want(member *m, struct lun_member_group *g)
{
    if (g->listed) return;
    g->listed = true;
    g->next = NULL;
    *m->last_wanted = g;
    m->last_wanted = &g->next;
    for (int i = 0; i < g->n; i++) g->accounts[i]->over = false;
    step(m);
}

void lun_member_set(member *m, account *a, int64_t has)
{
    if (a->has != has) a->over = false;
    a->has = has;
    step(m);
}

bool lun_member_forget(member *m, const char *id)
{
    if (!m->looked || m->head.lost || m->forget || !strcmp(id, m->options.id) || !lun_list_has(m->head.members, id) || !vouches(m)) return false;
    m->forget = lun_strdup(id);
    step(m);
    return true;
}

bool lun_member_idle(const member *m)               { return !m->busy && !m->again && !has_news(m); }
const char *lun_member_members(const member *m)     { return m->head.members; }
const char *lun_member_missing(const member *m)     { return m->head.missing; }
const char *lun_member_leaving(const member *m)     { return m->head.leaving; }
lun_us lun_member_clock(const member *m)            { return m->head.now * LUN_MS; }
const char *lun_member_unready(const member *m)     { return m->head.unready; }
void lun_member_found(member *m)                    { m->options.founds = true; }

void lun_member_leave(member *m)
{
    m->leaves = true;
    step(m);
}

bool lun_member_left(const member *m)
{
    bool nobody_hears = !m->looked || m->head.lost || !m->registered || !lun_list_has(m->head.living, m->options.id);
    return m->outdated || (lun_member_idle(m) && (!m->leaves || m->left || nobody_hears));
}
