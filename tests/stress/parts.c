/* parts TARGETS [ROUNDS]: what each part of a reload costs, for a configuration of so many targets: median and largest of ROUNDS (30), in ms. In
 * a folder of its own below /tmp; nothing is asked of any provider. */
#include "base/alloc.h"
#include "gateway/changes.h"
#include "gateway/config_source.h"
#include "gateway/desk.h"
#include "gateway/rehearsal.h"
#include "gateway/web.h"
#include "state/registry.h"
#include "wire/upstream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTS(X) X(load, "load: files read, compiled, checked") X(rehearsal, "rehearsal: every hook tried") X(bind, "bind: states found by name") \
    X(kit, "kit: machines of one worker") X(desk, "desk: made ready on the worker's thread") X(end, "desk freed, on the worker's thread") X(kit_free, "kit freed") \
    X(keep, "keep: the version's text and state.json, on disk")
enum {
#define X(name, text) PART_##name,
    PARTS(X)
#undef X
    N_PARTS };
static const char *const texts[] = {
#define X(name, text) text,
    PARTS(X)
#undef X
};

enum { ROUNDS_MOST = 1000 };
static double times[N_PARTS][ROUNDS_MOST];
static char folder[] = "/tmp/lunette-parts-XXXXXX";

static double now(void) { return (double)lun_clock_now() / 1000; }

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static char *put(const char *name, const char *text)
{
    char *path = lun_printf("%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) { perror(path); exit(1); }
    return path;
}

static char *put_config(int targets)
{
    struct lun_buf out = {0};
    lun_buf_puts(&out, "return { policy = 'policy.lua', providers = {\n");
    for (int i = 0; i < (targets + 9) / 10; i++) lun_buf_printf(&out, "  p%d = { base_url = 'http://127.0.0.1:9/v1' },\n", i);
    lun_buf_puts(&out, "}, models = {\n");
    for (int i = 0; i < targets; i++) lun_buf_printf(&out, "  m%d = { { provider = 'p%d', price = { input = 1, output = 2 }, requests_per_minute = 600 } },\n", i, i / 10);
    lun_buf_puts(&out, "} }\n");
    char *path = put("gateway.lua", lun_buf_text(&out));
    lun_buf_free(&out);
    return path;
}

static void put_policy(int round)
{
    char *text = lun_printf("local lunette = require 'lunette'\nreturn {\n  classify = function(request) return request.has_code and 'code' or 'text%d' end,\n"
        "  select = function(request, targets) return targets:can(request):healthy() end,\n  judge = function(request, attempt) return nil end,\n"
        "  finish = function(request, outcome) lunette.note('version', %d) end }\n", round, round);
    free(put("policy.lua", text));
    free(text);
}

static void fail(void *self, const char *what) { (void)self, fprintf(stderr, "%s\n", what); }

struct bench { struct lun_config_source source; struct lun_registry *registry; struct lun_reactor *reactor; struct lun_upstream *upstream; struct lun_web *web; struct lun_keep *keep; struct lun_desk *before; };

static void measure_desk(struct bench *b, struct lun_kit *kit, int round, struct lun_tuning *tuning)
{
    struct lun_waiting waiting = {0};
    struct lun_station like = { .loop = &b->reactor->loop, .registry = b->registry, .tuning = tuning, .web = b->web, .waiting = &waiting };
    char *error = NULL;
    lun_reactor_enter(b->reactor);
    double start = now();
    struct lun_desk *desk = lun_desk_new(b->upstream, &like, kit, &error);
    times[PART_desk][round] = now() - start;
    start = now();
    kit = b->before ? lun_desk_free(b->before) : NULL;         /* while the next one is there, as a worker does it */
    times[PART_end][round] = now() - start;
    b->before = desk;
    lun_reactor_leave(b->reactor);
    start = now();
    lun_kit_free(kit);
    times[PART_kit_free][round] = now() - start;
}

static void measure(struct bench *b, int round)
{
    struct lun_mistakes mistakes = {0};
    struct lun_paths paths = {0};
    char *error = NULL;
    put_policy(round);
    double start = now();
    struct lun_snapshot *s = lun_config_source_load(&b->source, &mistakes, NULL, &paths);
    times[PART_load][round] = now() - start;
    if (!s) { lun_mistakes_add(&mistakes, "parts", 0, "its own configuration does not load"); exit(1); }
    start = now();
    if (!lun_rehearse(s, NULL, fail, NULL)) exit(1);
    times[PART_rehearsal][round] = now() - start;
    start = now();
    lun_registry_bind(b->registry, s);
    times[PART_bind][round] = now() - start;
    start = now();
    struct lun_kit *kit = lun_kit_new(s, b->registry, LUN_BY_SIGNAL, NULL, &error);
    times[PART_kit][round] = now() - start;
    struct lun_tuning *tuning = lun_tuning_new(NULL, 0);
    measure_desk(b, kit, round, tuning);
    lun_tuning_unref(tuning);
    start = now();
    if (!lun_keep_version(b->keep, s, &error) || !lun_keep_write(b->keep, "{}", 2, &error)) { fprintf(stderr, "%s\n", error); exit(1); }
    times[PART_keep][round] = now() - start;
    lun_snapshot_unref(s);
    lun_paths_free(&paths);
}

int main(int argc, char **argv)
{
    int targets = argc > 1 ? atoi(argv[1]) : 0, rounds = argc > 2 ? atoi(argv[2]) : 30;
    if (targets < 1 || rounds < 1 || rounds > ROUNDS_MOST) { fputs("usage: parts TARGETS [ROUNDS]\n", stderr); return 2; }
    if (!mkdtemp(folder)) { perror(folder); return 1; }
    char *path = put_config(targets), *state = lun_printf("%s/state", folder), *error = NULL, *command = lun_printf("rm -rf '%s'", folder);
    struct bench b = { .source = { .path = path, .options = { .environment = (const char *const[]){ NULL }, .cpu = LUN_CPU_CLOCK } }, .registry = lun_registry_new(),
                       .reactor = lun_reactor_new(NULL), .keep = lun_keep_open(state, NULL, &error) };
    b.upstream = lun_upstream_new(b.reactor, NULL);
    b.web = lun_web_new(b.reactor, b.upstream);
    for (int i = 0; i < rounds; i++) measure(&b, i);
    for (int p = 0; p < N_PARTS; p++) {
        qsort(times[p], (size_t)rounds, sizeof **times, by_size);
        printf("%5d targets  %-52s median %8.3f  most %8.3f ms\n", targets, texts[p], times[p][rounds / 2], times[p][rounds - 1]);
    }
    lun_reactor_enter(b.reactor);
    lun_kit_free(lun_desk_free(b.before));
    lun_web_free(b.web);
    lun_upstream_free(b.upstream);
    lun_reactor_leave(b.reactor);
    lun_keep_close(b.keep);
    lun_reactor_free(b.reactor);
    lun_registry_free(b.registry);
    free(path), free(state);
    int status = system(command);
    free(command);
    return status != 0;
}
