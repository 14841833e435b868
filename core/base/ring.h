/* The last texts that were put, in so much memory and no more: each comes in place of the oldest. A text may have an appendix.
 * Any thread may call any of these; nothing may be called during and after lun_ring_free. */
#ifndef LUN_BASE_RING_H
#define LUN_BASE_RING_H
#include "base/buf.h"
#include <stdbool.h>

struct lun_ring;

/* `room`: bytes of all texts together; `most`: how many of them at most. Memory that is not written to yet costs nothing. */
struct lun_ring *lun_ring_new(size_t room, size_t most);
/* Copied, under a mutex for the length of that copy. One that is longer than the room loses its appendix, or is not taken. Answers its number, from 1,
 * which rises with each; 0: it was not taken. */
uint64_t lun_ring_put(struct lun_ring *, const char *text, size_t n, const char *appendix, size_t m);
uint64_t lun_ring_newest(struct lun_ring *);        /* the number of the last that was put; 0: none was */
/* Puts the text of that number behind what is in `text`, and its appendix behind what is in `appendix` (NULL: not wanted). False: there is none, or it
 * is gone, and so are those before it. */
bool lun_ring_get(struct lun_ring *, uint64_t number, struct lun_buf *text, struct lun_buf *appendix);
/* All up to that number are gone from now on, and their bytes wiped. */
void lun_ring_forget(struct lun_ring *, uint64_t number);
void lun_ring_free(struct lun_ring *);              /* NULL is fine */
#endif
