/* A list of JSON objects as a table for people: a head, then a row each, columns as wide as their widest cell. */
#ifndef LUN_CLI_TABLE_H
#define LUN_CLI_TABLE_H
#include "base/buf.h"
#include "base/json.h"
#include <stdbool.h>

struct lun_column {
    const char *head;
    const char *member;                                 /* what of the object stands there; or NULL, and */
    void (*put)(struct lun_buf *, struct lun_json row); /* what writes the cell */
    bool right;                                         /* a number: stands at the right end of its column */
};
void lun_table_put(struct lun_buf *out, struct lun_json list, const struct lun_column *, int columns);
/* The same with one more row below the list, say of sums; {0}: none. */
void lun_table_put_summed(struct lun_buf *out, struct lun_json list, struct lun_json last, const struct lun_column *, int columns);
#endif
