#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "script/loading.h"
#include "state/certificate.h"
#include <fcntl.h>
#include <lauxlib.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *lun_file_path(struct lun_loading *l, const char *name, struct lun_arena *arena)
{
    const char *folder = l->snapshot->folder;
    if (*name == '/' || !*folder || !strcmp(folder, ".")) return lun_arena_strdup(arena, name);
    return lun_arena_printf(arena, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name);
}

const char *lun_file_shown(struct lun_loading *l, const char *name)
{
    return *name == '/' ? name : lun_arena_printf(&l->scratch, "%s%s", l->prefix, name);
}

const char *lun_part_shown(struct lun_loading *l, const struct lun_part *p)
{
    return p->bundled ? p->file.name : lun_file_shown(l, p->file.name);
}

struct lun_file lun_file_note(struct lun_loading *l, enum lun_part_kind kind, const char *module, const char *name, const char *text, size_t n, bool bundled)
{
    struct lun_arena *arena = &l->snapshot->arena;
    if (l->n_parts == l->parts_room) {
        struct lun_part *more = lun_arena_alloc(arena, (size_t)(l->parts_room = l->parts_room ? 2 * l->parts_room : 8) * sizeof *more);
        if (l->n_parts) memcpy(more, l->parts, (size_t)l->n_parts * sizeof *more);
        l->parts = more;
    }
    struct lun_file file = { lun_arena_strdup(arena, name), bundled ? text : lun_arena_strndup(arena, text, n), n };
    l->parts[l->n_parts++] = (struct lun_part){ kind, lun_arena_strdup(arena, module), file, bundled };
    l->snapshot->parts = l->parts, l->snapshot->n_parts = l->n_parts;
    return file;
}

bool lun_file_read(struct lun_loading *l, enum lun_part_kind kind, const char *module, const char *name, struct lun_file *out, const char **why)
{
    size_t n;
    for (int i = 0; i < l->options->n_files; i++) {
        const struct lun_file *f = &l->options->files[i];
        if (strcmp(f->name, name)) continue;
        *out = lun_file_note(l, kind, module, name, f->text, f->n, false);
        return true;
    }
    if (!l->disk) { *why = "there is no folder to read files from"; return false; }
    const char *path = lun_file_path(l, name, &l->scratch);
    lun_file_looked_at(l, path);
    char *text = lun_file_slurp_most(path, kind == LUN_PART_PRICES ? LUN_FILE_LARGEST : LUN_FILE_MOST, &n, why);
    if (!text) { *why = lun_arena_strdup(&l->scratch, *why); return false; }
    *out = lun_file_note(l, kind, module, name, text, n, false);
    free(text);
    return true;
}

