/* What a journal consists of: only for journal.c and journal_file.c. */
#ifndef LUN_STATE_JOURNAL_FILE_H
#define LUN_STATE_JOURNAL_FILE_H
#include "state/journal.h"
#include <assert.h>
#include <stddef.h>

enum { LUN_JOURNAL_PAGE = 4096 };

struct lun_journal {
    int fd;
    uint32_t run, slots;
    unsigned char *map;         /* the whole file; of a dead one a copy */
    size_t size;
    bool dead, whole;           /* of a dead one: its head is whole and all of it was read */
    char *path, *folder;
};

static inline unsigned char *lun_journal_at(const struct lun_journal *j, uint32_t slot)
{
    assert(slot < j->slots);
    return j->map + LUN_JOURNAL_PAGE + (size_t)slot * 2 * LUN_JOURNAL_LINE;
}
#endif
