#include "gateway/cooling.h"
#include "base/arena.h"
#include "base/json.h"
#include "gateway/fleet.h"
#include <string.h>

static const char *name_of(const struct lun_target *t, int key) { return key >= 0 && key < t->provider->n_keys ? t->provider->keys[key].name : ""; }

void lun_cooling_tell(void *fleet, const struct lun_target *t, int key, const struct lun_rests *rests)
{
    struct lun_arena arena = {0};
    struct lun_buf text = {0};
    const char *secret = name_of(t, key);
    lun_buf_putc(&text, '{');
    lun_json_member_text(&text, "target", t->name);
    lun_json_member_text(&text, "secret", secret);
    lun_json_member_int(&text, "at", lun_clock_wall());
    lun_json_member_int(&text, "lane", rests->lane);
    lun_json_member_int(&text, "key", rests->key);
    lun_json_member_int(&text, "provider", rests->provider);
    lun_buf_putc(&text, '}');
    lun_fleet_tell(fleet, lun_arena_printf(&arena, LUN_COOLING_NEWS "%s %s", t->name, secret), lun_buf_text(&text));
    lun_buf_free(&text);
    lun_arena_free(&arena);
}

/* Its place here, -1 where nobody has a key, -2 where it is not known. */
static int key_named(const struct lun_provider *p, const char *name)
{
    for (int i = 0; i < p->n_keys; i++) if (!strcmp(p->keys[i].name, name)) return i;
    return p->n_keys || *name ? -2 : -1;
}

static bool read_rest(struct lun_json all, const char *name, lun_us ago, lun_us *out)
{
    if (!lun_json_int(lun_json_get(all, name), out)) return false;
    *out = *out > ago ? *out - ago : 0;
    return true;
}

bool lun_cooling_hear(const struct lun_snapshot *s, const char *text, lun_us now, lun_us wall)
{
    struct lun_arena arena = {0};
    struct lun_json all;
    struct lun_rests rests;
    lun_us at;
    bool good = lun_json_check(text, strlen(text), &all, NULL) && lun_json_int(lun_json_get(all, "at"), &at);
    lun_us ago = good && at < wall ? at > 0 ? wall - at : wall : 0;
    const char *target = good ? lun_json_string_in(lun_json_get(all, "target"), true, &arena, NULL) : NULL;
    const char *secret = good ? lun_json_string_in(lun_json_get(all, "secret"), true, &arena, NULL) : NULL;
    good = target && secret && read_rest(all, "lane", ago, &rests.lane) && read_rest(all, "key", ago, &rests.key) && read_rest(all, "provider", ago, &rests.provider);
    const struct lun_target *t = good && s->redis_cooling ? lun_snapshot_target(s, target) : NULL;
    if (t) lun_health_rest(t, key_named(t->provider, secret), &rests, now);
    lun_arena_free(&arena);
    return good;
}