const char *lun_file_of_module(struct lun_loading *l, const char *module, const char *beside)
{
    const char *slash = strrchr(beside, '/');
    size_t n = strspn(module, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");
    if (!n || module[n] || n > 200 || *module == '.' || module[n - 1] == '.' || strstr(module, "..")) return NULL;
    char *name = lun_arena_printf(&l->scratch, "%.*s%s.lua", slash ? (int)(slash + 1 - beside) : 0, beside, module);
    for (char *c = name + (slash ? slash + 1 - beside : 0); c < name + strlen(name) - 4; c++)
        if (*c == '.') *c = '/';
    return name;
}

void lun_file_looked_at(struct lun_loading *l, const char *path)
{
    if (l->options->looked_at) l->options->looked_at(l->options->looked_at_self, path);
}

/* Whether who will use the file takes it, too. */
static bool holds_certificates(const char *path)
{
    X509_STORE *store = X509_STORE_new();
    if (!store) abort();
    bool good = X509_STORE_load_file(store, path) == 1;
    ERR_clear_error();
    X509_STORE_free(store);
    return good;
}

const char *lun_file_authorities(struct lun_loading *l, const struct lun_value *v, const char *name)
{
    const char *path = lun_file_path(l, name, &l->snapshot->arena), *quoted = lun_value_quote(name, &l->scratch);
    struct stat st;
    lun_file_looked_at(l, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) lun_wrong(l, v, "%s cannot be read: %m", quoted);
    else if (fstat(fd, &st) || !S_ISREG(st.st_mode)) lun_wrong(l, v, "%s is not a file", quoted);
    else if (!holds_certificates(path)) lun_wrong(l, v, "%s holds no certificate in PEM form, or one that is damaged", quoted);
    if (fd >= 0) close(fd);
    return path;
}

/* What stands behind "file:12:" when the message begins with one of our files; NULL: it does not. */
static const char *after_place(struct lun_loading *l, const char *message, const char **file, int *line)
{
    for (int i = 0; i < l->n_parts; i++) {
        const char *shown = lun_part_shown(l, &l->parts[i]), *at = message + strlen(shown);
        if (strncmp(message, shown, strlen(shown)) || *at != ':') continue;
        size_t digits = strspn(++at, "0123456789");
        if (!digits || digits > 9 || at[digits] != ':') continue;
        *file = shown, *line = atoi(at);
        return at + digits + 1 + (at[digits + 1] == ' ');
    }
    return NULL;
}

void lun_wrong_lua(struct lun_loading *l, const char *message, const char *otherwise)
{
    const char *file = otherwise, *what;
    int line = 0;
    what = after_place(l, message, &file, &line);
    lun_mistakes_add(l->mistakes, file, line, "%s", what ? what : message);
}

bool lun_file_compiles(struct lun_loading *l, const struct lun_file *file)
{
    const char *shown = lun_file_shown(l, file->name);
    lua_State *L = l->vm->L;
    int status = luaL_loadbufferx(L, file->text, file->n, lun_arena_printf(&l->scratch, "@%s", shown), "t");
    if (status) lun_wrong_lua(l, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "cannot be compiled", shown);
    lua_pop(L, 1);
    return !status;
}

/* ---- the version ---- */

static int by_name(const void *a, const void *b)
{
    const struct lun_part *x = a, *y = b;
    int order = strcmp(x->file.name, y->file.name);
    return order ? order : (x->kind > y->kind) - (x->kind < y->kind);
}

static void digest_text(EVP_MD_CTX *hash, const char *text, size_t n)
{
    EVP_DigestUpdate(hash, &n, sizeof n);
    EVP_DigestUpdate(hash, text, n);
}

void lun_files_outside(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    const char *why;
    size_t n;
    if (!hash || !EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) abort();
    for (int i = 0; i < s->n_secrets; i++) {
        digest_text(hash, s->secrets[i].name, strlen(s->secrets[i].name));
        digest_text(hash, s->secrets[i].value, strlen(s->secrets[i].value));
    }
    for (int i = 0; i < s->n_providers; i++) {
        char *text = s->providers[i].ca ? lun_file_slurp(s->providers[i].ca, &n, &why) : NULL;
        if (text) digest_text(hash, text, n);
        free(text);
    }
    const struct lun_certificate *shown[] = { s->listen_tls.shown, s->admin_tls.shown };
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (shown[i]) digest_text(hash, (const char *)shown[i]->digest, sizeof shown[i]->digest);
    EVP_DigestFinal_ex(hash, s->outside, NULL);
    EVP_MD_CTX_free(hash);
}

static void digest_word(EVP_MD_CTX *hash, const char *text)
{
    digest_text(hash, text ? text : "", text ? strlen(text) : 0);
}

static bool is_secret(const struct lun_snapshot *s, const char *text)
{
    for (int i = 0; i < s->n_secrets; i++) if (s->secrets[i].value == text) return true;
    return false;
}

/* Keys are not in it, nor other secrets: each gateway may have its own. */
static void digest_provider(EVP_MD_CTX *hash, const struct lun_snapshot *s, const struct lun_provider *p)
{
    digest_word(hash, p->name), digest_word(hash, p->dialect), digest_word(hash, p->base_url);
    for (int i = 0; i < p->n_headers; i++) {
        digest_word(hash, p->headers[i].name);
        if (!is_secret(s, p->headers[i].value)) digest_word(hash, p->headers[i].value);
    }
}

static void digest_target(EVP_MD_CTX *hash, const struct lun_target *t)
{
    const int64_t numbers[] = { t->provider->index, t->price.input, t->price.output, t->context, t->max_output, t->supports, t->supports_given };
    digest_word(hash, t->name), digest_word(hash, t->model), digest_word(hash, t->upstream), digest_word(hash, t->facts);
    digest_text(hash, (const char *)numbers, sizeof numbers);
    digest_text(hash, (const char *)&t->weight, sizeof t->weight);
}

/* What a file reads from the environment is not in the version. */
void lun_files_alike(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    struct lun_buf value = {0};
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (!hash || !EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) abort();
    digest_word(hash, s->version);
    digest_text(hash, (const char *)&s->limits.output, sizeof s->limits.output);
    for (int i = 0; i < s->n_providers; i++) digest_provider(hash, s, &s->providers[i]);
    for (int i = 0; i < s->n_targets; i++) digest_target(hash, &s->targets[i]);
    for (int i = 0; i < s->n_settings; i++) {
        value.n = 0;
        lun_plain_put(&value, &s->settings[i].initial);
        digest_word(hash, s->settings[i].name), digest_text(hash, value.at, value.n);
    }
    EVP_DigestFinal_ex(hash, s->alike, NULL);
    EVP_MD_CTX_free(hash);
    lun_buf_free(&value);
}

/* The same file can be there several times (required by the policy and by gateway.lua): each kind counts once. */
static void digest(EVP_MD_CTX *hash, const struct lun_part *p)
{
    char head[32];
    int n = snprintf(head, sizeof head, "%d %zu %zu\n", (int)p->kind, strlen(p->file.name), p->file.n);
    EVP_DigestUpdate(hash, head, (size_t)n);
    EVP_DigestUpdate(hash, p->file.name, strlen(p->file.name));
    EVP_DigestUpdate(hash, p->file.text, p->file.n);
}

const char *lun_files_version(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    unsigned char sum[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    struct lun_part *sorted = lun_memdup(l->parts, (size_t)l->n_parts * sizeof *sorted);
    qsort(sorted, (size_t)l->n_parts, sizeof *sorted, by_name);
    if (!hash || !EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) abort();
    for (int i = 0; i < l->n_parts; i++) {
        const struct lun_part *before = i ? &sorted[i - 1] : NULL;
        bool ours = sorted[i].bundled && sorted[i].kind != LUN_PART_POLICY;
        if (!ours && !(before && before->kind == sorted[i].kind && !strcmp(before->file.name, sorted[i].file.name))) digest(hash, &sorted[i]);
    }
    EVP_DigestFinal_ex(hash, sum, NULL);
    EVP_MD_CTX_free(hash);
    free(sorted);
    const char *slash = s->policy.text ? strrchr(s->policy.name, '/') : NULL;
    const char *name = s->policy.text ? slash ? slash + 1 : s->policy.name : "default";
    return lun_arena_printf(&s->arena, "%s@%02x%02x%02x%02x%02x%02x", name, sum[0], sum[1], sum[2], sum[3], sum[4], sum[5]);
}
