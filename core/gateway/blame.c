#include "gateway/blame.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/hash.h"
#include <stdio.h>
#include <string.h>

static bool has(const struct lun_snapshot *s, const struct lun_file *file)
{
    for (int i = 0; i < s->n_parts; i++) {
        const struct lun_file *f = &s->parts[i].file;
        if (!s->parts[i].bundled && f->n == file->n && !strcmp(f->name, file->name) && !memcmp(f->text, file->text, f->n)) return true;
    }
    return false;
}

static uint64_t hash(const struct lun_file *f) { return lun_hash(f->text, f->n, f->n); }

char *lun_blame(const struct lun_snapshot *bad, const struct lun_snapshot *instead)
{
    struct lun_buf out = {0};
    for (int i = 0; i < bad->n_parts; i++) {
        const struct lun_file *f = &bad->parts[i].file;
        if (!bad->parts[i].bundled && !has(instead, f)) lun_buf_printf(&out, "%016llx %s\n", (unsigned long long)hash(f), f->name);
    }
    char *text = lun_strdup(lun_buf_text(&out));
    lun_buf_free(&out);
    return text;
}

static bool is_line(const char *line, size_t n, const struct lun_file *f)
{
    char text[20];
    snprintf(text, sizeof text, "%016llx ", (unsigned long long)hash(f));
    return n == 17 + strlen(f->name) && !memcmp(line, text, 17) && !memcmp(line + 17, f->name, n - 17);
}

bool lun_blame_holds(const char *blame, const struct lun_snapshot *s)
{
    if (!blame || !*blame) return false;
    for (const char *end; (end = strchr(blame, '\n')); blame = end + 1) {
        bool found = false;
        for (int i = 0; i < s->n_parts && !found; i++) found = !s->parts[i].bundled && is_line(blame, (size_t)(end - blame), &s->parts[i].file);
        if (!found) return false;
    }
    return !*blame;
}

const char *lun_blame_names(const char *blame, char out[200])
{
    size_t n = 0;
    *out = 0;
    for (const char *end; (end = strchr(blame, '\n')) && end - blame > 17 && n < 199; blame = end + 1)
        n += (size_t)snprintf(out + n, 200 - n, "%s%.*s", n ? ", " : "", (int)(end - blame) - 17, blame + 17);
    return out;
}
