/* What policies ask of texts: the same is found however many bytes are looked at at once (base/wide.h), and a keyword where a reader that goes letter by letter sees it. */
#include "fuzz.h"
#include "base/fold.h"
#include "base/keywords.h"
#include "base/text.h"
#include "base/tokens.h"
#include "base/wide.h"

enum { MOST = 12 };

/* Keywords: pieces of the text, and of each how long, say the last bytes. */
struct list { struct lun_keywords *set; struct lun_buf texts[MOST]; int n; };

static struct list take_list(struct input *in)
{
    struct list l = { .n = (int)(take(in) % MOST) };
    struct lun_buf all = {0};
    for (int i = 0; i < l.n; i++) {
        size_t from = take(in) | (size_t)take(in) << 8, n = 1 + take(in) % 20;
        if (in->n < n) { l.n = i; break; }
        lun_keywords_prepare(in->at + from % (in->n - n + 1), n, &l.texts[i]);
        lun_buf_add(&all, l.texts[i].at, l.texts[i].n);
    }
    l.set = lun_keywords_init(lun_zalloc(lun_keywords_size(l.n + 1, all.n)), l.n + 1);
    for (int i = 0; i < l.n; i++) lun_keywords_add(l.set, l.texts[i].at, l.texts[i].n);
    lun_buf_free(&all);
    return l;
}

static void free_list(struct list *l)
{
    for (int i = 0; i < l->n; i++) lun_buf_free(&l->texts[i]);
    free(l->set);
}

struct found { struct lun_buf prepared; int keywords; uint64_t which; bool code; size_t words, chars; struct lun_tokens tokens; uint64_t grows; };

static struct found look(struct input in, const struct list *l, int bytes)
{
    struct found f = {0};
    lun_wide_bytes = bytes;
    lun_keywords_prepare(in.at, in.n, &f.prepared);
    char *text = copy_of(f.prepared.at, f.prepared.n);
    struct lun_keywords_search s = { .text = text, .n = f.prepared.n };
    while (lun_keywords_look(l->set, &s)) continue;
    f.keywords = s.count, f.which = s.found[0];
    f.code = lun_text_has_code(in.at, in.n);
    f.words = lun_text_words(in.at, in.n), f.chars = lun_text_chars(in.at, in.n);
    lun_tokens_add(&f.tokens, in.at, in.n);
    f.grows = lun_tokens_grow(in.at, in.n);
    free(text);
    lun_wide_bytes = lun_wide_most();
    return f;
}

/* As tokens are told of: what may stand between the quotes of a JSON string. */
static bool may_be_quoted(struct input in)
{
    struct lun_buf text = {0};
    struct lun_json value;
    lun_buf_putc(&text, '"');
    lun_buf_add(&text, in.at, in.n);
    lun_buf_putc(&text, '"');
    bool good = lun_json_check(text.at, text.n, &value, NULL);
    lun_buf_free(&text);
    return good;
}

static void promise_equal(const struct found *a, const struct found *b, bool quoted)
{
    PROMISE(a->prepared.n == b->prepared.n && (!a->prepared.n || !memcmp(a->prepared.at, b->prepared.at, a->prepared.n)));
    PROMISE(a->keywords == b->keywords && a->which == b->which);
    PROMISE(a->code == b->code && a->words == b->words && a->chars == b->chars);
    PROMISE(!quoted || (a->tokens.weight == b->tokens.weight && a->tokens.grows == b->tokens.grows && a->grows == b->grows));
}

/* ---- letter by letter ---- */

static uint32_t point_before(const char *text, size_t at)
{
    size_t used, from = at;
    do from--; while (from && (text[from] & 0xc0) == 0x80);
    return lun_text_point(text + from, at - from, &used);
}

static bool stands_at(const struct lun_buf *text, size_t at, const struct lun_buf *word)
{
    size_t used, end = at + word->n;
    if (end > text->n || memcmp(text->at + at, word->at, word->n)) return false;
    if (at && lun_fold_is_joined(lun_text_point(word->at, word->n, &used)) && lun_fold_is_joined(point_before(text->at, at))) return false;
    return end == text->n || !lun_fold_is_mark(lun_text_point(text->at + end, text->n - end, &used));
}

static bool stands_in(const struct lun_buf *text, const struct lun_buf *word)
{
    for (size_t at = 0; word->n && at + word->n <= text->n; at++) if (stands_at(text, at, word)) return true;
    return false;
}

static bool said_before(const struct list *l, int i)
{
    for (int k = 0; k < i; k++) if (l->texts[k].n == l->texts[i].n && !memcmp(l->texts[k].at, l->texts[i].at, l->texts[i].n)) return true;
    return false;
}

static void promise_found(const struct list *l, const struct found *f)
{
    int n = 0;
    for (int i = 0; i < l->n; i++) n += l->texts[i].n && !said_before(l, i) && stands_in(&f->prepared, &l->texts[i]);
    PROMISE(n == f->keywords);
}

void fuzz_words(struct input in)
{
    struct list l = take_list(&in);
    char *copy = copy_of(in.at, in.n);
    in.at = copy;
    struct found none = look(in, &l, 0);
    promise_found(&l, &none);
    bool quoted = may_be_quoted(in);
    for (int bytes = lun_wide_most(); bytes; bytes -= 32) {
        struct found wide = look(in, &l, bytes);
        promise_equal(&wide, &none, quoted);
        lun_buf_free(&wide.prepared);
    }
    lun_buf_free(&none.prepared);
    free_list(&l);
    free(copy);
}
