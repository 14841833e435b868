/* URLs of providers and proxies, as settings say them. */
#ifndef LUN_SCRIPT_ENDPOINT_H
#define LUN_SCRIPT_ENDPOINT_H
#include <stdbool.h>

/* What is wrong with one (a phrase that follows the setting's name; static), or NULL. `schemes`: "http|https". A provider's
 * (`path`) may have a path, without a slash at its end. None may hold a user name, password, query or fragment: RFC 3986. */
const char *lun_endpoint_problem(const char *url, const char *schemes, bool path);
#endif
