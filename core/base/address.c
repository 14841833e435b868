#include "base/address.h"
#include <stdint.h>
#include <string.h>

/* Host order. */
static bool is_inner(uint32_t a)
{
    return a >> 16 == 0xA9FE            /* 169.254.0.0/16: link-local, RFC 3927 */
        || a == 0x646464C8              /* 100.100.100.200 */
        || a == 0xC00000C0              /* 192.0.0.192 */
        || a == 0xA83F8110;             /* 168.63.129.16 */
}

static uint32_t four(const unsigned char *b) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }

bool lun_address_is_inner_4(const struct in_addr *a) { return is_inner(ntohl(a->s_addr)); }

bool lun_address_is_inner_6(const struct in6_addr *a)
{
    static const unsigned char nat64[12] = { 0, 0x64, 0xff, 0x9b }, aws[16] = { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };
    const unsigned char *b = a->s6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(a) || !memcmp(b, aws, 16)) return true;
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a) || !memcmp(b, nat64, 12)) return is_inner(four(b + 12));
    return b[0] == 0x20 && b[1] == 0x02 && is_inner(four(b + 2));       /* 6to4 */
}

bool lun_address_is_inner(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) return lun_address_is_inner_4(&((const struct sockaddr_in *)(const void *)a)->sin_addr);
    return a->sa_family == AF_INET6 && lun_address_is_inner_6(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static in_port_t port_of(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) return ((const struct sockaddr_in *)(const void *)a)->sin_port;
    return a->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)a)->sin6_port : 0;
}

/* As one of IPv6: mapped where it is of IPv4. */
static struct in6_addr six(const struct sockaddr *a)
{
    struct in6_addr out = { .s6_addr = { [10] = 0xff, [11] = 0xff } };
    if (a->sa_family == AF_INET6) return ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    memcpy(out.s6_addr + 12, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
    return out;
}

static bool is_local(const struct in6_addr *a)
{
    if (IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_UNSPECIFIED(a)) return true;
    return (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a)) && (a->s6_addr[12] == 127 || !four(a->s6_addr + 12));
}

bool lun_address_leads_to(const struct sockaddr *to, const struct sockaddr *at)
{
    if (!port_of(to) || port_of(to) != port_of(at)) return false;
    struct in6_addr there = six(to), here = six(at);
    return is_local(&there) || !memcmp(&there, &here, sizeof here);
}
