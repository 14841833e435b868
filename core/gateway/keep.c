#include "gateway/keep.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "gateway/key_file.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lun_keep { char *folder; int lock; };

/* What names a version in the folder; what is no hash names nothing. */
static const char *hash_of(const char *version)
{
    const char *at = strrchr(version, '@');
    return at && at[1] && strspn(at + 1, "0123456789abcdef") == strlen(at + 1) ? at + 1 : "none";
}

static bool is_same(int fd, const char *path)
{
    struct stat ours, now;
    return !fstat(fd, &ours) && !stat(path, &now) && ours.st_ino == now.st_ino && ours.st_dev == now.st_dev;
}

static int take_lock(const char *path, int *handed, const char **why)
{
    int lock = handed && *handed >= 0 && is_same(*handed, path) ? *handed : -1;
    if (lock < 0) return lun_file_lock(path, why);
    *handed = -1;
    return lock;
}

/* The folder, made where it is not there, and its lock; -1: `error` says why it cannot be used. */
static int take(const char *folder, int *handed, char **error)
{
    const char *why;
    char *versions = lun_printf("%s/versions", folder), *path = lun_printf("%s/lock", folder);
    int lock = -1;
    if (lun_folder_make(folder, &why) && lun_folder_make(versions, &why)) lock = take_lock(path, handed, &why);
    if (lock < 0 && !*error) *error = lun_printf("the state folder %s cannot be used: %s", folder, why);
    free(versions), free(path);
    return lock;
}

/* Somebody may have removed the folder, or put another one there, which another gateway may have taken since. */
static bool is_there(const struct lun_keep *k)
{
    struct stat inside;
    char *lock = lun_printf("%s/lock", k->folder), *versions = lun_printf("%s/versions", k->folder);
    bool good = is_same(k->lock, lock) && !stat(versions, &inside);
    free(lock), free(versions);
    return good;
}

static bool make_sure(struct lun_keep *k, char **error)
{
    if (is_there(k)) return true;
    close(k->lock);
    return (k->lock = take(k->folder, NULL, error)) >= 0;
}

int lun_keep_lock(const struct lun_keep *k) { return k->lock; }

struct lun_keep *lun_keep_open(const char *folder, int *lock, char **error)
{
    struct lun_keep *k = lun_zalloc(sizeof *k);
    k->folder = lun_strdup(folder);
    *error = NULL;
    k->lock = take(folder, lock, error);
    if (k->lock >= 0) return k;
    lun_keep_close(k);
    return NULL;
}

void lun_keep_close(struct lun_keep *k)
{
    if (!k) return;
    if (k->lock >= 0) close(k->lock);
    free(k->folder);
    free(k);
}

static bool replace(struct lun_keep *k, const char *name, const char *text, size_t n, char **error)
{
    const char *why;
    if (!make_sure(k, error)) return false;
    char *path = lun_printf("%s/%s", k->folder, name);
    bool good = lun_file_replace(path, text, n, &why);
    if (!good && !*error) *error = lun_printf("%s cannot be written: %s", path, why);
    free(path);
    return good;
}

char *lun_keep_read(struct lun_keep *k, size_t *n)
{
    const char *why;
    char *path = lun_printf("%s/state.json", k->folder), *text = lun_file_slurp(path, n, &why);
    free(path);
    return text;
}

bool lun_keep_write(struct lun_keep *k, const char *text, size_t n, char **error)
{
    return replace(k, "state.json", text, n, error);
}

/* ---- keys ---- */

char *lun_keep_read_keys(struct lun_keep *k, size_t *n, char **error)
{
    const char *why;
    char *path = lun_printf("%s/keys.json", k->folder), *text = lun_file_slurp_most(path, LUN_KEY_FILE_MOST, n, &why);
    *error = text || lun_file_missing(path) ? NULL : lun_printf("%s cannot be read: %s", path, why);
    free(path);
    return text;
}

bool lun_keep_write_keys(struct lun_keep *k, const char *text, size_t n, char **error)
{
    return replace(k, "keys.json", text, n, error);
}

bool lun_keep_may_have_keys(const char *folder)
{
    char *path = lun_printf("%s/keys.json", folder);
    bool none = lun_file_missing(path);
    free(path);
    return !none;
}

bool lun_keep_has_keys(const struct lun_keep *k) { return lun_keep_may_have_keys(k->folder); }

/* ---- the text of versions ---- */

/* A file that was required twice is there once. */
static bool repeated(const struct lun_snapshot *s, int i)
{
    for (int j = 0; j < i; j++) if (!s->parts[j].bundled && !strcmp(s->parts[j].file.name, s->parts[i].file.name)) return true;
    return false;
}

