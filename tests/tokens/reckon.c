/* What the gateway reckons of a request: a line is ENDPOINT, a tab, the upstream model's name, a tab, the body; its answer `BOUND ESTIMATE` in tokens,
 * or `unknown: WHY`. `reckon --time FILE [N]` says how long the survey of a body takes instead. */
#include "base/clock.h"
#include "state/question.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lun_snapshot *snapshot;

static bool given(struct lun_question *q, struct lun_arena *arena, enum lun_endpoint endpoint, const char *body, size_t n)
{
    *q = (struct lun_question){ .arena = arena, .snapshot = snapshot, .endpoint = endpoint, .body = body, .body_n = n, .rest = "", .n = 1, .max_tokens = 0 };
    return lun_json_scan(body, n, &lun_question_keys, q->fields, &q->scan);
}

static enum lun_endpoint endpoint_of(const char *name)
{
    for (int e = 0; e < LUN_ENDPOINT_COUNT; e++) if (!strcmp(name, lun_endpoint_name((enum lun_endpoint)e))) return (enum lun_endpoint)e;
    fprintf(stderr, "no endpoint is called %s\n", name);
    exit(2);
}

/* A token costs a nano-dollar, output none is asked for. */
static void reckon(const char *endpoint, const char *upstream, const char *body, size_t n)
{
    struct lun_arena arena = {0};
    struct lun_question q;
    struct lun_target target = { .upstream = upstream, .price = lun_price_unknown };
    target.price.input = target.price.output = 1000000;
    if (!given(&q, &arena, endpoint_of(endpoint), body, n)) printf("unknown: no JSON, at byte %zu: %s\n", q.scan.error.at, q.scan.error.what);
    else {
        int64_t bound = lun_question_bound(&q, &target, NULL, NULL);
        if (bound < 0) printf("unknown: %s\n", lun_question_unknown(&q, NULL));
        else printf("%lld %lld\n", (long long)bound, (long long)lun_question_tokens(&q));
    }
    lun_arena_free(&arena);
}

static int measure(const char *path, int times)
{
    struct lun_arena arena = {0};
    struct lun_question q;
    FILE *f = fopen(path, "r");
    char *body = NULL;
    size_t room = 0;
    ssize_t n = f ? getdelim(&body, &room, 0, f) : -1;
    if (n < 0 || !given(&q, &arena, LUN_ENDPOINT_CHAT, body, (size_t)n)) return 1;
    lun_us start = lun_clock_now();
    for (int i = 0; i < times; i++) lun_json_scan(body, (size_t)n, &lun_question_keys, q.fields, &q.scan);
    lun_us scanned = lun_clock_now();
    for (int i = 0; i < times; i++) { q.survey.done = false; lun_question_survey(&q); }
    lun_us end = lun_clock_now();
    printf("%zd bytes: scan %.3f us (%.2f ns a byte), survey %.3f us (%.2f ns a byte)\n", n, (double)(scanned - start) / times,
           (double)(scanned - start) * 1000 / times / (double)n, (double)(end - scanned) / times, (double)(end - scanned) * 1000 / times / (double)n);
    lun_arena_free(&arena);
    fclose(f);
    free(body);
    return 0;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t room = 0;
    snapshot = lun_snapshot_new();
    if (argc > 2 && !strcmp(argv[1], "--time")) return measure(argv[2], argc > 3 ? atoi(argv[3]) : 1000);
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0; ) {
        char *upstream = strchr(line, '\t'), *body = upstream ? strchr(upstream + 1, '\t') : NULL;
        if (!body) return 2;
        *upstream++ = *body++ = 0;
        reckon(line, upstream, body, (size_t)(line + n - body) - (line[n - 1] == '\n'));
    }
    free(line);
    lun_snapshot_unref(snapshot);
    return 0;
}
