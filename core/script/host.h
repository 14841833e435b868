/* Functions of a host program that policies call as `lunette.host.NAME`. A snapshot carries the list, so that every machine made for it sees
 * them; what a function may give and take is said in lunette.h. */
#ifndef LUN_SCRIPT_HOST_H
#define LUN_SCRIPT_HOST_H
#include "lunette.h"

struct lun_host_function {
    const char *name;
    lunette_function call; void *user;
};

#define LUN_HOST_NAME 64
/* Whether a function may be called so: letters, digits and _, no digit first, at most LUN_HOST_NAME bytes. */
bool lun_host_name_valid(const char *name);
#endif
