/* Making a router: questions and what either model's answer was worth, the features of all of them kept, not their texts. Nothing of it hangs on chance or
 * time: the same lessons in the same order give the same router. */
#ifndef LUN_STATE_ROUTER_TRAIN_H
#define LUN_STATE_ROUTER_TRAIN_H
#include "state/recovery.h"
#include "state/router.h"
#include <stdbool.h>

/* Together they bound what is kept to some 600 MB. */
enum { LUN_LESSONS_MOST = 1000000, LUN_LESSONS_LEAST = 20 };
#define LUN_LESSONS_FEATURES ((size_t)1 << 28)

struct lun_lesson {
    float weak, strong;
    uint32_t group, bytes;              /* of its text: equal ones have the same group, and stay together; its length */
};

struct lun_lessons {                    /* zero-initialised: none */
    struct lun_lesson *lesson;
    size_t *from;                       /* by lesson: where its features begin; one more than there are lessons */
    uint16_t *feature;
    size_t n, room, feature_room;
};

/* One more. False: there is no room for it. */
bool lun_lessons_add(struct lun_lessons *, const char *text, size_t n, double weak, double strong);
void lun_lessons_free(struct lun_lessons *);

/* The part that is kept to be asked about what was not learned: a fifth of all texts. */
bool lun_lesson_held_out(const struct lun_lesson *);

struct lun_training {
    struct lun_router router;           /* its text is the training's */
    double penalty;                     /* that was found best on five parts, each predicted by the other four */
    size_t n;                           /* lessons learned from */
    char text[LUN_ROUTER_SIZE];
};

/* Learns from all lessons, or from those that are not held out. NULL: *why says why nothing can be learned. Else yours to free(). */
struct lun_training *lun_router_train(const struct lun_lessons *, bool hold_out, const char **why);

/* What a router says of the lessons, or of those held out, beside what is so; in order. NULL for the router: the length of the texts, for comparison.
 * `out` takes lessons->n; how many. */
size_t lun_router_try(const struct lun_router *, const struct lun_lessons *, bool held_out, struct lun_routed *out);
#endif
