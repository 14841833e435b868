#include "policy_world.h"

static void a_request_shows_what_the_client_asked(void **state)
{
    W;
    GIVES("return request.model", "small");
    GIVES("return request.endpoint", "chat");
    GIVES("return request.text", "hello my world");
    GIVES("return tostring(request.words)", "3");
    GIVES("return tostring(request.chars)", "14");
    GIVES("return tostring(request.messages)", "2");
    GIVES("return tostring(request.max_tokens)", "nil");
    GIVES("return tostring(request.has_code or request.has_tools or request.has_image or request.has_schema or request.stream)", "false");
    GIVES("return request:message(1).text .. '/' .. request:message(-1).role", "Be kind/user");
    GIVES("return tostring(request:message(3))", "nil");
    GIVES("return request:param('model')", "small");
    GIVES("return tostring(request:param('temperature'))", "nil");
    GIVES("return request:body().messages[2].content", "hello my world");
    GIVES("return request.key.name .. request.key.team .. request.key.tags.tier", "appwebfree");
    GIVES("return tostring(request.deadline)", "60");
    GIVES("return tostring(request.budget)", "nil");
    GIVES("return tostring(#request.attempts)", "0");
}

static void a_name_that_is_not_there_is_told_with_the_nearest(void **state)
{
    W;
    FAILS("return request.wrods", "request has no field 'wrods' (did you mean 'words'?)");
    FAILS("return request.zzzzzz", "request has no field 'zzzzzz'");
    FAILS("return request.targets.latency", "take one of it, targets[1].latency");
    FAILS("return request.wrods", "policies/test.lua:2:");
    FAILS("request.model = 'x'", "request is read-only: 'model' cannot be set");
    FAILS("request.tags.tier = 'x'", "read-only");
    FAILS("request.headers.x = 'x'", "read-only");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(a_request_shows_what_the_client_asked),
        unit(a_name_that_is_not_there_is_told_with_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
