/* All money of a process: what its accounts have in common. */
#include "state/money.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>

struct lun_money *lun_money_new(void)
{
    struct lun_money *m = lun_zalloc(sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

static void free_account(void *a) { lun_account_free(a); }

void lun_money_free(struct lun_money *m)
{
    if (!m) return;
    lun_names_free(&m->accounts, free_account);
    lun_names_free(&m->names, free);
    for (size_t i = 0; i < m->room_payers; i++)
        for (struct lun_payers *p; (p = m->payers[i]); free(p)) m->payers[i] = p->next;
    free(m->payers);
    free(m->free_slots);
    free(m->ended);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct lun_money_name *lun_money_name(struct lun_money *m, const char *text)
{
    pthread_mutex_lock(&m->lock);
    struct lun_money_name *name = lun_names_get(&m->names, text);
    if (!name) {
        size_t n = strlen(text) + 1;
        name = lun_zalloc(sizeof *name + n);
        memcpy(name->text, text, n);
        lun_names_put(&m->names, text, name);
        name->next_work = m->work_names;
        m->work_names = name;
        lun_money_wake(m, true);
    }
    pthread_mutex_unlock(&m->lock);
    return name;
}

const char *lun_money_closed(struct lun_money *m, char text[256])
{
    pthread_mutex_lock(&m->lock);
    const char *why = *m->closed ? m->closed : m->kept && !m->n_free ? "too many attempts are under way for the ledger's journal" : NULL;
    if (why) strcpy(text, why);
    pthread_mutex_unlock(&m->lock);
    return why ? text : NULL;
}

const char *lun_money_status(struct lun_money *m, char word[32], char why[256])
{
    pthread_mutex_lock(&m->lock);
    strcpy(word, *m->closed ? "closed" : *m->status ? m->status : "open");
    if (why) strcpy(why, *m->closed ? m->closed : m->stuck);
    pthread_mutex_unlock(&m->lock);
    return word;
}

/* ---- who waits, and for whom ---- */

void lun_money_wait(struct lun_money *m, struct lun_money_waiter *w)
{
    pthread_mutex_lock(&m->lock);
    if (!w->at) {
        w->at = &m->waiters;
        if ((w->next = m->waiters)) w->next->at = &w->next;
        m->waiters = w;
    }
    pthread_mutex_unlock(&m->lock);
}

void lun_money_leave(struct lun_money *m, struct lun_money_waiter *w)
{
    pthread_mutex_lock(&m->lock);
    if (w->at && (*w->at = w->next)) w->next->at = w->at;
    w->at = NULL;
    pthread_mutex_unlock(&m->lock);
}

void lun_money_tell(struct lun_money *m)
{
    for (struct lun_money_waiter *w = m->waiters; w; w = w->next) w->moved(w);
}

void lun_money_wake(struct lun_money *m, bool urgent)
{
    if (!m->kept || m->woken > urgent) return;
    m->woken = urgent ? 2 : 1;
    m->books.wake(m->books.self, urgent);
}

void lun_money_list(struct lun_money *m, struct lun_span *s)
{
    if (s->listed) return;
    s->listed = true;
    s->next_work = m->work;
    m->work = s;
}

void lun_money_work(struct lun_money *m, struct lun_span *s)
{
    lun_money_list(m, s);
    lun_money_wake(m, true);
}

/* ---- sets of accounts ---- */

static uint64_t mix(struct lun_span *const *spans, int n)
{
    uint64_t h = (uint64_t)n;
    for (int i = 0; i < n; i++) h = (h ^ (uint64_t)(uintptr_t)spans[i] >> 4) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static void grow(struct lun_money *m)
{
    size_t room = m->room_payers ? m->room_payers * 2 : 64;
    struct lun_payers **slots = lun_zalloc(room * sizeof *slots);
    for (size_t i = 0; i < m->room_payers; i++)
        for (struct lun_payers *p; (p = m->payers[i]); ) {
            m->payers[i] = p->next;
            p->next = slots[p->hash & (room - 1)];
            slots[p->hash & (room - 1)] = p;
        }
    free(m->payers);
    m->payers = slots;
    m->room_payers = room;
}

struct lun_payers *lun_payers_find(struct lun_money *m, struct lun_span *const *spans, int n)
{
    uint64_t hash = mix(spans, n);
    if (m->n_payers >= m->room_payers) grow(m);
    struct lun_payers **at = &m->payers[hash & (m->room_payers - 1)];
    for (struct lun_payers *p = *at; p; p = p->next)
        if (p->hash == hash && p->n == n && !memcmp(p->spans, spans, (size_t)n * sizeof *spans)) return p;
    struct lun_payers *p = lun_zalloc(sizeof *p);
    *p = (struct lun_payers){ .next = *at, .hash = hash, .n = n, .next_work = m->work_payers };
    memcpy(p->spans, spans, (size_t)n * sizeof *spans);
    *at = m->work_payers = p;
    m->n_payers++;
    lun_money_wake(m, true);
    return p;
}

void lun_payers_need(struct lun_money *m, struct lun_payers *p, int64_t bound)
{
    if (bound <= 0) return;
    if (!p->need) {
        p->next_need = m->needy;
        m->needy = p;
    }
    if (bound > p->need) p->need = bound;
}

void lun_payers_forget(struct lun_money *m, bool (*dead)(const struct lun_payers *))
{
    for (size_t i = 0; i < m->room_payers; i++)
        for (struct lun_payers **at = &m->payers[i], *p; (p = *at); ) {
            if (!p->id || p->need || !dead(p)) { at = &p->next; continue; }
            *at = p->next;
            free(p);
            m->n_payers--;
        }
}
