/* Listening sockets: an address as people write it, made into descriptors. Blocking only where a name must be looked up. */
#ifndef LUN_WIRE_LISTEN_H
#define LUN_WIRE_LISTEN_H
#include <stdbool.h>
#include <stddef.h>

enum { LUN_ADDRESS_TEXT = 128 };

/* Opens `n` sockets on one address, for `n` servers on threads of their own; the system spreads connections over them
 * (SO_REUSEPORT). Addresses: "127.0.0.1:4000", "[::1]:4000", "localhost:4000" (one that it stands for, IPv4 first), ":4000" (all
 * interfaces, IPv6 and IPv4), "unix:/run/lunette.sock" (a socket left behind by one that died is replaced). Port 0: the
 * system chooses, the same for all. Non-blocking, close-on-exec, yours to close().
 * False: nothing is open, and `error` says what happened and what to do; also if anyone listens there already, though he
 * would share it, because then two gateways would answer in turn. */
bool lun_listen(const char *address, int n, int fds[], char error[256]);

void lun_listen_tune(int fd);           /* what accepted sockets inherit: for one that was opened elsewhere */
void lun_listen_text(int fd, char out[LUN_ADDRESS_TEXT]);   /* where it listens: "127.0.0.1:41237", "unix:/…" */
int  lun_listen_port(int fd);                               /* 0: has none */
#endif
