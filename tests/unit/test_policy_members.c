/* A field that is not there names the nearest that is: for every class and every member, from the tables of the classes. */
#include "policy_world.h"
#include "script/bind.h"

/* How a hook comes by an object of each class that has members. */
static const struct way { const struct lun_class *class; enum lun_hook hook; const char *object; } ways[] = {
    { &lun_request_class,  LUN_HOOK_CLASSIFY, "request" },
    { &lun_key_class,      LUN_HOOK_CLASSIFY, "request.key" },
    { &lun_targets_class,  LUN_HOOK_SELECT,   "about" },
    { &lun_target_class,   LUN_HOOK_SELECT,   "about[1]" },
    { &lun_provider_class, LUN_HOOK_SELECT,   "about[1].provider" },
    { &lun_price_class,    LUN_HOOK_SELECT,   "about[1].price" },
    { &lun_step_class,     LUN_HOOK_SELECT,   "about:steps({})[1]" },
    { &lun_spend_class,    LUN_HOOK_BUDGET,   "about" },
    { &lun_budget_class,   LUN_HOOK_BUDGET,   "about.team" },
    { &lun_attempt_class,  LUN_HOOK_RETRY,    "about" },
    { &lun_outcome_class,  LUN_HOOK_FINISH,   "about" },
};

static const struct way *way_to(const struct lun_class *c)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) if (ways[i].class == c) return &ways[i];
    return NULL;
}

/* The hook must end without an error. */
static void run(struct world *w, const struct way *way, const char *body)
{
    char *text = lun_printf("return { %s = function(request, about)\nlocal o = %s\n%s\nend }", lun_hook_name(way->hook), way->object, body);
    world_policy(w, text);
    struct lun_question *q = ask(w, HELLO);
    struct lun_trial *trial = tried(w, q, &w->target[0], LUN_KIND_CUT, 200);
    struct lun_outcome outcome = { .status = 200, .trial = trial };
    struct lun_thought *t = lun_policy_think(w->policy, q, way->hook, trial, &outcome);
    if (t->state != LUN_THOUGHT_DONE) fail_msg("%s: %s", way->class->name, t->error);
    lun_thought_end(t);
    over(w, q);
    free(text);
}

static bool is_member(const struct lun_class *c, const char *name)
{
    for (const struct lun_member *m = c->members; m->name; m++) if (!strcmp(m->name, name)) return true;
    return false;
}

static void misspelt(struct world *w, const struct way *way, const char *name, const char *right)
{
    if (is_member(way->class, name)) return;
    char *body = lun_printf("local good, why = pcall(function() return o.%s end)\n"
                            "if good then error('%s was read') end\n"
                            "if not why:find(\"no field '%s' (did you mean '%s'?)\", 1, true) then error(why) end", name, name, name, right);
    run(w, way, body);
    free(body);
}

static void every_member_is_the_hint_when_its_last_letter_is_wrong(void **state)
{
    W;
    for (const struct lun_class *const *c = lun_classes; *c; c++)
        for (const struct lun_member *m = (*c)->members; m->name; m++) {
            const struct way *way = way_to(*c);
            if (!way) fail_msg("no way to an object of the class %s; add one above", (*c)->name);
            char name[64];
            snprintf(name, sizeof name, "%s", m->name);
            name[strlen(name) - 1] = 'q';
            misspelt(w, way, name, m->name);
        }
}

static void every_member_is_the_hint_when_its_first_letter_is_missing(void **state)
{
    W;
    for (const struct lun_class *const *c = lun_classes; *c; c++)
        for (const struct lun_member *m = (*c)->members; m->name; m++)
            if (strlen(m->name) > 3) misspelt(w, way_to(*c), m->name + 1, m->name);
}

static void every_member_can_be_read_as_it_is_written(void **state)
{
    W;
    for (const struct lun_class *const *c = lun_classes; *c; c++)
        for (const struct lun_member *m = (*c)->members; m->name; m++) {
            char *body = lun_printf("local value = o.%s\nif %s and type(value) ~= 'function' then error('%s is no method') end", m->name, m->arguments ? "true" : "false", m->name);
            run(w, way_to(*c), body);
            free(body);
        }
}

static void every_option_of_a_step_is_known_and_hinted_at(void **state)
{
    W;
    const struct way *way = way_to(&lun_targets_class);
    for (const struct lun_step_option *o = lun_step_option_words; o->name; o++) {
        char *body = lun_printf("local _, why = pcall(o.steps, o, { %s = true })\nif why:find('no option', 1, true) then error(why) end\n"
                                "local _, hint = pcall(o.steps, o, { %sq = 1 })\nif not hint:find(\"did you mean '%s'\", 1, true) then error(hint) end", o->name, o->name, o->name);
        run(w, way, body);
        free(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(every_member_is_the_hint_when_its_last_letter_is_wrong),
        unit(every_member_is_the_hint_when_its_first_letter_is_missing),
        unit(every_member_can_be_read_as_it_is_written),
        unit(every_option_of_a_step_is_known_and_hinted_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
