/* Addresses by which a machine in a cloud gives its secrets away: those of the local link and of metadata services. Nobody but the operator may have
 * them asked. */
#ifndef LUN_BASE_ADDRESS_H
#define LUN_BASE_ADDRESS_H
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

bool lun_address_is_inner_4(const struct in_addr *);
bool lun_address_is_inner_6(const struct in6_addr *);   /* also the ways in which IPv6 writes one of IPv4: mapped, compatible, NAT64, 6to4 */
bool lun_address_is_inner(const struct sockaddr *);     /* of either kind; of another: false */
/* Whether who connects to `to` arrives at a socket of this machine that listens at `at`: at its own address, or at one of loopback or of none (0.0.0.0). */
bool lun_address_leads_to(const struct sockaddr *to, const struct sockaddr *at);
#endif
