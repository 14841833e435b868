/* A small model of questions: by how much a strong model's answer would be better than a cheap one's, from the words of the question. A linear
 * model on hashed features: the weight of each lies in one of 32,768 places, so a router is a text of 33 KB, and what it says of a question is a sum.
 *
 * Features, each counted once however often it occurs: words, pairs and triples of neighbours, pieces of five bytes within words, marks, and how many words
 * there are. Case counts for nothing in ASCII; numbers are told apart by their length alone; what is not ASCII is a letter. Of a long text the first and
 * the last 2 KiB are looked at, so what a question takes is bounded.
 *
 * `lunette train` (router_train.h) makes one and writes it as a Lua file, `lunette.predict` reads it: both come here for the same sums, so that a question
 * is given the same figure, to the last bit. */
#ifndef LUN_STATE_ROUTER_H
#define LUN_STATE_ROUTER_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    LUN_ROUTER_FORMAT = 2,              /* another one where the same text would have other features, or a weight another place */
    LUN_ROUTER_PLACES = 1 << 15,
    LUN_ROUTER_LINE = 128,              /* weights in a line of the text, which a line feed ends */
    LUN_ROUTER_SIZE = LUN_ROUTER_PLACES / LUN_ROUTER_LINE * (LUN_ROUTER_LINE + 1),      /* bytes of the text */
    LUN_ROUTER_ZERO = 64,               /* the byte of a weight of nothing; from 37 to 91 in what is written, and any byte may be read */
    LUN_ROUTER_LARGEST = 27,
    LUN_ROUTER_LOOKED_AT = 4096,        /* bytes of a text, at most */
    LUN_ROUTER_WEIGHT = 3,              /* places of an amount: how much it is worth beside a word */
    LUN_ROUTER_FEATURES = 3 * LUN_ROUTER_LOOKED_AT + 512,       /* of a text, at most */
};

/* What it says is base + scale × Σ weights / √(how many features). */
struct lun_router {
    const char *weights;                /* LUN_ROUTER_SIZE bytes, borrowed */
    double scale, base;
};

/* The gain that it predicts: the strong model's score less the weak one's, each from 0 to 1. */
double lun_router_gain(const struct lun_router *, const char *text, size_t n);

/* The places of a text's features, each once; how many. `out` takes LUN_ROUTER_FEATURES. */
size_t lun_router_features(const char *text, size_t n, uint16_t *out);
/* The same gain, of these. */
double lun_router_gain_of(const struct lun_router *, const uint16_t *features, size_t n);

/* A router's text out of weights (LUN_ROUTER_PLACES), written into `text` (LUN_ROUTER_SIZE bytes), and the scale that fits it. */
double lun_router_pack(const double *weights, char *text);
#endif
