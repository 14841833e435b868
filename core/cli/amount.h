/* Amounts as people write them on a command line. */
#ifndef LUN_CLI_AMOUNT_H
#define LUN_CLI_AMOUNT_H
#include <stdbool.h>

/* "30d", "12h", "10m", "5s", "0.5", "90": seconds; -1: it is none. */
double lun_amount_seconds(const char *);
/* "1%", "+5%", "-2.5%", "0.01": a share. False: it is none. */
bool lun_amount_share(const char *, double *);
#endif