void lun_kept_copy(const struct lun_snapshot *s, struct lun_kept *kept)
{
    *kept = (struct lun_kept){0};
    struct lun_file *files = lun_arena_alloc(&kept->arena, (size_t)(s->n_parts + 1) * sizeof *files);
    for (int i = 0; i < s->n_parts; i++) {
        const struct lun_file *f = &s->parts[i].file;
        if (!s->parts[i].bundled && !repeated(s, i))
            files[kept->n++] = (struct lun_file){ lun_arena_strdup(&kept->arena, f->name), lun_arena_strndup(&kept->arena, f->text, f->n), f->n };
    }
    kept->files = files;
}

void lun_kept_free(struct lun_kept *kept) { lun_arena_free(&kept->arena); }

static void read_files(struct lun_kept *kept, const char *folder, struct lun_json names)
{
    struct lun_json_each e = lun_json_each(names);
    struct lun_file *files = lun_arena_zalloc(&kept->arena, (lun_json_count(names) + 1) * sizeof *files);
    const char *why;
    kept->files = files;
    while (lun_json_next(&e)) {
        struct lun_file *f = &files[kept->n];
        char *path = lun_printf("%s/%d", folder, kept->n), *text = lun_file_slurp_most(path, LUN_FILE_LARGEST, &f->n, &why);
        f->name = lun_json_string_in(e.value, true, &kept->arena, NULL);
        f->text = text ? lun_arena_strndup(&kept->arena, text, f->n) : NULL;
        free(path), free(text);
        if (!f->name || !f->text) { kept->n = 0; return; }
        kept->n++;
    }
}

bool lun_kept_read(struct lun_keep *k, const char *version, struct lun_kept *kept)
{
    char *folder = lun_printf("%s/versions/%s", k->folder, hash_of(version)), *path = lun_printf("%s/index", folder);
    struct lun_json names;
    const char *why;
    size_t n;
    *kept = (struct lun_kept){0};
    char *text = lun_file_slurp_most(path, LUN_FILE_LARGEST, &n, &why);
    if (text && lun_json_check(text, n, &names, NULL)) read_files(kept, folder, names);
    free(text), free(path), free(folder);
    if (!kept->n) lun_kept_free(kept);
    return kept->n > 0;
}

static bool put(const char *path, const char *text, size_t n, char **error)
{
    const char *why;
    if (lun_file_put(path, text, n, &why)) return true;
    *error = lun_printf("%s cannot be written: %s", path, why);
    return false;
}

static bool write_files(const char *folder, const struct lun_kept *kept, char **error)
{
    struct lun_buf index = {0};
    bool good = true;
    lun_buf_putc(&index, '[');
    for (int i = 0; good && i < kept->n; i++) {
        char *path = lun_printf("%s/%d", folder, i);
        good = put(path, kept->files[i].text, kept->files[i].n, error);
        if (i) lun_buf_putc(&index, ',');
        lun_json_put_text(&index, kept->files[i].name);
        free(path);
    }
    lun_buf_putc(&index, ']');
    char *path = lun_printf("%s/index", folder);
    good = good && put(path, index.at, index.n, error);
    free(path);
    lun_buf_free(&index);
    return good;
}

static bool is_whole(struct lun_keep *k, const char *version, const struct lun_kept *kept)
{
    struct lun_kept there;
    if (!lun_kept_read(k, version, &there)) return false;
    bool same = there.n == kept->n;
    for (int i = 0; same && i < kept->n; i++) {
        const struct lun_file *a = &kept->files[i], *b = &there.files[i];
        same = a->n == b->n && !strcmp(a->name, b->name) && !memcmp(a->text, b->text, a->n);
    }
    lun_kept_free(&there);
    return same;
}

bool lun_keep_version(struct lun_keep *k, const struct lun_snapshot *s, char **error)
{
    struct lun_kept kept;
    char *folder = lun_printf("%s/versions/%s", k->folder, hash_of(s->version));
    lun_kept_copy(s, &kept);
    bool good = make_sure(k, error);
    if (good && !is_whole(k, s->version, &kept)) {
        good = !mkdir(folder, 0700) || errno == EEXIST;
        if (!good) *error = lun_printf("%s cannot be made: %s", folder, strerror(errno));
        good = good && write_files(folder, &kept, error);
    }
    lun_kept_free(&kept);
    free(folder);
    return good;
}

/* ---- what nobody needs any more ---- */

static void empty(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d)); )
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(folder);
}

static bool is_known(const char *name, const char *const *known, int n)
{
    for (int i = 0; i < n; i++) if (!strcmp(hash_of(known[i]), name)) return true;
    return false;
}

void lun_keep_only(struct lun_keep *k, const char *const *known, int n)
{
    char *folder = lun_printf("%s/versions", k->folder);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)); ) {
        if (e->d_name[0] == '.' || is_known(e->d_name, known, n)) continue;
        char *path = lun_printf("%s/%s", folder, e->d_name);
        empty(path);
        free(path);
    }
    if (d) closedir(d);
    free(folder);
}
