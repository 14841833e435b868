/* The letters HTTP is written in: what base/http, its targets and its fields are read with. For the files base/http*.c; others
 * have base/http.h. Sources: RFC 9110 5.6 (tokens, lists, blanks), RFC 3986 appendix A. */
#ifndef LUN_BASE_HTTP_TEXT_H
#define LUN_BASE_HTTP_TEXT_H
#include "base/http.h"

enum { LUN_TOKEN = 1, LUN_TARGET = 2 /* in a path or query */, LUN_HOST = 4 /* in a host's name */, LUN_HEX = 8 };
extern const unsigned char lun_http_classes[256];

static inline bool lun_http_in(char c, int classes) { return lun_http_classes[(unsigned char)c] & classes; }

/* A `%` at `p` with two hex digits before `end`. */
static inline bool lun_http_is_escape(const char *p, const char *end)
{
    return end - p >= 3 && lun_http_in(p[1], LUN_HEX) && lun_http_in(p[2], LUN_HEX);
}

/* How many bytes come before the first control character that is no TAB; n: there is none. */
size_t lun_http_before_control(const char *p, size_t n);

/* Without blanks and tabs at both ends. */
struct lun_slice lun_http_trimmed(const char *p, const char *end);

/* Takes the next element off a list divided by commas; empty ones are passed over. False: there is none left. */
bool lun_http_element(struct lun_slice *list, struct lun_slice *out);

/* ---- targets (http_target.c) ---- */

/* Fills path, query, and host where the target names one, from target and method. Returns what is wrong with it, or NULL. */
const char *lun_http_target(struct lun_http_request *);
bool lun_http_is_host(struct lun_slice);                        /* host, or host:port */
bool lun_http_same_host(const struct lun_http_request *, struct lun_slice field);   /* as the one in the target */
#endif
