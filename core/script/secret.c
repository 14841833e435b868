#include "script/secret.h"
#include "base/alloc.h"
#include "base/arena.h"
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

struct asked { struct asked *next; const char *name; };
struct lun_secrets { const char *const *environment; const char *folder; struct lun_found *found; struct asked *asked, *files; struct lun_arena arena; };

/* fnmatch patterns, case-insensitive. */
static const char *const placeholders[] = {
    "your_*", "your-*", "your *", "*your[_-]api[_-]key*", "*your[_-]key*", "<*>", "{*}", "[[]*]", "$*",
    "sk-xxx*", "*[-_]xxx*", "*xxxxxxxx*", "sk-your*", "undefined", "my[_-]api[_-]key", "my[_-]key", "sk-...*", "xxx*", "*...", "…", "\\*\\*\\**", "sk-\\*\\**",
    "changeme*", "change[_-]me*", "replace[_-]*", "replaceme*", "insert[_-]*", "enter[_-]*", "put[_-]*here*",
    "todo*", "tbd", "fixme*", "placeholder*", "*api[_-]key[_-]here*", "key[_-]here", "api[_-]key", "apikey", "example", "dummy[_-]key",
};

bool lun_secret_placeholder(const char *value)
{
    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++)
        if (!fnmatch(placeholders[i], value, FNM_CASEFOLD)) return true;
    return false;
}

struct lun_secrets *lun_secrets_new(const char *const *environment, const char *folder)
{
    struct lun_secrets *s = lun_zalloc(sizeof *s);
    s->environment = environment ? environment : (const char *const *)environ;
    s->folder = lun_arena_strdup(&s->arena, folder ? folder : "/run/secrets");
    return s;
}

void lun_secrets_free(struct lun_secrets *s)
{
    if (!s) return;
    for (struct lun_found *f = s->found; f; f = f->next)
        if (f->value) explicit_bzero((char *)f->value, strlen(f->value));
    lun_arena_free(&s->arena);
    free(s);
}

static const char *variable(const struct lun_secrets *s, const char *name)
{
    size_t n = strlen(name);
    for (const char *const *e = s->environment; e && *e; e++)
        if (!strncmp(*e, name, n) && (*e)[n] == '=') return *e + n + 1;
    return NULL;
}

static void remember(struct lun_secrets *s, const char *name)
{
    if (lun_secrets_asked(s, name)) return;
    struct asked *a = lun_arena_alloc(&s->arena, sizeof *a);
    *a = (struct asked){ s->asked, lun_arena_strdup(&s->arena, name) };
    s->asked = a;
}

bool lun_secrets_asked(const struct lun_secrets *s, const char *name)
{
    for (const struct asked *a = s->asked; a; a = a->next)
        if (!strcmp(a->name, name)) return true;
    return false;
}

void lun_secrets_files(const struct lun_secrets *s, void (*tell)(void *self, const char *path), void *self)
{
    for (const struct asked *f = s->files; f; f = f->next) tell(self, f->name);
}

const char *lun_secrets_variable(struct lun_secrets *s, const char *name)
{
    remember(s, name);
    return variable(s, name);
}

/* The file's text, at most LUN_SECRET_MOST bytes (more is one more, so that it shows); -1: there is no such file. */
static ssize_t read_file(const char *path, char out[LUN_SECRET_MOST + 1])
{
    struct stat st;
    ssize_t n = 0, got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);     /* a FIFO must not hold us */
    if (fd < 0) return -1;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) n = -1;
    while (n >= 0 && n <= LUN_SECRET_MOST && (got = read(fd, out + n, LUN_SECRET_MOST + 1 - (size_t)n)) > 0) n += got;
    close(fd);
    return got < 0 ? -1 : n;
}

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool quote(char c) { return c == '"' || c == '\''; }

/* What is wrong with a value as a whole; NULL: nothing. */
static const char *unfit(const char *value, size_t n)
{
    if (n > LUN_SECRET_MOST) return "is over 16 KiB long";
    if (quote(value[0]) || quote(value[n - 1])) return "has a quotation mark at one end: the key is to stand there without, or between two of them";
    for (size_t i = 0; i < n; i++)
        if (value[i] < ' ' || value[i] > '~') return "has a line break, or another character that a key cannot have, in it";
    return NULL;
}

static void strip(const char **text, size_t *n)
{
    while (*n && blank(**text)) ++*text, --*n;
    while (*n && blank((*text)[*n - 1])) --*n;
}

/* What editors and shells put round a key: white space, line ends, a byte order mark, a pair of quotation marks. */
static void unwrap(const char **text, size_t *n)
{
    strip(text, n);
    if (*n >= 3 && !memcmp(*text, "\xEF\xBB\xBF", 3)) *text += 3, *n -= 3;
    strip(text, n);
    if (*n < 2 || (**text != '"' && **text != '\'') || (*text)[*n - 1] != **text) return;
    ++*text, *n -= 2;
    strip(text, n);
}

/* Takes it if it is not blank. True: the search is over. */
static bool take(struct lun_secrets *s, struct lun_found *f, const char *text, size_t n, const char *from)
{
    unwrap(&text, &n);
    f->from = from;
    if (!n) return false;
    char *value = n > LUN_SECRET_MOST ? NULL : lun_arena_strndup(&s->arena, text, n);
    const char *why = value && lun_secret_placeholder(value) ? "holds the placeholder of an example, not a key" : unfit(text, n);
    if (why && value) {
        explicit_bzero(value, n);
        value = NULL;
    }
    if (why) f->problem = lun_arena_printf(&s->arena, "%s %s (%s)", f->name, why, from);
    f->value = value;
    return true;
}

static bool take_file(struct lun_secrets *s, struct lun_found *f, const char *folder)
{
    char text[LUN_SECRET_MOST + 1];
    if (!folder || !*folder) return false;
    const char *path = lun_arena_printf(&s->arena, "%s/%s", folder, f->name);
    struct asked *file = lun_arena_alloc(&s->arena, sizeof *file);
    *file = (struct asked){ s->files, path };
    s->files = file;
    ssize_t n = read_file(path, text);
    bool over = n >= 0 && take(s, f, text, (size_t)n, path);
    explicit_bzero(text, sizeof text);
    return over;
}

static bool usable_name(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");
    return n && !name[n] && n <= 128 && name[0] != '.';
}

static void look(struct lun_secrets *s, struct lun_found *f)
{
    const char *text = variable(s, f->name), *credentials = variable(s, "CREDENTIALS_DIRECTORY");
    if (!usable_name(f->name)) {
        f->problem = "a secret's name must be letters, digits and _ - . (at most 128)";
        return;
    }
    if (text && take(s, f, text, strlen(text), "environment")) return;
    if (take_file(s, f, credentials) || take_file(s, f, s->folder)) return;
    if (f->from) f->problem = lun_arena_printf(&s->arena, "%s is blank (%s): set the environment variable %s", f->name, f->from, f->name);
    else f->problem = lun_arena_printf(&s->arena, "%s is not set: set the environment variable, or put it into the file %s/%s", f->name, credentials && *credentials ? "$CREDENTIALS_DIRECTORY" : s->folder, f->name);
}

const struct lun_found *lun_secrets_find(struct lun_secrets *s, const char *name)
{
    for (struct lun_found *f = s->found; f; f = f->next)
        if (!strcmp(f->name, name)) return f;
    struct lun_found *f = lun_arena_zalloc(&s->arena, sizeof *f);
    f->name = lun_arena_strdup(&s->arena, name);
    f->next = s->found, s->found = f;
    remember(s, name);
    look(s, f);
    return f;
}
