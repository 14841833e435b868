/* Another gateway's configuration: it is carried over, or it is told why not; and what was made of it is a configuration that `check` finds fine, whatever
 * texts stood in it. What is said has a line of the file, and no control character. */
#include "fuzz.h"
#include "cli/import_litellm.h"

static bool is_clean(const char *text)
{
    for (const char *c = text; *c; c++) if ((unsigned char)*c < ' ' || *c == 127) return false;
    return *text;
}

static void promise_notes(const struct lun_import_notes *notes)
{
    for (int i = 0; i < notes->n; i++) PROMISE(!strcmp(notes->at[i].file, "config.yaml") && notes->at[i].line > 0 && is_clean(notes->at[i].text));
}

static void promise_result(struct lun_import *import)
{
    struct lun_mistakes mistakes = {0};
    PROMISE(import->gateway && import->models > 0 && import->targets >= import->models);
    PROMISE(lun_import_check(import, &mistakes) && !mistakes.told);
    for (int i = 0; i < import->n_variables; i++) PROMISE(is_clean(import->variables[i].name));
    lun_mistakes_free(&mistakes);
}

void fuzz_import(struct input in)
{
    char *text = copy_of(in.at, in.n);
    struct lun_import import;
    struct lun_mistakes mistakes = {0};
    bool good = lun_import_litellm_text("config.yaml", text, in.n, &import, &mistakes);
    PROMISE(good == (!mistakes.told && !import.refused.n));
    for (int i = 0; i < mistakes.n; i++) {
        PROMISE(mistakes.items[i].line > 0 && is_clean(mistakes.items[i].what));
        PROMISE(!strstr(mistakes.items[i].what, "could not be carried over"));
    }
    promise_notes(&import.notes);
    promise_notes(&import.refused);
    if (good) promise_result(&import);
    lun_mistakes_free(&mistakes);
    lun_import_free(&import);
    free(text);
}
