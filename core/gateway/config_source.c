#include "gateway/config_source.h"
#include "base/alloc.h"
#include "base/file.h"
#include <stdlib.h>
#include <string.h>

static void note(void *self, const char *path)
{
    struct lun_paths *p = self;
    for (int i = 0; i < p->n; i++) if (!strcmp(p->at[i], path)) return;
    if (p->n == p->room) p->at = lun_realloc(p->at, (size_t)(p->room = p->room ? 2 * p->room : 16) * sizeof *p->at);
    p->at[p->n++] = lun_strdup(path);
}

void lun_paths_free(struct lun_paths *p)
{
    while (p->n) free(p->at[--p->n]);
    free(p->at);
    *p = (struct lun_paths){0};
}

static struct lun_snapshot *with_host(const struct lun_config_source *s, struct lun_snapshot *snapshot)
{
    if (snapshot) snapshot->host = s->host, snapshot->n_host = s->n_host;
    return snapshot;
}

struct lun_snapshot *lun_config_source_load(const struct lun_config_source *s, struct lun_mistakes *mistakes, struct lun_mistakes *notes, struct lun_paths *looked_at)
{
    struct lun_load_options options = s->options;
    options.notes = notes;
    if (looked_at) {
        options.looked_at = note;
        options.looked_at_self = looked_at;
    }
    return with_host(s, s->path ? lun_load(s->path, &options, mistakes) : lun_load_text(s->name, s->text, s->n, s->folder, &options, mistakes));
}

struct lun_snapshot *lun_config_source_load_kept(const struct lun_config_source *s, const struct lun_kept *kept, struct lun_mistakes *mistakes)
{
    struct lun_load_options options = s->options;
    char *folder = s->path ? lun_folder_of(s->path) : lun_strdup(s->folder);
    options.files = kept->files;
    options.n_files = kept->n;
    options.as_it_was = true;
    struct lun_snapshot *snapshot = lun_load_text(kept->files[0].name, kept->files[0].text, kept->files[0].n, folder, &options, mistakes);
    free(folder);
    return with_host(s, snapshot);
}
