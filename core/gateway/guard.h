#ifndef LUN_GATEWAY_GUARD_H
#define LUN_GATEWAY_GUARD_H
#include "base/http.h"
struct lun_guard_verdict { int status; const char *why; };
static inline struct lun_guard_verdict lun_guard_check(const struct lun_http_request *h, const char *token) { (void)h; (void)token; return (struct lun_guard_verdict){0}; }
#endif
