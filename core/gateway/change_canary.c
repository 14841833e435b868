/* What becomes of canaries: somebody asks for it, or it has come by itself; written down before it is told. */
#include "gateway/change.h"
#include "state/registry.h"
#include <string.h>

typedef struct lun_change change;

/* All that has changed since it was last looked. */
static void collect(change *ch)
{
    const struct lun_snapshot *s = ch->of->current;
    struct lun_canary_event e;
    ch->news = lun_arena_zalloc(&ch->arena, (size_t)(s->n_canaries + 1) * sizeof *ch->news);
    for (int i = 0; i < s->n_canaries; i++)
        if (lun_canary_event(s->canaries[i].state, lun_clock_wall(), &e))
            ch->news[ch->n_news++] = (struct lun_canary_news){ .name = lun_arena_strdup(&ch->arena, s->canaries[i].name), .event = e };
}

static bool carry_out(change *ch)
{
    const struct lun_canary_rule *rule = lun_snapshot_canary(ch->of->current, ch->canary);
    char problem[120];
    if (!rule) return lun_change_fail(ch, 404, "gateway.lua has no canary `%.64s`", ch->canary), false;
    if (lun_canary_do(rule->state, ch->verb, ch->by, ch->why, ch->of->options.reactor->loop.now, problem)) return true;
    lun_change_fail(ch, 409, "%s: %s", rule->name, problem);
    return false;
}

void lun_change_canary(change *ch)
{
    if (ch->canary && !carry_out(ch)) return;
    collect(ch);
    ch->result.changed = ch->n_news > 0;
    if (ch->n_news) lun_change_keep(ch);
    else lun_change_finish(ch);
}

/* ---- state.json ---- */

struct list { struct lun_buf *out; int n; };

static void put(void *self, const char *name, struct lun_canary *c)
{
    struct list *l = self;
    if (l->n++) lun_buf_putc(l->out, ',');
    lun_json_put_text(l->out, name);
    lun_buf_putc(l->out, ':');
    lun_canary_write(c, l->out);
}

void lun_change_write_canaries(const struct lun_changes *c, struct lun_buf *out)
{
    lun_buf_puts(out, ",\"canaries\":{");
    lun_registry_canaries(c->options.registry, put, &(struct list){ .out = out });
    lun_buf_putc(out, '}');
}

void lun_change_read_canaries(struct lun_changes *c, struct lun_json object)
{
    struct lun_arena arena = {0};
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); ) {
        const char *name = lun_json_string_in(e.key, true, &arena, NULL);
        if (!name || !lun_canary_read(lun_registry_canary(c->options.registry, name), e.value))
            lun_log(c->options.log, LUN_LOG_ERROR, "what was kept of the canary %s cannot be understood: it begins anew", name ? name : "?");
    }
    lun_arena_free(&arena);
}
