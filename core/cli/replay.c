#include "cli/cli.h"
#include "cli/print.h"
#include "gateway/log_reader.h"
#include "script/load.h"
#include <getopt.h>
#include <string.h>

const char lun_usage_replay[] =
    "usage: lunette replay [gateway.lua] LOG [--json]\n"
    "\n"
    "Reads a request log (LOG, or - for standard input) as a stream, however long it is, and says what of it is no line of one. Nothing is asked of any\n"
    "provider. Without a configuration: ./gateway.lua.\n"
    "  --json    one JSON object, the same from run to run\n";

struct wanted { const char *config, *log; bool json; };

/* NULL: told. */
static struct lun_snapshot *load(const char *path)
{
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = lun_load(path, &(struct lun_load_options){ .cpu = LUN_CPU_STEPS, .no_secrets = true }, &mistakes);
    if (!s) lun_print_mistakes(&mistakes, stderr);
    lun_mistakes_free(&mistakes);
    return s;
}

static void print_counts(const struct lun_log_counts *c, bool json)
{
    struct lun_buf out = {0}, faults = {0};
    lun_log_counts_text(c, &faults);
    if (json) {
        lun_buf_putc(&out, '{');
        lun_log_counts_json(c, &out);
        lun_buf_puts(&out, "}\n");
    } else lun_buf_printf(&out, "%lld requests\n", (long long)c->read);
    lun_print(&faults, stderr);
    lun_print(&out, stdout);
}

static int simulate(struct lun_log_reader *reader, const struct wanted *w)
{
    struct lun_log_line line;
    while (lun_log_reader_next(reader, &line)) { }
    int error = lun_log_reader_error(reader);
    if (error) fprintf(stderr, "%s: %s\n", w->log, strerror(error));
    print_counts(lun_log_reader_counts(reader), w->json);
    return error || !lun_log_reader_counts(reader)->read;
}

static int replay(const struct wanted *w)
{
    struct lun_snapshot *snapshot = load(w->config);
    struct lun_log_reader *reader = snapshot ? lun_log_reader_open(w->log) : NULL;
    if (snapshot && !reader) perror(w->log);
    int status = reader ? simulate(reader, w) : 1;
    lun_log_reader_free(reader);
    lun_snapshot_unref(snapshot);
    return status;
}

int lun_command_replay(int argc, char **argv)
{
    static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct wanted w = { .config = "gateway.lua" };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_replay, stdout) < 0;
        if (c == '?') return fputs(lun_usage_replay, stderr), 2;
        w.json |= c == 'j';
    }
    int files = argc - optind;
    if (files < 1 || files > 2) return fputs(lun_usage_replay, stderr), 2;
    if (files == 2) w.config = argv[optind];
    w.log = argv[argc - 1];
    return replay(&w);
}
