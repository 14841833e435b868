/* What books.c (a thread, its clocks, its beginning and end), books_write.c (what a turn writes) and books_journal.c (a hold's two lines) share. For these
 * alone. */
#ifndef LUN_GATEWAY_BOOKS_INNER_H
#define LUN_GATEWAY_BOOKS_INNER_H
#include "gateway/books.h"
#include "gateway/sharing.h"
#include "state/draw.h"
#include "state/ledger.h"
#include "wire/reactor.h"

struct lun_books {
    struct lun_books_options options;
    char *folder;
    struct lun_reactor *reactor;
    struct lun_ledger *ledger;
    struct lun_journal *journal;
    struct lun_sharing *sharing;            /* NULL: its limits are its own */
    struct lun_draw_work work;
    struct lun_post now, soon, stop;
    struct lun_timer commit, look, close, poll;
    lun_us stop_by;                         /* 0: it goes on */
    int others;                             /* processes that are alive on the same ledger */
    bool failed;                            /* for good: what is on the disk is not known any more */
    pthread_t thread; bool started;
    pthread_mutex_t lock; char why[256]; struct lun_buf shown;     /* what is shown; why "": open; shown: of those who share */
};

/* What is collected, in one transaction. On the bookkeeper's thread. */
enum lun_ledger_result lun_books_write(struct lun_books *, lun_us wall);

/* A hold's two lines in the journal, on the threads of those who hold: for struct lun_draw_books; `self` is the books. */
void lun_books_dispatched(void *self, uint32_t slot, const struct lun_draw_line *);
void lun_books_settled(void *self, uint32_t slot, uint64_t seq, const struct lun_settlement *);
#endif
