/* Figures as people read them, in cells and sentences. NAN: "-". */
#ifndef LUN_CLI_FIGURE_H
#define LUN_CLI_FIGURE_H
#include "base/buf.h"
#include "base/json.h"

double lun_figure_number(struct lun_json object, const char *member);  /* NAN: not there, or null */
void lun_figure_none(struct lun_buf *);                     /* - */
void lun_figure_count(struct lun_buf *, double n);          /* 8123456, 12.3M */
void lun_figure_short(struct lun_buf *, double n);          /* 3 digits that count: 812, 1.20k, 45.6k, 1.23M */
void lun_figure_percent(struct lun_buf *, double percent);  /* 99.93 % */
void lun_figure_ms(struct lun_buf *, double ms);            /* 8.1 ms, 312 ms, 1.20 s */
void lun_figure_usd(struct lun_buf *, double usd);          /* $12.34; cents where there are any; of less, three digits that count */
void lun_figure_name(struct lun_buf *, struct lun_json name);      /* longer than 28 points loses its middle, so that a row fits on a screen */
#endif
