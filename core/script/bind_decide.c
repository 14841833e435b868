/* What hooks can answer beside targets and labels: again, next, try, stop, refuse, degrade. */
#include "script/bind.h"
#include <math.h>
#include <string.h>
#include "base/text.h"

#define LONGEST (24 * 3600.0)           /* seconds of a delay */

static struct lun_decision *decide(lua_State *L, const struct lun_mind *mind, enum lun_verb verb, int n)
{
    struct lun_decision *d = lun_class_new(L, &lun_decision_class, mind, sizeof *d + (size_t)n * sizeof *d->item);
    d->verb = verb;
    return d;
}

static lun_us delay_at(lua_State *L, int index, const char *function)
{
    double s = luaL_optnumber(L, index, 0);
    if (!(s >= 0 && s <= LONGEST)) luaL_error(L, "%s: the delay is to be seconds from 0 to a day, got %f", function, s);
    return lun_us_from_seconds(s);
}

int lun_decide_again(lua_State *L)
{
    lun_us delay = delay_at(L, 1, "again(delay)");
    decide(L, NULL, LUN_AGAIN, 0)->delay = delay;
    return 1;
}

int lun_decide_next(lua_State *L)
{
    lun_us delay = delay_at(L, 1, "next(delay)");
    decide(L, NULL, LUN_NEXT, 0)->delay = delay;
    return 1;
}

int lun_decide_stop(lua_State *L) { decide(L, NULL, LUN_STOP, 0); return 1; }

static const struct lun_target *target_named(lua_State *L, const struct lun_question *q, const char *name)
{
    const char *names[256];
    char hint[96];
    size_t n = 0;
    for (int i = 0; i < q->n_targets; i++) {
        if (!strcmp(q->targets[i]->name, name)) return q->targets[i];
        if (n < 256) names[n++] = q->targets[i]->name;
    }
    luaL_error(L, "try: this request has no target '%s'%s", name, lun_bind_hint(name, names, n, hint));
    return NULL;
}

int lun_decide_try(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.try");
    lun_us delay = delay_at(L, 2, "try(target, delay)");
    struct lun_set *s = lun_class_is(L, 1, &lun_targets_class);
    const struct lun_target *t;
    if (lua_type(L, 1) == LUA_TSTRING) t = target_named(L, mind->question, lua_tostring(L, 1));
    else if (s) {
        lun_class_check(L, 1, &lun_targets_class, NULL);
        if (s->n != 1) return luaL_error(L, "try: this is a set of %d; take one of it, targets[1]", s->n);
        t = s->item[0];
    } else {
        lun_class_check(L, 1, &lun_target_class, NULL);
        t = lun_target_at(L, 1, mind);
    }
    struct lun_decision *d = decide(L, mind, LUN_TRY, 0);
    d->target = t;
    d->delay = delay;
    return 1;
}

static const char *const refuse_options[] = { "status", "message" };

static int status_option(lua_State *L)
{
    lua_pushliteral(L, "status");
    lua_rawget(L, 1);
    double status = lua_isnil(L, -1) ? 0 : lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    lua_pop(L, 1);
    if (status != 0 && !(status >= 400 && status <= 599 && status == floor(status))) luaL_error(L, "refuse: the status is to be a whole number from 400 to 599");
    return (int)status;
}

int lun_decide_refuse(lua_State *L)
{
    int status = 0;
    size_t n = 0;
    const char *message = NULL;
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TTABLE) {
        lun_bind_names(L, 1, "refuse", refuse_options, 2);
        status = status_option(L);
        lua_pushliteral(L, "message");
        lua_rawget(L, 1);
    }
    if (lua_type(L, -1) == LUA_TSTRING) message = lua_tolstring(L, -1, &n);
    else if (!lua_isnil(L, -1)) return luaL_error(L, "refuse: the message is to be a text, got %s", lun_bind_type(L, -1));
    struct lun_decision *d = decide(L, NULL, LUN_REFUSE, 0);
    d->status = status;
    if (message) memcpy(d->message, message, lun_text_clip(message, strnlen(message, n), sizeof d->message - 4));
    return 1;
}

/* For lua/lunette.lua: the targets that are left. */
int lun_decide_degrade(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_set *s = lun_class_check(L, 1, &lun_targets_class, &mind);
    struct lun_decision *d = decide(L, mind, LUN_DEGRADE, s->n);
    memcpy(d->item, s->item, (size_t)s->n * sizeof *s->item);
    d->n = s->n;
    return 1;
}

int lun_decide_targets(lua_State *L)
{
    lun_push_targets(L, lun_bind_mind(L, "lunette.degrade"));
    return 1;
}

static const struct lun_member no_members[] = { { 0 } };
const struct lun_class lun_decision_class = {
    .id = LUN_CLASS_decision, .name = "decision", .members = no_members, .free = true,
    .doc = "What `again next try stop refuse degrade` give. A hook returns it; there is nothing to read in it." };
