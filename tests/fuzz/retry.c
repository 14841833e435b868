/* How long a provider asks to be left alone: between nothing and a day whatever its headers say, and the same in whatever case they are named. */
#include "fuzz.h"
#include "state/health.h"
#include <ctype.h>

enum { MOST = 8 };
#define NOW ((lun_us)1795867200 * LUN_SECOND)       /* 2026-11-28T12:00:00Z */
#define DAY (86400 * LUN_SECOND)

/* Lines "name: value", in place. */
static int read_lines(char *text, struct lun_pair headers[MOST])
{
    int n = 0;
    for (char *line = text, *end; *line && n < MOST; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        char *colon = strchr(line, ':');
        if (!colon) continue;
        *colon = 0;
        headers[n++] = (struct lun_pair){ line, colon + 1 + strspn(colon + 1, " ") };
    }
    return n;
}

static void shout(struct lun_pair *headers, int n)
{
    for (int i = 0; i < n; i++) for (char *c = (char *)(uintptr_t)headers[i].name; *c; c++) *c = (char)toupper((unsigned char)*c);
}

/* Retry-After as the standard has it counts before all but the milliseconds. */
static void promise_seconds(const struct lun_pair *headers, int n, lun_us wait)
{
    const char *first = NULL;
    for (int i = 0; i < n; i++) {
        if (!strcasecmp(headers[i].name, "retry-after-ms")) return;
        if (!strcasecmp(headers[i].name, "retry-after") && !first) first = headers[i].value;
    }
    if (!first || !*first || strspn(first, "0123456789") != strlen(first)) return;
    double seconds = strtod(first, NULL);
    PROMISE(seconds < 86400 ? wait == (lun_us)seconds * LUN_SECOND : wait == DAY);
}

void fuzz_retry(struct input in)
{
    struct lun_pair headers[MOST] = {0};
    char *text = malloc(in.n + 1);
    memcpy(text, in.at, in.n), text[in.n] = 0;
    int n = read_lines(text, headers);
    lun_us wait = lun_retry_after(headers, n, NOW);
    PROMISE(wait >= 0 && wait <= DAY);
    promise_seconds(headers, n, wait);
    shout(headers, n);
    PROMISE(lun_retry_after(headers, n, NOW) == wait);
    free(text);
}
