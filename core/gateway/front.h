/* The public side: paths, methods and keys of the HTTP interface, and the client port of a walk over an HTTP exchange. One per worker. */
#ifndef LUN_GATEWAY_FRONT_H
#define LUN_GATEWAY_FRONT_H
#include "gateway/station.h"
#include "state/shed.h"
#include "wire/server.h"

struct lun_front {
    struct lun_station *(*station)(void *self); void *self;     /* the one that new requests begin with; asked anew for each */
    struct lun_reactor *reactor;
    struct lun_server_shared *shared;   /* counts the bodies of requests that are under way */
    bool ready;                         /* every worker listens */
    struct lun_shed shed;               /* what follows is the front's own */
    struct lun_timer pulse; lun_us pulse_due; bool asked;       /* asked: since the last pulse */
};
/* What a server is given; its self is the front. */
struct lun_server_handler lun_front_handler(struct lun_front *);
#endif
