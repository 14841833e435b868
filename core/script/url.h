/* The addresses a policy may ask (lunette.http). Any http:// or https:// URL, but for those by which a machine in a cloud gives its
 * secrets away: link-local addresses and the providers' metadata services, in whatever form an address can be written. What a name
 * resolves to is not looked at here: that is for whoever connects. */
#ifndef LUN_SCRIPT_URL_H
#define LUN_SCRIPT_URL_H
#include <stdbool.h>
#include <stddef.h>

/* NULL: it may be asked. Otherwise why not: static, for people. */
const char *lun_url_problem(const char *url, size_t n);
#endif
