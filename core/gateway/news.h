/* What gateways on one Redis tell each other: keys that were made, changed or revoked, versions that were taken back, what rests (gateway/cooling.h), and that the
 * cache was emptied (gateway/shelf.h). What one of them has
 * been told by its operator counts on all of them a fifth of a second later, and on those that were away when they are back. On the gateway's thread. */
#ifndef LUN_GATEWAY_NEWS_H
#define LUN_GATEWAY_NEWS_H
#include "gateway/changes.h"
#include "gateway/fleet.h"
#include "gateway/shelf.h"

struct lun_news;
/* The changes tell it by lun_news_key and lun_news_back (lun_changes_options), the fleet by the other two; whoever makes them ties them. */
struct lun_news *lun_news_new(const struct lun_log *);
void lun_news_tie(struct lun_news *, struct lun_changes *, struct lun_fleet *);         /* borrowed until untied: both NULL */
void lun_news_shelf(struct lun_news *, struct lun_shelf *);     /* who hears of the cache; borrowed until NULL */
void lun_news_free(struct lun_news *);

void lun_news_key(void *self, const struct lun_key *);          /* it is in force here */
void lun_news_back(void *self, const struct lun_taken_back *);  /* that version was taken back here, or (why NULL) is in force again */
void lun_news_heard(void *self, const struct lun_fleet_news *, size_t n);
void lun_news_caught_up(void *self);
#endif
