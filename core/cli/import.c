#include "cli/cli.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/import_litellm.h"
#include "cli/print.h"
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char lun_usage_import[] =
    "usage: lunette import litellm CONFIG.yaml [--output DIR|-] [--prices FILE] [--force] [--json]\n"
    "\n"
    "Makes gateway.lua, and policy.lua where one is needed, out of a configuration of LiteLLM's proxy: models, fallbacks, retries, routing strategy, rates,\n"
    "budgets, cache, Redis, keys by the names of their variables. What is not carried over, or not quite as it was, is said on stderr with file and\n"
    "line, and stands at the top of gateway.lua. No key is copied: one that stands in the file as text gets the name of a variable to put it into.\n"
    "What was made is checked as `lunette check` does, before anything is written.\n"
    "  --output DIR   where the files go; default: here. -: both go to stdout, one behind the other\n"
    "  --prices FILE  LiteLLM's list of prices, model_prices_and_context_window.json, for models whose price the configuration does not say: limits on\n"
    "                 money need them. gateway.lua will name that file\n"
    "  --force        files that are there are replaced\n"
    "  --json         one object instead: files, notes, variables to set\n"
    "\n"
    "Exit status: 0 carried over, with notes or without; 1 nothing of it could be, and nothing is written; 2 wrong use.\n";

struct wish { const char *config, *output, *prices; bool force, json; };

/* ---- what is said ---- */

static void put_notes(const struct lun_import_notes *notes, struct lun_buf *out)
{
    for (int i = 0; i < notes->n; i++) lun_buf_printf(out, "%s:%d: %s\n", notes->at[i].file, notes->at[i].line, notes->at[i].text);
}

static const char *s(int n) { return n == 1 ? "" : "s"; }

static void put_variables(const struct lun_import *import, struct lun_buf *out)
{
    if (import->n_variables) lun_buf_puts(out, "asked for in the environment (keys also as files, see `secret`):\n");
    for (int i = 0; i < import->n_variables; i++)
        lun_buf_printf(out, "  %s%s\n", import->variables[i].name, getenv(import->variables[i].name) ? "" : "   is not set here");
}

static void put_summary(const struct wish *w, const struct lun_import *import, struct lun_buf *out)
{
    lun_buf_printf(out, "%s: %d model%s, %d deployment%s carried over", w->config, import->models, s(import->models), import->targets, s(import->targets));
    if (import->left) lun_buf_printf(out, ", %d left out", import->left);
    if (import->notes.n) lun_buf_printf(out, ", %d note%s", import->notes.n, s(import->notes.n));
    lun_buf_printf(out, "\ngateway.lua%s: checked, fine", import->policy ? ", policy.lua" : "");
    if (strcmp(w->output, "-")) lun_buf_printf(out, ", written to %s", w->output);
    lun_buf_putc(out, '\n');
    put_variables(import, out);
}

/* ---- as JSON ---- */

