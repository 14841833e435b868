/* What member.c (what is to be said, and what follows) and member_message.c (how it is said) share. For these two alone. */
#ifndef LUN_STATE_MEMBER_INNER_H
#define LUN_STATE_MEMBER_INNER_H
#include "base/buf.h"
#include "state/member.h"
#include "state/names.h"

enum lun_member_op { LUN_OP_NONE, LUN_OP_LOOK, LUN_OP_FOUND, LUN_OP_OPEN, LUN_OP_JOIN, LUN_OP_STAY, LUN_OP_VOUCH, LUN_OP_FORGET, LUN_OP_PARTS, LUN_OP_READY,
                     LUN_OP_REGISTER, LUN_OP_DRAW, LUN_OP_LEAVE };

enum { LUN_MEMBER_GROUPS = 64 };        /* in one message */

#define LUN_TOLD_OVER (-2)

struct lun_member_passed { int64_t ended; };    /* ms */

struct lun_member_account {
    struct lun_member_account *next;
    char *key;                          /* escaped: no spaces, no : */
    int64_t has;                        /* on the disk */
    int64_t told;                       /* what Redis was last told, or has granted, for certain; -1: nothing; LUN_TOLD_OVER: that it may forget it */
    int64_t sent;                       /* in the message under way; -1: nothing; LUN_TOLD_OVER */
    bool over;                          /* it ended long ago: Redis is told, then it goes */
    int64_t limit; lun_us starts, ends;
    char per[64];
    bool news;                          /* limit or ends are others than Redis was told */
    size_t window;                      /* of a piece: so much of the key names its budget and says that it is a window; 0: it is none */
    void *user;
};

struct lun_member {
    struct lun_member_options options;
    struct lun_member_ports ports;
    char *members, *gone, *parts; bool vouched; int64_t before;        /* on the disk */
    struct lun_member_account *accounts; struct lun_names by_key;
    struct lun_names passed;            /* by the budget, escaped: how far Redis has dropped its pieces, as it said itself */
    struct lun_member_group *wanted, **last_wanted;
    struct lun_member_group *sent[LUN_MEMBER_GROUPS]; int n_sent;
    bool connected, looked, busy;
    enum lun_member_op op;              /* of the message under way */
    bool again;                         /* the last message with a number has no answer yet: it has to be said again, as it was */
    bool pause;                         /* the disk has failed: nothing more before the next tick */
    struct lun_message { enum lun_member_op op; char **arguments; int n, room; } plain, numbered;      /* the last of each kind */
    uint32_t count;                     /* of messages that have a number, in this run */
    char nonce[33]; bool registered, outdated;
    int64_t over;                       /* ms: the end of the last account that Redis was told to forget; 0: none */
    char *forget;                       /* a name; NULL: nobody is to be forgotten */
    bool leaves, left;                  /* it is to leave; it has said so, or has nobody to leave to */
    bool heard;                         /* of its own leaving, by another: it has to join again */
    int64_t noted;                      /* the round in which the disk got what the gone and the leaving had; 0: not in this epoch */
    struct { bool lost; char nonce[33]; bool open; char *members, *vouched, *missing, *gone, *due, *leaving, *unready, *sure, *living; int64_t before, round, now; }
        head;                           /* of the last answer. living: the members but the leaving */
    enum lun_member_state state; char *who;
};

/* Lists of names: " a b c ", "" where empty. */
bool lun_list_has(const char *list, const char *name);
char *lun_list_join(const char *a, const char *b);     /* yours to free */
char *lun_list_without(const char *list, const char *other);
bool lun_list_within(const char *list, const char *other);     /* each of the first is one of the second */

bool lun_member_is_news(const struct lun_member_account *);    /* Redis was told otherwise */
void lun_member_say(struct lun_member *, enum lun_member_op);  /* makes the message, and sends it */
void lun_member_say_again(struct lun_member *);
/* Takes the head of an answer; false: it is none. Items after it begin at *rest. */
bool lun_member_read(struct lun_member *, const char *const *items, int n, int *rest);
bool lun_member_save(struct lun_member *, struct lun_member_account *const *, const int64_t *has, int n);
#endif
