#include "base/alloc.h"
#include "base/text.h"
#include "script/bind.h"
#include "script/bundle.h"
#include "script/convert.h"
#include "script/loading.h"
#include "script/sandbox.h"
#include "state/plan.h"
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct policy { struct lun_loading *l; struct lun_lines *lines; const struct lun_file *file; };

/* ---- finding it ---- */

/* Beside gateway.lua, else one that comes along. */
static bool read_policy(struct lun_loading *l, const char *name)
{
    const char *why;
    const struct lun_bundle_file *ours = strncmp(name, "policies/", 9) ? NULL : lun_bundle_find(name);
    if (lun_file_read(l, LUN_PART_POLICY, NULL, name, &l->snapshot->policy, &why)) return true;
    if (ours) l->snapshot->policy = lun_file_note(l, LUN_PART_POLICY, NULL, ours->name, ours->start, ours->size, true);
    else lun_wrong(l, lun_value_get(l->root, "policy"), "%s cannot be read: %s", lun_value_quote(name, &l->scratch), why);
    return ours != NULL;
}

static bool source(void *user, const char *module, struct lun_vm_source *out)
{
    struct policy *p = user;
    const char *why, *name = lun_file_of_module(p->l, module, p->file->name);
    struct lun_file file;
    if (!name || !lun_file_read(p->l, LUN_PART_POLICY_MODULE, module, name, &file, &why)) return false;
    const char *shown = lun_file_shown(p->l, name);
    lun_lines_add(p->lines, shown, module, file.text, file.n);
    *out = (struct lun_vm_source){ .name = lun_strdup(shown), .text = lun_strndup(file.text, file.n), .n = file.n };
    return true;
}

/* ---- what it returns ---- */

static const char *nearest(const char *name)
{
#define X(id, hook) hook,
    static const char *const names[] = { LUN_HOOKS(X) "settings", "limits", "on_error" };
#undef X
    return lun_text_nearest(name, names, sizeof names / sizeof *names);
}

static bool is_hook(const char *name)
{
#define X(id, hook) if (!strcmp(name, hook)) return true;
    LUN_HOOKS(X)
#undef X
    return false;
}

static void check_limits(struct lun_loading *l, struct lun_value *v)
{
    static const char *const names[] = { "attempts", "retries" };
    char must[200];
    union { int i; double d; } nothing;
    if (v->type != LUN_VALUE_TABLE) { lun_wrong(l, v, "must be a table: { attempts = …, retries = … }"); return; }
    for (int i = 0; i < v->n_items; i++) {
        struct lun_value *item = v->items[i];
        bool known = item->key && (!strcmp(item->key, names[0]) || !strcmp(item->key, names[1]));
        const struct lun_setting *s = known ? lun_setting_find(LUN_SCOPE_LIMITS, item->key) : NULL;
        if (!s) { lun_wrong(l, item, "a policy has no such limit%s", item->key ? lun_hint(l, lun_text_nearest(item->key, names, 2)) : ""); continue; }
        lun_setting_must(s, must);
        if (!lun_convert(s, item, &nothing, &l->scratch)) lun_wrong(l, item, "must be %s, not %s", must, lun_value_show(item, &l->scratch));
    }
}

static void check_entry(struct lun_loading *l, struct lun_value *v)
{
    if (!v->key) lun_wrong(l, v, "has no name: a policy is a table of hooks by name");
    else if (is_hook(v->key)) {
        if (v->type != LUN_VALUE_FUNCTION) lun_wrong(l, v, "must be a function, not %s", lun_value_show(v, &l->scratch));
    }
    else if (!strcmp(v->key, "settings")) lun_load_policy_settings(l, v);
    else if (!strcmp(v->key, "limits")) check_limits(l, v);
    else if (!strcmp(v->key, "on_error")) {
        bool refuse = v->type == LUN_VALUE_TEXT && !strcmp(v->text, "refuse");
        l->snapshot->refuse_on_error = refuse;
        if (!refuse && (v->type != LUN_VALUE_TEXT || strcmp(v->text, "default"))) lun_wrong(l, v, "must be \"refuse\" or \"default\", not %s", lun_value_show(v, &l->scratch));
    }
    else if (v->type == LUN_VALUE_BAD) lun_wrong(l, v, "%s", v->text);
    else lun_wrong(l, v, "there is no such hook%s", lun_hint(l, nearest(v->key)));
}

static void check_returned(struct policy *p, struct lun_value *root)
{
    struct lun_loading *l = p->l;
    lun_lines_place(p->lines, root);
    if (root->type == LUN_VALUE_TABLE) for (int i = 0; i < root->n_items; i++) check_entry(l, root->items[i]);
    else lun_mistakes_add(l->mistakes, root->place.file, root->place.line, "must return a table of hooks, not %s", lun_value_show(root, &l->scratch));
}

/* One whose line is lost, because a function of ours was returned from (`return lunette.x { … }`), has that of the last return. */
static void tell(struct policy *p, const struct lun_vm_error *error, const char *shown)
{
    if (error->lost) lun_mistakes_add(p->l->mistakes, shown, lun_lines_returned(p->lines), "%s", error->text);
    else lun_wrong_lua(p->l, error->text, shown);
}

static const struct lun_part *part_of_policy(const struct lun_loading *l)
{
    int i = l->n_parts - 1;
    while (i && l->parts[i].kind != LUN_PART_POLICY) i--;
    return &l->parts[i];
}

static void check_policy(struct policy *p)
{
    struct lun_loading *l = p->l;
    struct lun_vm_error error;
    const char *shown = lun_part_shown(l, part_of_policy(l));
    struct lun_vm_options options = { .cpu = l->options->cpu, .limits.single_bytes = LUN_VM_SINGLE_ASIDE, .host = { .source = source, .user = p } };
    struct lun_vm *vm = lun_vm_new(&options);
    lun_bind_open(vm, l->snapshot);
    lun_lines_add(p->lines, shown, NULL, p->file->text, p->file->n);
    int ref = lun_vm_load(vm, shown, p->file->text, p->file->n, 0, &error);
    if (ref == LUA_NOREF) tell(p, &error, shown);
    else {
        lua_rawgeti(vm->L, LUA_REGISTRYINDEX, ref);
        check_returned(p, lun_value_read(vm->L, -1, &l->scratch, NULL, NULL));
        lua_pop(vm->L, 1);
    }
    lun_vm_free(vm);
}

void lun_load_policy(struct lun_loading *l)
{
    struct lun_value *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "policy");
    struct policy p = { l, NULL, &l->snapshot->policy };
    if (!v || v->type != LUN_VALUE_TEXT || !v->n || v->n > 1024) return;
    if (!read_policy(l, v->text) || l->options->no_policy_check) return;
    p.lines = lun_lines_new();
    int told = l->mistakes->told;
    check_policy(&p);
    l->policy_read = told + l->outside_wrong == l->mistakes->told;
    lun_lines_free(p.lines);
}
