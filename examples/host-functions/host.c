/* A program that lends its own classifier to the policy of a gateway inside it. `host QUESTION…` says what became of each.
 *     cc host.c -o host $(pkg-config --cflags --libs lunette libevent) */
#define _GNU_SOURCE
#include <event2/event.h>
#include <lunette.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *word, *label; } known[] = {
    { "hello", "smalltalk" }, { "thanks", "smalltalk" }, { "invoice", "billing" }, { "refund", "billing" }, { "crash", "technical" }, { "error", "technical" },
};

/* What would be a trained model elsewhere: a label and how sure it is. It must not wait: everything stands still meanwhile. */
static int classify(void *self, const struct lunette_value *in, int n, struct lunette_value *out)
{
    const char *label = "other";
    int hits = 0;
    (void)self;
    if (n < 1 || in[0].type != LUNETTE_STRING) {
        out[0] = (struct lunette_value){ .type = LUNETTE_STRING, .string = "classify(text)", .length = 14 };
        return -1;                      /* raised in the policy, at the line that called */
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasestr(in[0].string, known[i].word)) label = known[i].label, hits++;
    out[0] = (struct lunette_value){ .type = LUNETTE_STRING, .string = label, .length = strlen(label) };
    out[1] = (struct lunette_value){ .type = LUNETTE_NUMBER, .number = hits == 1 ? 0.9 : hits ? 0.5 : 0.1 };
    return 2;
}

static void on_decided(void *user, const struct lunette_decision *d)
{
    printf("%s: %s -> %s\n", (char *)user, d->n_labels ? d->labels[0] : "-", d->n_steps ? d->steps[0]->model : d->message);
}

/* The text as it stands in JSON. Short questions, and good enough for here. */
static void write_body(char *out, size_t room, const char *text)
{
    size_t n = (size_t)snprintf(out, room, "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"");
    for (; *text && n + 8 < room; text++) {
        if (*text == '"' || *text == '\\') out[n++] = '\\';
        out[n++] = (unsigned char)*text < ' ' ? ' ' : *text;
    }
    snprintf(out + n, room - n, "\"}]}");
}

int main(int argc, char **argv)
{
    char *error, body[4096];
    struct event_base *base = event_base_new();
    struct lunette *l = lun_open("gateway.lua", NULL, &error);
    if (!l || !lun_function(l, "classify", classify, NULL) || !lun_attach(l, base, &error)) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        write_body(body, sizeof body, argv[i]);
        lun_decide(l, &(struct lunette_query){ .size = sizeof(struct lunette_query), .body = body, .length = strlen(body) }, on_decided, argv[i]);
    }
    lun_stop(l, 10);                    /* what was asked before is answered */
    event_base_dispatch(base);
    lun_free(l);
    event_base_free(base);
    return 0;
}
