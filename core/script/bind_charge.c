/* lunette.charge: which value of a tag with a budget pays. */
#include "script/bind.h"
#include <string.h>
#include "state/charge.h"

static const struct lun_tag_budget *tag_at(lua_State *L, struct lun_mind *mind, int index)
{
    const struct lun_snapshot *s = mind->question->snapshot;
    const char *names[LUN_TAG_BUDGETS];
    char hint[96], shown[64];
    const struct lun_tag_budget *t = lua_type(L, index) == LUA_TSTRING ? lun_charge_tag(mind->question, lua_tostring(L, index)) : NULL;
    if (t) return t;
    for (int i = 0; i < s->n_tags; i++) names[i] = s->tags[i].name;
    const char *name = lun_bind_shown(L, index, shown);
    luaL_error(L, "charge: budgets.tags has no tag '%s'%s", name, lun_bind_hint(name, names, (size_t)s->n_tags, hint));
    return NULL;
}

static const char *value_at(lua_State *L, int index, const struct lun_tag_budget *t)
{
    const char *value = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : NULL;
    bool whole = value && strlen(value) == lua_objlen(L, index);
    if (!whole || !lun_charge_value_good(value)) luaL_error(L, "charge: the value of '%s' has to be " LUN_CHARGE_VALUE ", got %s", t->name, lun_bind_type(L, index));
    return value;
}

static void set(lua_State *L, struct lun_mind *mind, const struct lun_tag_budget *t, const char *value)
{
    struct lun_question *q = mind->question;
    lun_bind_take(L, mind, 2 * strlen(value) + strlen(t->name) + 32);
    lun_charge_set(q, t, value);
    lun_question_note(q, lun_arena_printf(q->arena, "charge_%s", t->name), lun_arena_printf(q->arena, "\"%s\"", value));    /* its characters need no escape */
}

/* All of it is looked at before anything is done. */
int lun_charge_function(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "lunette.charge");
    if (mind->hook > LUN_HOOK_BUDGET) return luaL_error(L, "lunette.charge is for classify and budget: later it is settled who pays");
    luaL_checktype(L, 1, LUA_TTABLE);
    for (int twice = 0; twice < 2; twice++)
        for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
            const struct lun_tag_budget *t = tag_at(L, mind, -2);
            const char *value = value_at(L, -1, t);
            if (twice) set(L, mind, t, value);
        }
    lua_pushnil(L);
    lun_bind_keep(L, mind, LUN_KEPT_TAGS);      /* request.tags is looked up anew */
    lua_pushboolean(L, 1);
    return 1;
}
