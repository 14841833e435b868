/* The addresses a policy may ask (lunette.http). Any http:// or https:// URL, but for those by which a machine in a cloud gives its
 * secrets away (base/address.h), in whatever form an address can be written; and, where the configuration says `http.allow`, those of its
 * hosts alone. What a name resolves to is not looked at here: that is for whoever connects. */
#ifndef LUN_SCRIPT_URL_H
#define LUN_SCRIPT_URL_H
#include <stdbool.h>
#include <stddef.h>

/* NULL: it may be asked. Otherwise why not: static, for people. */
const char *lun_url_problem(const char *url, size_t n);
/* Whether the host of a URL without a problem is one of these: "flags.example", "10.0.0.5:8080", "*.example.org". */
bool lun_url_allowed(const char *url, const char *const *allow, int n);
#endif