static void put_json_notes(const char *name, const struct lun_import_notes *notes, struct lun_buf *out)
{
    lun_json_put_key(out, name);
    lun_buf_putc(out, '[');
    for (int i = 0; i < notes->n; i++) {
        lun_buf_puts(out, i ? ",{" : "{");
        lun_json_member_text(out, "file", notes->at[i].file);
        lun_json_member_int(out, "line", notes->at[i].line);
        lun_json_member_text(out, "text", notes->at[i].text);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

static void put_json_file(const struct wish *w, const char *name, const char *text, struct lun_buf *out)
{
    if (out->at[out->n - 1] != '[') lun_buf_putc(out, ',');
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "name", name);
    if (strcmp(w->output, "-")) lun_json_member_text(out, "folder", w->output);
    else lun_json_member_text(out, "text", text);
    lun_buf_putc(out, '}');
}

static void put_json_variables(const struct lun_import *import, struct lun_buf *out)
{
    lun_json_put_key(out, "variables");
    lun_buf_putc(out, '[');
    for (int i = 0; i < import->n_variables; i++) {
        lun_buf_puts(out, i ? ",{" : "{");
        lun_json_member_text(out, "name", import->variables[i].name);
        lun_json_member_text(out, "kind", import->variables[i].kind);
        lun_json_put_key(out, "set");
        lun_json_put_bool(out, getenv(import->variables[i].name) != NULL);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

static void mistakes_as_notes(const struct lun_mistakes *m, struct lun_import *import)
{
    struct lun_import_notes all = { lun_arena_alloc(&import->arena, (size_t)(import->refused.n + m->n + 1) * sizeof *all.at), 0 };
    for (int i = 0; i < import->refused.n; i++) all.at[all.n++] = import->refused.at[i];
    for (int i = 0; i < m->n; i++) all.at[all.n++] = (struct lun_import_note){ m->items[i].file, m->items[i].line, m->items[i].what };
    import->refused = all;
}

static void put_json(const struct wish *w, const struct lun_import *import, bool good, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    lun_json_put_key(out, "files");
    lun_buf_putc(out, '[');
    if (good) put_json_file(w, "gateway.lua", import->gateway, out);
    if (good && import->policy) put_json_file(w, "policy.lua", import->policy, out);
    lun_buf_putc(out, ']');
    lun_json_member_int(out, "models", good ? import->models : 0);
    lun_json_member_int(out, "targets", good ? import->targets : 0);
    lun_json_member_int(out, "left_out", import->left);
    put_json_notes("notes", &import->notes, out);
    put_json_notes("refused", &import->refused, out);
    put_json_variables(import, out);
    lun_buf_puts(out, "}\n");
}

/* ---- what is written ---- */

static bool there_already(const struct wish *w, const char *name, struct lun_mistakes *mistakes)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", w->output, name);
    if (w->force || lun_file_missing(path)) return false;
    lun_mistakes_add(mistakes, path, 0, "is there already: --force replaces it, --output names another folder");
    return true;
}

/* They hold no secret: whoever may read files made here may read these. */
static void open_to_others(const char *path, mode_t mode)
{
    mode_t mask = umask(0);
    umask(mask);
    chmod(path, mode & ~mask);
}

static bool write_one(const struct wish *w, const char *name, const char *text, struct lun_mistakes *mistakes)
{
    char path[PATH_MAX];
    const char *why;
    snprintf(path, sizeof path, "%s/%s", w->output, name);
    bool good = lun_file_replace(path, text, strlen(text), &why);
    if (good) open_to_others(path, 0666);
    else lun_mistakes_add(mistakes, path, 0, "cannot be written: %s", why);
    return good;
}

static bool make_folder(const struct wish *w, struct lun_mistakes *mistakes)
{
    const char *why;
    bool missing = lun_file_missing(w->output), good = lun_folder_make(w->output, &why);
    if (!good) lun_mistakes_add(mistakes, w->output, 0, "cannot be made: %s", why);
    else if (missing) open_to_others(w->output, 0777);
    return good;
}

static bool write_all(const struct wish *w, const struct lun_import *import, struct lun_mistakes *mistakes)
{
    if (strlen(w->output) > PATH_MAX - 32) lun_mistakes_add(mistakes, "--output", 0, "the name is too long");
    else if (make_folder(w, mistakes) && !there_already(w, "gateway.lua", mistakes) && !(import->policy && there_already(w, "policy.lua", mistakes)))
        return (!import->policy || write_one(w, "policy.lua", import->policy, mistakes)) && write_one(w, "gateway.lua", import->gateway, mistakes);
    return false;
}

static void put_files(const struct lun_import *import, struct lun_buf *out)
{
    lun_buf_printf(out, "-- gateway.lua\n%s", import->gateway);
    if (import->policy) lun_buf_printf(out, "\n-- policy.lua\n%s", import->policy);
}

/* ---- the command ---- */

static int tell(const struct wish *w, struct lun_import *import, struct lun_mistakes *mistakes, bool good)
{
    struct lun_buf out = {0}, errors = {0};
    bool to_stdout = !strcmp(w->output, "-");
    if (w->json) {
        mistakes_as_notes(mistakes, import);
        put_json(w, import, good, &out);
    } else {
        put_notes(&import->notes, &errors);
        put_notes(&import->refused, &errors);
        if (good && to_stdout) put_files(import, &out);
        if (good) put_summary(w, import, to_stdout ? &errors : &out);
    }
    lun_print(&errors, stderr);
    lun_print(&out, stdout);
    if (!w->json && mistakes->n) lun_print_mistakes(mistakes, stderr);
    else if (!w->json && !good) fprintf(stderr, "%d mistake%s\n", import->refused.n, s(import->refused.n));
    lun_mistakes_free(mistakes);
    lun_import_free(import);
    return !good;
}

static int import_litellm(const struct wish *w)
{
    struct lun_mistakes mistakes = {0};
    struct lun_import import;
    char prices[PATH_MAX];
    bool named = w->prices && realpath(w->prices, prices);          /* in gateway.lua it is to be found from anywhere */
    bool good = lun_import_litellm(w->config, named ? prices : w->prices, &import, &mistakes) && lun_import_check(&import, &mistakes);
    if (good && strcmp(w->output, "-")) good = write_all(w, &import, &mistakes);
    return tell(w, &import, &mistakes, good);
}

int lun_command_import(int argc, char **argv)
{
    static const struct option options[] = { { "output", required_argument, NULL, 'o' }, { "prices", required_argument, NULL, 'p' }, { "force", no_argument, NULL, 'f' },
                                             { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct wish w = { .output = "." };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_import, stdout) < 0;
        if (c == '?') return fputs(lun_usage_import, stderr), 2;
        if (c == 'o') w.output = optarg;
        if (c == 'p') w.prices = optarg;
        w.force |= c == 'f';
        w.json |= c == 'j';
    }
    if (argc - optind != 2 || strcmp(argv[optind], "litellm")) return fputs(lun_usage_import, stderr), 2;
    w.config = argv[optind + 1];
    return import_litellm(&w);
}
