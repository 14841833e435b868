/* Which hosts `http.allow` lets policies ask, and which addresses nobody may; every way to write one, as a table. */
#include "base/address.h"
#include "script/url.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <string.h>
#include <cmocka.h>

static void only_the_hosts_that_were_said_are_allowed(void **state)
{
    (void)state;
    static const struct { const char *allow, *url; bool may; } cases[] = {
        { "flags.example", "http://flags.example/", true }, { "flags.example", "https://flags.example:8443/x?y", true }, { "flags.example", "http://FLAGS.Example", true },
        { "Flags.Example", "http://flags.example/", true }, { "flags.example", "http://flags.example./", true }, { "flags.example", "http://flags.example?x", true },
        { "flags.example", "http://flags.example.evil/", false }, { "flags.example", "http://evil.flags.example/", false }, { "flags.example", "http://evil/flags.example", false },
        { "flags.example", "http://evil/?http://flags.example/", false }, { "flags.example", "http://evil/#flags.example", false },
        { "*.example", "http://a.example/", true }, { "*.example", "http://a.b.example/", true }, { "*.example", "http://example/", false }, { "*.example", "http://a.example.evil/", false },
        { "*.example", "http://evil/.example", false }, { "*", "http://anyone/", true },
        { "flags.example:8080", "http://flags.example:8080/", true }, { "flags.example:8080", "http://flags.example/", false }, { "flags.example:80", "http://flags.example/", true },
        { "flags.example:443", "https://flags.example/", true }, { "flags.example:443", "https://flags.example:/", true }, { "flags.example:443", "http://flags.example/", false },
        { "10.0.0.5", "http://10.0.0.5:81/", true }, { "10.0.0.5", "http://10.0.0.50/", false }, { "10.0.0.5", "http://167772165/", false },
        { "[::1]", "http://[::1]/", true }, { "[::1]", "http://[::1]:8080/", true }, { "[::1]:8080", "http://[::1]:8080/", true }, { "[::1]:8080", "http://[::1]/", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(lun_url_problem(cases[i].url, strlen(cases[i].url)));
        if (lun_url_allowed(cases[i].url, &cases[i].allow, 1) != cases[i].may) fail_msg("%s with %s", cases[i].url, cases[i].allow);
    }
    assert_false(lun_url_allowed("http://flags.example/", NULL, 0));
}

static struct sockaddr_storage address(const char *text, int port)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in *v4 = (void *)&a;
    struct sockaddr_in6 *v6 = (void *)&a;
    bool four = inet_pton(AF_INET, text, &v4->sin_addr) == 1;
    a.ss_family = four ? AF_INET : AF_INET6;
    if (!four) assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    *(four ? &v4->sin_port : &v6->sin6_port) = htons((uint16_t)port);
    return a;
}

static void addresses_of_the_local_link_and_of_metadata_are_known_in_every_form(void **state)
{
    (void)state;
    static const struct { const char *text; bool inner; } cases[] = {
        { "169.254.169.254", true }, { "169.254.0.0", true }, { "169.254.255.255", true }, { "169.253.255.255", false }, { "169.255.0.0", false },
        { "100.100.100.200", true }, { "192.0.0.192", true }, { "168.63.129.16", true }, { "127.0.0.1", false }, { "10.0.0.1", false }, { "8.8.8.8", false },
        { "fe80::1", true }, { "febf::1", true }, { "fec0::1", false }, { "::1", false }, { "2001:db8::1", false }, { "fd00:ec2::254", true }, { "fd00:ec2::253", false },
        { "::ffff:169.254.169.254", true }, { "::ffff:127.0.0.1", false }, { "::169.254.169.254", true }, { "64:ff9b::169.254.169.254", true }, { "64:ff9b::8.8.8.8", false },
        { "2002:a9fe:a9fe::1", true }, { "2002:808:808::1", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sockaddr_storage a = address(cases[i].text, 0);
        if (lun_address_is_inner((struct sockaddr *)&a) != cases[i].inner) fail_msg("%s", cases[i].text);
    }
    assert_false(lun_address_is_inner(&(struct sockaddr){ .sa_family = AF_UNIX }));
}

static void who_would_arrive_at_a_socket_of_this_machine_is_known(void **state)
{
    static const struct { const char *to, *at; bool leads; } cases[] = {
        { "127.0.0.1", "127.0.0.1", true }, { "127.9.9.9", "127.0.0.1", true }, { "0.0.0.0", "127.0.0.1", true }, { "::", "127.0.0.1", true }, { "::1", "::1", true },
        { "::ffff:127.0.0.1", "127.0.0.1", true }, { "127.0.0.1", "0.0.0.0", true }, { "::1", "::", true }, { "10.0.0.7", "10.0.0.7", true }, { "::ffff:10.0.0.7", "10.0.0.7", true },
        { "10.0.0.8", "10.0.0.7", false }, { "10.0.0.8", "127.0.0.1", false }, { "2001:db8::1", "::1", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sockaddr_storage to = address(cases[i].to, 4001), other = address(cases[i].to, 4002), at = address(cases[i].at, 4001);
        if (lun_address_leads_to((struct sockaddr *)&to, (struct sockaddr *)&at) != cases[i].leads) fail_msg("%s to %s", cases[i].to, cases[i].at);
        assert_false(lun_address_leads_to((struct sockaddr *)&other, (struct sockaddr *)&at));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_hosts_that_were_said_are_allowed),
        cmocka_unit_test(addresses_of_the_local_link_and_of_metadata_are_known_in_every_form),
        cmocka_unit_test(who_would_arrive_at_a_socket_of_this_machine_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
