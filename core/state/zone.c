#include "state/zone.h"
#include "base/alloc.h"
#include "base/file.h"
#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY     86400
#define LAST    (INT64_C(47482) * DAY)      /* 2100-01-01 */
#define FARTHEST (26 * 3600)                /* no clock is that far from UTC */
#define NAME_MOST 64

struct change { int64_t at; int32_t offset; };      /* from then on */
struct lun_zone { struct lun_zone *next; char *name; int n; struct change changes[]; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lun_zone *known;                      /* under the lock; what it points to is never changed */

/* ---- reading ---- */

static const char *folder(void)
{
    const char *said = getenv("TZDIR");
    return said && *said == '/' ? said : "/usr/share/zoneinfo";
}

/* GLib takes rules and offsets ("JST-9", "+01:00") too: only a file of the database is a zone here. "right/" counts leap seconds. */
static bool in_database(const char *name)
{
    char path[512], magic[4] = "";
    size_t n = strlen(name);
    if (!n || n > NAME_MOST || !g_ascii_isalpha(*name) || strstr(name, "//") || !strncmp(name, "right/", 6) || !strncmp(name, "posix", 5)) return false;
    if (!strcmp(name, "localtime") || name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/")]) return false;
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    FILE *f = fopen(path, "re");
    bool is = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "TZif", 4);
    if (f) fclose(f);
    return is;
}

static int32_t asked(GTimeZone *z, int64_t at) { return g_time_zone_get_offset(z, g_time_zone_find_interval(z, G_TIME_TYPE_UNIVERSAL, at)); }

/* The first second with another offset than at `from`, which `to` has. */
static int64_t change_between(GTimeZone *z, int64_t from, int64_t to)
{
    int32_t before = asked(z, from);
    while (to - from > 1) {
        int64_t middle = from + (to - from) / 2;
        if (asked(z, middle) == before) from = middle;
        else to = middle;
    }
    return to;
}

static void add(struct lun_zone **zone, int64_t at, int32_t offset)
{
    int n = (*zone)->n;
    if (!(n & (n - 1))) *zone = lun_realloc(*zone, sizeof **zone + (size_t)(n ? 2 * n : 1) * sizeof *(*zone)->changes);
    (*zone)->changes[(*zone)->n++] = (struct change){ at, offset };
}

static struct lun_zone *read_zone(const char *name, GTimeZone *z)
{
    struct lun_zone *zone = lun_zalloc(sizeof *zone);
    zone->name = lun_strdup(name);
    add(&zone, INT64_MIN, asked(z, 0));
    for (int64_t day = 0; day < LAST; day += DAY)
        if (asked(z, day + DAY) != asked(z, day)) {
            int64_t at = change_between(z, day, day + DAY);
            add(&zone, at, asked(z, at));
        }
    return zone;
}

static bool is_utc(const char *name)
{
    static const char *const names[] = { "UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) if (!strcmp(names[i], name)) return true;
    return false;
}

static const struct lun_zone *find(const char *name)
{
    struct lun_zone *zone = known;
    while (zone && strcmp(zone->name, name)) zone = zone->next;
    GTimeZone *z = zone || !in_database(name) ? NULL : g_time_zone_new_identifier(name);
    if (!z) return zone;
    zone = read_zone(name, z);
    g_time_zone_unref(z);
    zone->next = known;
    return known = zone;
}

bool lun_zone_find(const char *name, const struct lun_zone **out, const char **why)
{
    *out = NULL;
    if (is_utc(name)) return true;
    pthread_mutex_lock(&lock);
    *out = find(name);
    pthread_mutex_unlock(&lock);
    *why = in_database("Europe/London") ? "the system's database of time zones has none of that name" : "this system has no database of time zones (install tzdata); UTC needs none";
    return *out != NULL;
}

/* Lines of tzdata.zi: "Z Europe/Berlin …" begins a zone, "L Europe/Berlin Arctic/Longyearbyen" gives it another name. */
size_t lun_zone_names(struct lun_arena *arena, const char ***names)
{
    char path[512], *rest;
    size_t size, n = 0;
    const char *why;
    snprintf(path, sizeof path, "%s/tzdata.zi", folder());
    char *text = rest = lun_file_slurp(path, &size, &why);
    *names = lun_arena_alloc(arena, 1024 * sizeof **names);
    for (char *line; text && n < 1024 && (line = strsep(&rest, "\n")); ) {
        char *kind = strsep(&line, " "), *first = strsep(&line, " "), *second = strsep(&line, " ");
        const char *name = first && !strcmp(kind, "Z") ? first : second && !strcmp(kind, "L") ? second : NULL;
        if (name) (*names)[n++] = lun_arena_strdup(arena, name);
    }
    free(text);
    return n;
}

/* ---- asking ---- */

const char *lun_zone_name(const struct lun_zone *z) { return z ? z->name : "UTC"; }

/* The last change at or before that moment; the first holds ever before. */
static int change_at(const struct lun_zone *z, int64_t at)
{
    int low = 0, high = z->n;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (z->changes[middle].at <= at) low = middle;
        else high = middle;
    }
    return low;
}

int64_t lun_zone_offset(const struct lun_zone *z, int64_t at) { return z ? z->changes[change_at(z, at)].offset : 0; }

void lun_zone_steady(const struct lun_zone *z, int64_t at, int64_t *from, int64_t *to)
{
    int i = z ? change_at(z, at) : 0;
    *from = z ? z->changes[i].at : INT64_MIN;
    *to = z && i + 1 < z->n ? z->changes[i + 1].at : INT64_MAX;
}

int64_t lun_zone_moment(const struct lun_zone *z, int64_t local)
{
    if (!z) return local;
    int i = change_at(z, local - FARTHEST);
    while (i + 1 < z->n && z->changes[i + 1].at + z->changes[i].offset <= local) i++;
    int64_t at = local - z->changes[i].offset;
    return at < z->changes[i].at ? z->changes[i].at : at;
}
