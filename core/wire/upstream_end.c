#include "wire/upstream_parts.h"
#include <stdio.h>
#include <string.h>

void end_say(struct lun_upstream_call *c, enum lun_kind kind, const char *what, const char *why)
{
    c->kind = kind;
    snprintf(c->detail, sizeof c->detail, "%s: %s%s%s", c->site->host, what, why ? ": " : "", why ? why : "");
}

void end_good(struct lun_upstream_call *c)
{
    c->kind = LUN_KIND_OK;
    memcpy(c->detail, c->site->answered, c->site->answered_n + 1);
}

void end_bad(struct lun_upstream_call *c, const char *what) { end_say(c, LUN_KIND_BAD_ANSWER, what, NULL); }
