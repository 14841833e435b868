/* gateway.lua and what it names: a text is a configuration or it is told what is wrong with it, never both; as `serve` reads it so does `check`; what is taken
 * is whole enough to be tried. The limits of the sandbox hold. */
#include "fuzz.h"
#include "gateway/rehearsal.h"
#include "script/load.h"

/* The first text is gateway.lua, the next ones, each behind a zero byte, what it may name. */
static const char *const names[] = { "policy.lua", "prices.json", "words.lua", "simulated.lua" };
enum { FILES = sizeof names / sizeof *names };

struct folder { struct input gateway; struct lun_file files[FILES]; int n; };

static struct input next_text(struct input *in)
{
    const char *zero = in->n ? memchr(in->at, 0, in->n) : NULL;
    struct input text = { in->at, zero ? (size_t)(zero - in->at) : in->n };
    in->n -= text.n + (zero != NULL);
    in->at += text.n + (zero != NULL);
    return text;
}

static struct folder folder_of(struct input in)
{
    struct folder f = { .gateway = next_text(&in) };
    while (in.n && f.n < FILES) {
        struct input text = next_text(&in);
        f.files[f.n] = (struct lun_file){ names[f.n], text.at, text.n };
        f.n++;
    }
    return f;
}

static struct lun_snapshot *load(const struct folder *f, struct lun_origins *origins, struct lun_mistakes *notes, struct lun_mistakes *mistakes)
{
    static const char *const environment[] = { "KEY=sk-of-a-provider", "OPENAI_API_KEY=sk-of-another", "LONG=a secret of thirty bytes and more", "LUNETTE_LISTEN=127.0.0.1:4000", NULL };
    struct lun_load_options o = { .environment = environment, .secrets_folder = "none", .origins = origins, .notes = notes, .cpu = LUN_CPU_STEPS,
                                  .files = f->files, .n_files = f->n };
    return lun_load_text("gateway.lua", f->gateway.at, f->gateway.n, NULL, &o, mistakes);
}

/* A secret is said only where the text has it itself. */
static void promise_words(const struct lun_mistakes *m, struct input in)
{
    bool written = memmem(in.at, in.n, "sk-of-a", 7);
    for (int i = 0; i < m->n; i++) {
        PROMISE(*m->items[i].what && m->items[i].line >= 0 && (written || !strstr(m->items[i].what, "sk-of-a")));
        for (const char *c = m->items[i].what; *c; c++) PROMISE((unsigned char)*c >= ' ' && *c != 127);
    }
}

/* Names that lead somewhere: what runs by a snapshot looks at none of them again. */
static void promise_whole(const struct lun_snapshot *s)
{
    PROMISE(s->version && s->n_providers > 0 && s->n_models > 0 && s->n_targets > 0);
    for (int i = 0; i < s->n_targets; i++) {
        const struct lun_target *t = &s->targets[i];
        PROMISE(t->provider >= s->providers && t->provider < s->providers + s->n_providers && *t->name && t->price.input >= LUN_UNPRICED && t->price.output >= LUN_UNPRICED);
        PROMISE(lun_snapshot_target(s, t->name) == t);
    }
}

static void hook_is_wrong(void *self, const char *what) { PROMISE(!self && *what); }

static bool same_mistakes(const struct lun_mistakes *a, const struct lun_mistakes *b)
{
    if (a->n != b->n || a->told != b->told) return false;
    for (int i = 0; i < a->n; i++)
        if (a->items[i].line != b->items[i].line || strcmp(a->items[i].what, b->items[i].what) || strcmp(a->items[i].file, b->items[i].file)) return false;
    return true;
}

void fuzz_load(struct input in)
{
    char *copy = copy_of(in.at, in.n);
    in.at = copy;
    struct folder f = folder_of(in);
    struct lun_mistakes served = {0}, checked = {0}, notes = {0};
    struct lun_origins origins = {0};
    struct lun_snapshot *s = load(&f, NULL, NULL, &served), *c = load(&f, &origins, &notes, &checked);
    PROMISE((s == NULL) == (served.told > 0) && (s == NULL) == (c == NULL) && same_mistakes(&served, &checked));
    promise_words(&served, in);
    if (s) {
        PROMISE(!strcmp(s->version, c->version));
        promise_whole(s);
        lun_rehearse(c, NULL, hook_is_wrong, NULL);
    }
    lun_snapshot_unref(s), lun_snapshot_unref(c);
    lun_mistakes_free(&served), lun_mistakes_free(&checked), lun_mistakes_free(&notes);
    lun_origins_free(&origins);
    free(copy);
}
