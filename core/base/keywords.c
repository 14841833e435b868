#include "base/keywords.h"
#include "base/fold.h"
#include "base/text.h"
#include <string.h>

struct lun_keywords { int n, room; struct { const char *text; size_t n; bool joined; } item[]; };     /* then the texts themselves */

size_t lun_keywords_size(int n, size_t bytes) { return sizeof(struct lun_keywords) + (size_t)n * sizeof ((struct lun_keywords *)0)->item[0] + bytes; }

struct lun_keywords *lun_keywords_init(void *memory, int room)
{
    struct lun_keywords *k = memory;
    k->n = 0;
    k->room = room;
    return k;
}

int lun_keywords_count(const struct lun_keywords *k) { return k->n; }

void lun_keywords_add(struct lun_keywords *k, const char *prepared, size_t n)
{
    size_t used;
    char *to = k->n ? (char *)k->item[k->n - 1].text + k->item[k->n - 1].n : (char *)&k->item[k->room];
    for (int i = 0; i < k->n; i++) if (k->item[i].n == n && !memcmp(k->item[i].text, prepared, n)) return;
    if (!n || k->n == k->room) return;
    memcpy(to, prepared, n);
    k->item[k->n].text = to;
    k->item[k->n].n = n;
    k->item[k->n++].joined = lun_fold_is_joined(lun_text_point(prepared, n, &used));
}

/* ---- what is compared ---- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Each run of ASCII white space of buf[from..] becomes one space, NBSP likewise. In place: it only grows shorter. */
static void squeeze(struct lun_buf *buf, size_t from)
{
    size_t to = from;
    for (size_t i = from; i < buf->n; i++) {
        bool nbsp = buf->at[i] == '\xc2' && i + 1 < buf->n && buf->at[i + 1] == '\xa0';
        if (!nbsp && !is_space(buf->at[i])) { buf->at[to++] = buf->at[i]; continue; }
        i += nbsp;
        if (to == from || buf->at[to - 1] != ' ') buf->at[to++] = ' ';
    }
    buf->n = to;
}

void lun_keywords_prepare(const char *text, size_t n, struct lun_buf *out)
{
    size_t from = out->n;
    lun_fold(text, n, out);
    squeeze(out, from);
}

/* Whether a match may begin at `at`: not in the middle of a word. */
static bool begins(const char *text, size_t at)
{
    size_t used, from = at;
    if (!at) return true;
    do from--; while (from && (text[from] & 0xc0) == 0x80);
    return !lun_fold_is_joined(lun_text_point(text + from, at - from, &used));
}

static bool ends(const char *text, size_t n, size_t at)
{
    size_t used;
    return at == n || !lun_fold_is_mark(lun_text_point(text + at, n - at, &used));
}

bool lun_keywords_stands(const struct lun_keywords *k, int i, const char *text, size_t n)
{
    const char *at = text;
    while ((at = memmem(at, n - (size_t)(at - text), k->item[i].text, k->item[i].n))) {
        size_t from = (size_t)(at - text);
        if ((!k->item[i].joined || begins(text, from)) && ends(text, n, from + k->item[i].n)) return true;
        at++;
    }
    return false;
}
