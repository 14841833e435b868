/* Plain data as JSON text: the `facts` of a target. */
#ifndef LUN_SCRIPT_FACTS_H
#define LUN_SCRIPT_FACTS_H
#include "base/buf.h"
#include "script/value.h"

enum { LUN_FACTS_MOST = 65536 };
/* Appends it, the names of each table in byte order. NULL, or what is wrong (static), and *where is the value that is. */
const char *lun_facts_json(const struct lun_value *, struct lun_buf *out, const struct lun_value **where);
#endif
