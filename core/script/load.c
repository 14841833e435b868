#include "script/load.h"
#include "base/alloc.h"
#include "script/configured.h"
#include "script/loading.h"
#include "script/sandbox.h"
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* `require` of gateway.lua. */
static bool source(void *user, const char *module, struct lun_vm_source *out)
{
    struct lun_loading *l = user;
    const char *why, *name = lun_file_of_module(l, module, "");
    struct lun_file file;
    if (!name || !lun_file_read(l, LUN_PART_CONFIG_MODULE, module, name, &file, &why)) return false;
    const char *shown = lun_file_shown(l, name);
    lun_lines_add(l->lines, shown, module, file.text, file.n);
    *out = (struct lun_vm_source){ .name = lun_strdup(shown), .text = lun_strndup(file.text, file.n), .n = file.n };
    return true;
}

static void twice(void *self, const char *file, int line, int line_before, const char *name)
{
    struct lun_loading *l = self;
    lun_mistakes_add(l->mistakes, file, line, "%s is said twice in this table (also in line %d)", lun_value_quote(name, &l->scratch), line_before);
}

/* Runs the text; what it returned is then loading->root. */
static bool run(struct lun_loading *l, const char *shown, const char *text, size_t n)
{
    struct lun_vm_error error;
    lua_State *L = l->vm->L;
    lun_lines_add(l->lines, shown, NULL, text, n);
    int ref = lun_vm_load(l->vm, shown, text, n, 0, &error);
    if (ref == LUA_NOREF) { lun_wrong_lua(l, error.text, shown); return false; }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    l->root = lun_value_read(L, -1, &l->scratch, lun_given_secret, NULL);
    bool nothing = lua_isnil(L, -1);
    lua_pop(L, 1);
    lun_lines_place(l->lines, l->root);
    lun_lines_each_twice(l->lines, twice, l);
    if (l->root->type == LUN_VALUE_TABLE) return true;
    if (l->root->type == LUN_VALUE_BAD && !nothing) lun_wrong(l, l->root, "%s", l->root->text);
    else lun_mistakes_add(l->mistakes, shown, l->root->place.line, "must return a table of settings, not %s", nothing ? "nothing" : lun_value_show(l->root, &l->scratch));
    return false;
}

static void load_table(struct lun_loading *l)
{
    lun_secrets_variable(l->secrets, LUN_ADMIN_TOKEN);      /* a secret, not a setting said from outside */
    lun_override(l);
    lun_check(l, LUN_SCOPE_TOP, l->root, l->snapshot, 0, "");
    lun_load_providers(l);
    lun_load_prices(l);
    lun_load_models(l);
    lun_load_probes(l);
    lun_load_clients(l);
    lun_load_budgets(l);
    lun_load_webhook(l);
    lun_load_capture(l);
    lun_load_canaries(l);
    lun_load_policy(l);
    lun_override_rest(l);
    lun_load_top(l);
    lun_load_check_prices(l);
}

static void note_names(struct lun_loading *l)
{
    for (int i = 0; l->options->notes && i < l->snapshot->n_parts; i++) {
        const struct lun_part *p = &l->snapshot->parts[i];
        if (p->kind == LUN_PART_POLICY || p->kind == LUN_PART_POLICY_MODULE)
            lun_configured_notes(l->snapshot, lun_file_shown(l, p->file.name), p->file.text, p->file.n, l->options->notes);
    }
}

static void open_machine(struct lun_loading *l)
{
    struct lun_vm_options options = { .cpu = l->options->cpu, .limits.single_bytes = LUN_VM_SINGLE_ASIDE, .host = { .source = source, .user = l } };
    l->vm = lun_vm_new(&options);
    l->secrets = lun_secrets_new(l->options->environment, l->options->secrets_folder);
    l->lines = lun_lines_new();
    lun_given_open(l->vm, l->secrets);
}

static void close_machine(struct lun_loading *l)
{
    if (l->options->looked_at) lun_secrets_files(l->secrets, l->options->looked_at, l->options->looked_at_self);
    lun_vm_free(l->vm);
    lun_lines_free(l->lines);
    lun_secrets_free(l->secrets);
    lun_arena_free(&l->scratch);
}

static struct lun_snapshot *load(struct lun_loading *l, const char *name, const char *text, size_t n, const char *folder)
{
    static const struct lun_load_options none;
    struct lun_snapshot *s = l->snapshot = lun_snapshot_new();
    if (!l->options) l->options = &none;
    l->mistakes_before = l->mistakes->told;
    l->disk = folder && *folder;
    s->folder = lun_arena_strdup(&s->arena, folder ? folder : "");
    open_machine(l);
    lun_file_note(l, LUN_PART_CONFIG, NULL, name, text, n, false);
    if (run(l, lun_file_shown(l, name), text, n)) load_table(l);
    bool failed = lun_loading_failed(l);
    if (!failed) {
        s->version = lun_files_version(l);
        lun_files_outside(l);
        if (s->cache.redis) lun_files_alike(l);
        note_names(l);
    } else lun_mistakes_sort(l->mistakes, lun_file_shown(l, name));
    close_machine(l);
    if (!failed) return s;
    lun_snapshot_unref(s);
    return NULL;
}

struct lun_snapshot *lun_load_text(const char *name, const char *text, size_t n, const char *folder,
                                   const struct lun_load_options *options, struct lun_mistakes *mistakes)
{
    struct lun_loading l = { .options = options, .mistakes = mistakes, .prefix = "" };
    return load(&l, name, text, n, folder);
}

struct lun_snapshot *lun_load(const char *path, const struct lun_load_options *options, struct lun_mistakes *mistakes)
{
    const char *slash = strrchr(path, '/'), *why = NULL;
    char *prefix = lun_strndup(path, slash ? (size_t)(slash + 1 - path) : 0);
    char *folder = lun_folder_of(path);
    size_t n;
    if (options && options->looked_at) options->looked_at(options->looked_at_self, path);
    char *text = lun_file_slurp(path, &n, &why);
    struct lun_snapshot *s = NULL;
    struct lun_loading l = { .options = options, .mistakes = mistakes, .prefix = prefix };
    if (text) s = load(&l, slash ? slash + 1 : path, text, n, folder);
    else lun_mistakes_add(mistakes, path, 0, "cannot be read: %s", why);
    free(text);
    free(folder);
    free(prefix);
    return s;
}
