#include "script/mistakes.h"
#include "base/alloc.h"
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line that a terminal shows as it is: controls as \n or \x1b, bytes that are no UTF-8 as \xff. */
static char *escaped(struct lun_arena *arena, const char *text)
{
    size_t n = strlen(text), used;
    char *out = lun_arena_alloc(arena, n * 4 + 1), *to = out;
    for (size_t i = 0; i < n; i += used) {
        used = lun_text_sequence(text + i, n - i);
        unsigned char c = (unsigned char)text[i];
        if (!used || c < ' ' || c == 127) {
            used = 1;
            to += c == '\n' ? sprintf(to, "\\n") : sprintf(to, "\\x%02x", c);
        } else to = (char *)memcpy(to, text + i, used) + used;
    }
    *to = 0;
    return out;
}

void lun_mistakes_add(struct lun_mistakes *m, const char *file, int line, const char *format, ...)
{
    va_list args;
    m->told++;
    if (m->n == LUN_MISTAKES_MAX) { m->more++; return; }
    va_start(args, format);
    char *raw = NULL;
    if (vasprintf(&raw, format, args) < 0) abort();
    va_end(args);
    char *what = escaped(&m->arena, raw);
    free(raw);
    file = escaped(&m->arena, file);
    for (int i = 0; i < m->n; i++)
        if (m->items[i].line == line && !strcmp(m->items[i].file, file) && !strcmp(m->items[i].what, what)) return;
    if (m->n == m->room) m->items = lun_realloc(m->items, (size_t)(m->room = m->room ? 2 * m->room : 8) * sizeof *m->items);
    m->items[m->n++] = (struct lun_mistake){ .file = file, .line = line, .what = what };
}

static int rank(const struct lun_mistakes *m, const struct lun_mistake *mistake, const char *first)
{
    int i = 0;
    if (!mistake->line) return m->n + 1;
    if (!strcmp(mistake->file, first)) return 0;
    while (strcmp(m->items[i].file, mistake->file)) i++;
    return i + 1;
}

void lun_mistakes_sort(struct lun_mistakes *m, const char *first)
{
    int *ranks = lun_alloc(((size_t)m->n + 1) * sizeof *ranks);
    for (int i = 0; i < m->n; i++) ranks[i] = rank(m, &m->items[i], first);
    for (int i = 1; i < m->n; i++) {                    /* stable: those of one line stay as they came */
        struct lun_mistake one = m->items[i];
        int r = ranks[i], at = i;
        for (; at && (ranks[at - 1] > r || (ranks[at - 1] == r && m->items[at - 1].line > one.line)); at--)
            m->items[at] = m->items[at - 1], ranks[at] = ranks[at - 1];
        m->items[at] = one, ranks[at] = r;
    }
    free(ranks);
}

void lun_mistakes_print(const struct lun_mistakes *m, struct lun_buf *out)
{
    for (const struct lun_mistake *i = m->items; i < m->items + m->n; i++)
        if (i->line) lun_buf_printf(out, "%s:%d: %s\n", i->file, i->line, i->what);
        else lun_buf_printf(out, "%s: %s\n", i->file, i->what);
    if (m->more) lun_buf_printf(out, "and %d more\n", m->more);
}

void lun_mistakes_free(struct lun_mistakes *m)
{
    free(m->items);
    lun_arena_free(&m->arena);
    *m = (struct lun_mistakes){ 0 };
}
