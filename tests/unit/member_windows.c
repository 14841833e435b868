/* Members that share windows which move along: their budgets are kept in pieces, each an account. What must hold there, whatever happens: in no window does what was
 * spent, and what may be, come to more than the limit, by the pieces that it was held in; and, where clocks differ by less than half a piece, by the true time of
 * each charge. */
#include "member_world.h"

enum { COUNTS = WINDOW + 1 };           /* pieces on each side that count beside one */

void world_roll(struct world *w)
{
    w->rolling = true;
    w->on_time = odds(w, 2);
    w->steps_back = !w->on_time && odds(w, 2);
    w->day_ms = PIECE_MS;
    w->days = PIECES;
    w->accounts = w->budgets * w->days;
    w->now = PIECE_MS * (1 + upto(w, 8)) + upto(w, PIECE_MS);
    for (int i = w->budgets; i < w->accounts; i++) w->limit[i] = w->limit[i % w->budgets];
    for (int k = 0; k < w->n; k++) gateway_begin(w, k);
}

void window_charged(struct world *w, const struct gateway *g, int account)
{
    if (!w->rolling) return;
    assert_true(w->charges < CHARGES);
    w->charge[w->charges++] = (struct charge){ account % w->budgets, g->id, account, w->now };
}

/* Units are like each other: the last one. */
void window_released(struct world *w, const struct gateway *g, int account)
{
    for (int i = w->charges; i--; ) {
        if (w->charge[i].gateway != g->id || w->charge[i].account != account) continue;
        w->charge[i] = w->charge[--w->charges];
        return;
    }
}

/* What was truly spent, and may be, of an account. */
static int64_t at_most(const struct world *w, int account)
{
    int64_t sum = 0;
    for (int k = 0; k < w->n; k++) {
        const struct owner *o = &w->g[k].a[account];
        sum += o->real + (o->allot > o->spent + o->held ? o->allot - o->spent - o->held : 0);
    }
    return sum;
}

static bool passes_by_pieces(struct world *w, int last)
{
    int64_t sum = 0, over = 0;
    for (int i = last; i >= 0 && i >= last - WINDOW * w->budgets; i -= w->budgets) sum += at_most(w, i), over += w->over[i];
    if (sum <= w->limit[last] + over) return false;
    snprintf(w->wrong, sizeof w->wrong, "%lld spent and to spend of the window that ends with account %d, whose limit is %lld (+%lld claimed)",
             (long long)sum, last, (long long)w->limit[last], (long long)over);
    return true;
}

static bool passes_by_time(struct world *w, const struct charge *last)
{
    int64_t sum = 0, over = 0;
    for (const struct charge *c = w->charge; c < w->charge + w->charges; c++)
        sum += c->budget == last->budget && c->at <= last->at && c->at > last->at - WINDOW * PIECE_MS;
    for (int i = last->budget; i < w->accounts; i += w->budgets) over += w->over[i];
    if (sum <= w->limit[last->budget] + over) return false;
    snprintf(w->wrong, sizeof w->wrong, "%lld spent in the window before %lld ms, whose limit is %lld", (long long)sum, (long long)last->at,
             (long long)w->limit[last->budget]);
    return true;
}

const char *window_broken(struct world *w)
{
    for (int i = 0; i < w->accounts; i++) if (passes_by_pieces(w, i)) return w->wrong;
    for (int i = 0; w->on_time && i < w->charges; i++) if (passes_by_time(w, &w->charge[i])) return w->wrong;
    return NULL;
}

/* ---- what a gateway does with pieces ---- */

static int64_t ends(const struct world *w, int account) { return (int64_t)(day_of(w, account) + 1) * PIECE_MS; }

/* As core/gateway/sharing.c: what is far before the last piece that something is taken of, or before its clock, is not told of. */
static void start_one(struct world *w, struct gateway *g, int budget)
{
    int64_t last = 0, left_out = 0, wall = w->now + g->skew;
    for (int i = budget; i < w->accounts; i += w->budgets) if (g->a[i].disk) last = ends(w, i);
    if (wall < last || !last) last = wall;
    for (int i = budget; i < w->accounts; i += w->budgets) {
        bool far = ends(w, i) <= last - (2 * COUNTS + 1) * PIECE_MS;
        if (!far && g->a[i].opened) gateway_account(w, g, i);
        if (far && g->a[i].disk) left_out = ends(w, i);
    }
    if (left_out) lun_member_left_out(g->member, budget_of(w, budget), left_out * LUN_MS);
}

void window_start(struct world *w, struct gateway *g) { for (int b = 0; b < w->budgets; b++) start_one(w, g, b); }

bool window_step_back(struct world *w, struct gateway *g)
{
    int64_t by = w->rolling ? upto(w, 8 * PIECE_MS) : upto(w, DAY_MS);
    (void)g;
    if (!w->steps_back || w->now < by) return false;
    w->now -= by;
    return true;
}

void window_draws(struct world *w, struct gateway *g, int account)
{
    g->a[account].limit = w->limit[account] + 1;
    gateway_account(w, g, account);
    gateway_describe(w, g, account);
}

/* ---- what Redis says of them ---- */

int64_t window_in_redis(struct world *w, int account)
{
    int64_t sum = 0;
    for (int i = account % w->budgets; i < w->accounts; i += w->budgets)
        if (abs(day_of(w, i) - day_of(w, account)) <= COUNTS) sum += total_in_redis(w, i);
    return sum;
}

bool window_passed(struct world *w, int account) { return ends(w, account) <= passed_in_redis(w, account); }
bool window_untold(struct world *w, int account)
{
    bool left_out = false;
    for (int k = 0; k < w->n; k++) left_out |= w->g[k].a[account].opened && !w->g[k].a[account].in;
    return left_out || window_passed(w, account);
}
bool window_bars(struct world *w, int account) { return (int64_t)(day_of(w, account) - COUNTS) * PIECE_MS < passed_in_redis(w, account); }
