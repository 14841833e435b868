/* Request heads and chunked bodies: what RFC 9112, 9110 and 3986 allow is read right, what can be understood in two ways is
 * refused. Every case is fed whole, byte by byte, and cut in two at every position, each time from memory of exactly the
 * size given: the answer must be the same. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/http_chunked.h"
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct head_case { const char *name, *bytes; size_t n; int status; const char *want; };

#define GOOD(name, bytes, want) { name, bytes, sizeof bytes - 1, 0, want }
#define BAD(name, bytes)        { name, bytes, sizeof bytes - 1, 400, NULL }
#define MORE(name, bytes)       { name, bytes, sizeof bytes - 1, -1, NULL }
#define GET   "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST  "POST / HTTP/1.1\r\nHost: a\r\n"
#define OLD   "GET / HTTP/1.0\r\n"
#define LINE(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define FOR(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"

/* `want`: method path ?query @host version framing keep|close flags, then |name=value of all fields but Host. */
static const struct head_case heads[] = {
    /* ---- what is accepted ---- */
    GOOD("a plain request is read", GET "\r\n", "GET / ? @a 1.1 none keep"),
    GOOD("the query begins at the first question mark", LINE("/a/b?c=d&e"), "GET /a/b ?c=d&e @a 1.1 none keep"),
    GOOD("a further question mark belongs to the query", LINE("/a?b?c"), "GET /a ?b?c @a 1.1 none keep"),
    GOOD("a query may be empty", LINE("/a?"), "GET /a ? @a 1.1 none keep"),
    GOOD("every character RFC 3986 allows in a path is taken", LINE("/aZ09-._~!$&'()*+,;=:@/"),
         "GET /aZ09-._~!$&'()*+,;=:@/ ? @a 1.1 none keep"),
    GOOD("every character RFC 3986 allows in a query is taken", LINE("/?aZ09-._~!$&'()*+,;=:@/?"),
         "GET / ?aZ09-._~!$&'()*+,;=:@/? @a 1.1 none keep"),
    GOOD("percent-encoding is kept as it is", LINE("/%41%2f?%00"), "GET /%41%2f ?%00 @a 1.1 none keep"),
    GOOD("two slashes at the front are a path, not a host", LINE("//b/c"), "GET //b/c ? @a 1.1 none keep"),
    GOOD("dots in a path are not resolved", LINE("/a/../b"), "GET /a/../b ? @a 1.1 none keep"),
    GOOD("an absolute target is taken", "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b ?c @a 1.1 none keep"),
    GOOD("an absolute https target is taken", "GET https://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b ? @a 1.1 none keep"),
    GOOD("an absolute target without a path has the path /", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / ? @a 1.1 none keep"),
    GOOD("an absolute target with a query and no path has the path /", "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET / ?b @a 1.1 none keep"),
    GOOD("the scheme of a target may be in capitals", "GET HTTP://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET / ? @a 1.1 none keep"),
    GOOD("the default port may stand in the target alone", "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET / ? @a:80 1.1 none keep"),
    GOOD("the default port may stand in Host alone", "GET https://a/ HTTP/1.1\r\nHost: A:443\r\n\r\n", "GET / ? @a 1.1 none keep"),
    GOOD("an absolute target is a host for 1.0 too", "GET http://a/ HTTP/1.0\r\n\r\n", "GET / ? @a 1.0 none close"),
    GOOD("OPTIONS may ask about the whole server", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * ? @a 1.1 none keep"),
    GOOD("a method may be any token", "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n\r\n", "!#$%&'*+-.^_`|~09azAZ / ? @a 1.1 none keep"),
    GOOD("a method in small letters is another method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "get / ? @a 1.1 none keep"),
    GOOD("one empty line before a request is skipped", "\r\n" GET "\r\n", "GET / ? @a 1.1 none keep"),
    GOOD("a field name keeps its letters", GET "X-AbC: d\r\n\r\n", "GET / ? @a 1.1 none keep|X-AbC=d"),
    GOOD("a field name may be any token", GET "!#$%&'*+-.^_`|~09azAZ: d\r\n\r\n", "GET / ? @a 1.1 none keep|!#$%&'*+-.^_`|~09azAZ=d"),
    GOOD("blanks around a value are not part of it", GET "b: \t c d \t \r\n\r\n", "GET / ? @a 1.1 none keep|b=c d"),
    GOOD("a value needs no blank before it", GET "b:c\r\n\r\n", "GET / ? @a 1.1 none keep|b=c"),
    GOOD("a value may hold a tab", GET "b: c\td\r\n\r\n", "GET / ? @a 1.1 none keep|b=c\td"),
    GOOD("a value may be empty", GET "b:\r\n\r\n", "GET / ? @a 1.1 none keep|b="),
    GOOD("a value may be all blanks", GET "b: \t \r\n\r\n", "GET / ? @a 1.1 none keep|b="),
    GOOD("a value may hold colons", GET "b: c: d\r\n\r\n", "GET / ? @a 1.1 none keep|b=c: d"),
    GOOD("a value may hold bytes above 127", GET "b: \x80\xff\r\n\r\n", "GET / ? @a 1.1 none keep|b=\x80\xff"),
    GOOD("fields keep their order, equal ones too", GET "b: 1\r\nc: 2\r\nb: 3\r\n\r\n", "GET / ? @a 1.1 none keep|b=1|c=2|b=3"),
    GOOD("Host may come last", "GET / HTTP/1.1\r\nb: c\r\nHost: a\r\n\r\n", "GET / ? @a 1.1 none keep|b=c"),
    GOOD("a name that only begins like Host is another", GET "Hos: b\r\nHosts: c\r\n\r\n", "GET / ? @a 1.1 none keep|Hos=b|Hosts=c"),
    GOOD("an underscore does not make a Content-Length", GET "Content_Length: 5\r\n\r\n", "GET / ? @a 1.1 none keep|Content_Length=5"),
    GOOD("Host may have a port", FOR("a:8080"), "GET / ? @a:8080 1.1 none keep"),
    GOOD("Host may have an empty port", FOR("a:"), "GET / ? @a: 1.1 none keep"),
    GOOD("Host may have the highest port", FOR("a:65535"), "GET / ? @a:65535 1.1 none keep"),
    GOOD("Host may be an IPv6 address", FOR("[::1]:80"), "GET / ? @[::1]:80 1.1 none keep"),
    GOOD("Host may be an IPv6 address with IPv4 in it", FOR("[::ffff:1.2.3.4]"), "GET / ? @[::ffff:1.2.3.4] 1.1 none keep"),
    GOOD("Host may have what RFC 3986 allows in a name", FOR("a-b_c~d!e=f%20"), "GET / ? @a-b_c~d!e=f%20 1.1 none keep"),
    GOOD("the name of Host counts in any letters", "GET / HTTP/1.1\r\nhOsT:a\r\n\r\n", "GET / ? @a 1.1 none keep"),
    GOOD("1.0 needs no Host", OLD "\r\n", "GET / ? @ 1.0 none close"),
    GOOD("1.0 closes unless asked to keep", OLD "Host: a\r\n\r\n", "GET / ? @a 1.0 none close"),
    GOOD("1.0 keeps when asked to", OLD "Connection: Keep-Alive\r\n\r\n", "GET / ? @ 1.0 none keep|Connection=Keep-Alive"),
    GOOD("1.0 closes when both are asked", OLD "Connection: keep-alive, close\r\n\r\n", "GET / ? @ 1.0 none close|Connection=keep-alive, close"),
    GOOD("1.1 closes when asked to", GET "Connection: Close\r\n\r\n", "GET / ? @a 1.1 none close|Connection=Close"),
    GOOD("close is found in a list", GET "Connection: te ,\t close\r\n\r\n", "GET / ? @a 1.1 none close|Connection=te ,\t close"),
    GOOD("close is found in a second field", GET "Connection: te\r\nConnection: close\r\n\r\n", "GET / ? @a 1.1 none close|Connection=te|Connection=close"),
    GOOD("close wins over keep-alive", GET "Connection: close, keep-alive\r\n\r\n", "GET / ? @a 1.1 none close|Connection=close, keep-alive"),
    GOOD("empty elements of a list are passed over", GET "Connection: ,, ,keep-alive,\r\n\r\n", "GET / ? @a 1.1 none keep|Connection=,, ,keep-alive,"),
    GOOD("what only holds close does not close", GET "Connection: enclose, close-x\r\n\r\n", "GET / ? @a 1.1 none keep|Connection=enclose, close-x"),
    GOOD("a body has the length said", POST "Content-Length: 5\r\n\r\nhello", "POST / ? @a 1.1 5 keep|Content-Length=5"),
    GOOD("a length may be nought", POST "Content-Length: 0\r\n\r\n", "POST / ? @a 1.1 0 keep|Content-Length=0"),
    GOOD("a length may begin with noughts", POST "Content-Length: 0000000000000000000000005\r\n\r\n",
         "POST / ? @a 1.1 5 keep|Content-Length=0000000000000000000000005"),
    GOOD("the largest length is the largest of 63 bits", POST "Content-Length: 9223372036854775807\r\n\r\n",
         "POST / ? @a 1.1 9223372036854775807 keep|Content-Length=9223372036854775807"),
    GOOD("blanks around a length are not part of it", POST "Content-Length: \t5 \r\n\r\n", "POST / ? @a 1.1 5 keep|Content-Length=5"),
    GOOD("a body may be chunked", POST "Transfer-Encoding: chunked\r\n\r\n", "POST / ? @a 1.1 chunked keep|Transfer-Encoding=chunked"),
    GOOD("chunked counts in any letters", POST "transfer-encoding: Chunked\r\n\r\n", "POST / ? @a 1.1 chunked keep|transfer-encoding=Chunked"),
    GOOD("a POST without length has no body", POST "\r\n", "POST / ? @a 1.1 none keep"),
    GOOD("a GET may have a body", GET "Content-Length: 3\r\n\r\n", "GET / ? @a 1.1 3 keep|Content-Length=3"),
    GOOD("a length is taken in 1.0", OLD "Content-Length: 3\r\n\r\n", "GET / ? @ 1.0 3 close|Content-Length=3"),
    GOOD("100-continue is an expectation", POST "Expect: 100-Continue\r\n\r\n", "POST / ? @a 1.1 none keep expect|Expect=100-Continue"),
    GOOD("1.0 knows no expectations", OLD "Expect: 100-continue\r\n\r\n", "GET / ? @ 1.0 none close|Expect=100-continue"),
    GOOD("trailers can be asked for", GET "TE: trailers\r\n\r\n", "GET / ? @a 1.1 none keep trailers|TE=trailers"),
    GOOD("trailers are found in a list", GET "TE: gzip;q=0.5, Trailers\r\n\r\n", "GET / ? @a 1.1 none keep trailers|TE=gzip;q=0.5, Trailers"),
    GOOD("what follows the head is not looked at", GET "\r\n\0\n\n\r\r", "GET / ? @a 1.1 none keep"),
    GOOD("a request sent ahead is left alone", GET "\r\n" GET "\r\n", "GET / ? @a 1.1 none keep"),

    /* ---- what is not whole ---- */
    MORE("nothing is not yet wrong", ""),
    MORE("a part of a method is not yet wrong", "G"),
    MORE("a request line without its end is not yet wrong", "GET / HTTP/1.1"),
    MORE("a CR at the end may have its LF still to come", "GET / HTTP/1.1\r"),
    MORE("a head without its empty line is not whole", GET),
    MORE("a head is not whole before the last LF", GET "\r"),
    MORE("an empty line alone is no request", "\r\n"),

    /* ---- line ends and control characters ---- */
    BAD("a request line that ends with LF alone", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    BAD("a field that ends with LF alone", "GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n"),
    BAD("a head that ends with LF alone", GET "\n"),
    BAD("LF alone throughout", "GET / HTTP/1.1\nHost: a\n\n"),
    BAD("LF before the request", "\n" GET "\r\n"),
    BAD("CR alone after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    BAD("CR alone in a value", GET "b: c\rd: e\r\n\r\n"),
    BAD("CR alone at the end of a value", GET "b: c\r\r\n\r\n"),
    BAD("CR alone before a name", GET "\rb: c\r\n\r\n"),
    BAD("CR and something else at the end of the head", GET "\rX\r\n\r\n"),
    BAD("CR alone before the request", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("LF and CR swapped", "GET / HTTP/1.1\n\rHost: a\n\r\n\r"),
    BAD("a header smuggled behind LF", GET "b: c\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD("a header smuggled behind CR", GET "b: c\rTransfer-Encoding: chunked\r\n\r\n"),
    BAD("NUL in a value", GET "b: c\0d\r\n\r\n"),
    BAD("NUL in a name", GET "b\0: c\r\n\r\n"),
    BAD("NUL in the target", LINE("/\0")),
    BAD("NUL in the method", "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("NUL before the request", "\0" GET "\r\n"),
    BAD("a bell in a value", GET "b: \a\r\n\r\n"),
    BAD("a vertical tab in a value", GET "b: c\vd\r\n\r\n"),
    BAD("a form feed after a value", GET "b: c\f\r\n\r\n"),
    BAD("an escape in a value", GET "b: \x1b[0m\r\n\r\n"),
    BAD("DEL in a value", GET "b: \x7f\r\n\r\n"),
    BAD("DEL in a target", LINE("/\x7f")),
    BAD("two empty lines before the request", "\r\n\r\n" GET "\r\n"),
    BAD("a blank line before the request", " \r\n" GET "\r\n"),

    /* ---- the request line ---- */
    BAD("no version (HTTP/0.9)", "GET /\r\n\r\n"),
    BAD("no version, but its space", "GET / \r\n\r\n"),
    BAD("a method alone", "GET\r\n\r\n"),
    BAD("a method and a space", "GET \r\n\r\n"),
    BAD("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("no target, two spaces", "GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a tab after the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a tab before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    BAD("words after the version", "GET / HTTP/1.1 b\r\nHost: a\r\n\r\n"),
    BAD("two versions", "GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a space inside the target", LINE("/a b")),
    BAD("a method that is no token", "G=:<>(e),[T];?\" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a method with a byte above 127", "G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a method with a colon", "GET: / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("words before the method", "Extra lineGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    BAD("version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    BAD("version 0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    BAD("version 9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    BAD("version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    BAD("version 1.01", "GET / HTTP/1.01\r\nHost: a\r\n\r\n"),
    BAD("version 01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    BAD("version 1", "GET / HTTP/1\r\nHost: a\r\n\r\n"),
    BAD("version 1,1", "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
    BAD("a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    BAD("a version without a slash", "GET / HTTP1.1\r\nHost: a\r\n\r\n"),
    BAD("a version with a space inside", "GET / HTTP/ 1.1\r\nHost: a\r\n\r\n"),
    BAD("a version of another protocol", "GET / RTSP/1.1\r\nHost: a\r\n\r\n"),
    BAD("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BAD("a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),

    /* ---- the target ---- */
    BAD("a target that does not begin with a slash", LINE("index.html")),
    BAD("a target that is only a query", LINE("?a")),
    BAD("a fragment", LINE("/a#b")),
    BAD("a fragment behind a query", LINE("/a?b#c")),
    BAD("a fragment in an absolute target", LINE("http://a#b")),
    BAD("a percent sign at the end", LINE("/%")),
    BAD("a percent sign with one digit", LINE("/%4")),
    BAD("a percent sign with a letter past f", LINE("/%4g")),
    BAD("a broken percent sign in the query", LINE("/?%zz")),
    BAD("a percent sign that reaches into the version", LINE("/a%")),
    BAD("a byte above 127 in the target", LINE("/\xc3\xa9")),
    BAD("a quotation mark in the target", LINE("/\"")),
    BAD("a less-than sign in the target", LINE("/<")),
    BAD("a backslash in the target", LINE("/\\")),
    BAD("a caret in the target", LINE("/^")),
    BAD("a backtick in the target", LINE("/`")),
    BAD("a brace in the target", LINE("/{a}")),
    BAD("a bar in the target", LINE("/|")),
    BAD("a bracket in the query", LINE("/?a[]=b")),
    BAD("a star with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a star and more with OPTIONS", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("CONNECT with an authority", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    BAD("CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("an authority as target", LINE("a:80")),
    BAD("an absolute target of another scheme", LINE("ftp://a/")),
    BAD("an absolute target with one slash", LINE("http:/a")),
    BAD("an absolute target without a host", LINE("http:///b")),
    BAD("an absolute target that ends before the host", LINE("http://")),
    BAD("an absolute target with a user", LINE("http://me:pw@a/")),
    BAD("an absolute target with a port that is none", LINE("http://a:x/")),
    BAD("an absolute target with a space for a host", LINE("http:// /")),
    BAD("Host another than the target's", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("Host with another port than the target's", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("Host with the default port of the other scheme", "GET http://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    BAD("an absolute target without Host in 1.1", "GET http://a/ HTTP/1.1\r\n\r\n"),

    /* ---- fields ---- */
    BAD("a blank before the colon", GET "b : c\r\n\r\n"),
    BAD("a tab before the colon", GET "b\t: c\r\n\r\n"),
    BAD("a blank before the colon of Content-Length", POST "Content-Length : 5\r\n\r\nhello"),
    BAD("a blank before the colon of Transfer-Encoding", POST "Transfer-Encoding : chunked\r\n\r\n"),
    BAD("a folded line", GET "b: c\r\n d\r\n\r\n"),
    BAD("a line folded with a tab", GET "b: c\r\n\td\r\n\r\n"),
    BAD("a folded Transfer-Encoding", POST "Transfer-Encoding:\r\n chunked\r\n\r\n"),
    BAD("a blank before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    BAD("a tab before the first field", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
    BAD("a line of one blank", GET " \r\n\r\n"),
    BAD("a field without a name", GET ": c\r\n\r\n"),
    BAD("a field without a colon", GET "b\r\n\r\n"),
    BAD("a request line among the fields", GET "GET /b HTTP/1.1\r\n\r\n"),
    BAD("a blank inside a name", GET "b c: d\r\n\r\n"),
    BAD("brackets in a name", GET "X-Invalid[]: test\r\n\r\n"),
    BAD("an at sign in a name", GET "Fo@: c\r\n\r\n"),
    BAD("a quotation mark in a name", GET "\"b\": c\r\n\r\n"),
    BAD("a slash in a name", GET "b/c: d\r\n\r\n"),
    BAD("a byte above 127 in a name", GET "b\xff: c\r\n\r\n"),
    BAD("a byte order mark before a name", GET "\xef\xbb\xbf" "b: c\r\n\r\n"),
    BAD("a vertical tab before the colon", GET "Content-Length\v: 5\r\n\r\n"),

    /* ---- Host ---- */
    BAD("no Host", "GET / HTTP/1.1\r\n\r\n"),
    BAD("no Host, though a length", "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"),
    BAD("two Hosts", GET "Host: b\r\n\r\n"),
    BAD("two equal Hosts", GET "Host: a\r\n\r\n"),
    BAD("two Hosts in 1.0", OLD "Host: a\r\nHost: a\r\n\r\n"),
    BAD("an empty Host", FOR("")),
    BAD("an empty Host in 1.0", OLD "Host:\r\n\r\n"),
    BAD("two Hosts joined by a comma", FOR("a,b")),
    BAD("two Hosts joined by comma and blank", FOR("a, b")),
    BAD("a Host with a blank inside", FOR("a b")),
    BAD("a Host with a path", FOR("a/b")),
    BAD("a Host with a user", FOR("me@a")),
    BAD("a Host with a scheme", FOR("http://a")),
    BAD("a Host with a port that is none", FOR("a:b")),
    BAD("a Host with a port too large", FOR("a:65536")),
    BAD("a Host with a port of six digits", FOR("a:000080")),
    BAD("a Host with a negative port", FOR("a:-1")),
    BAD("a Host with two ports", FOR("a:1:2")),
    BAD("a Host that is only a port", FOR(":80")),
    BAD("a Host that is IPv6 without brackets", FOR("::1")),
    BAD("a Host with a bracket left open", FOR("[::1")),
    BAD("a Host with empty brackets", FOR("[]")),
    BAD("a Host with a lone colon in brackets", FOR("[:]")),
    BAD("a Host with something behind its brackets", FOR("[::1]b")),
    BAD("a Host with a zone", FOR("[fe80::1%25eth0]")),
    BAD("a Host with a broken percent sign", FOR("a%2")),
    BAD("a Host with a byte above 127", FOR("\xc3\xa9")),
    BAD("a Host with a question mark", FOR("a?b")),
    BAD("a Host with a backslash", FOR("a\\b")),

    /* ---- framing ---- */
    BAD("two lengths", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    BAD("two equal lengths", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    BAD("two lengths in different letters", POST "Content-Length: 5\r\ncontent-length: 5\r\n\r\n"),
    BAD("two lengths in one field", POST "Content-Length: 5, 6\r\n\r\n"),
    BAD("two equal lengths in one field", POST "Content-Length: 5,5\r\n\r\n"),
    BAD("two lengths divided by a blank", POST "Content-Length: 5 5\r\n\r\n"),
    BAD("an empty length", POST "Content-Length:\r\n\r\n"),
    BAD("a length with a plus", POST "Content-Length: +5\r\n\r\n"),
    BAD("a length with a minus", POST "Content-Length: -5\r\n\r\n"),
    BAD("a length of minus nought", POST "Content-Length: -0\r\n\r\n"),
    BAD("a length in hex", POST "Content-Length: 0x5\r\n\r\n"),
    BAD("a length with a point", POST "Content-Length: 5.0\r\n\r\n"),
    BAD("a length with an exponent", POST "Content-Length: 1e1\r\n\r\n"),
    BAD("a length with an underscore", POST "Content-Length: 1_0\r\n\r\n"),
    BAD("a length with letters", POST "Content-Length: 5a\r\n\r\n"),
    BAD("a length of letters", POST "Content-Length: abc\r\n\r\n"),
    BAD("a length in quotes", POST "Content-Length: \"5\"\r\n\r\n"),
    BAD("a length with a byte above 127", POST "Content-Length: 5\xa0\r\n\r\n"),
    BAD("a length one past the largest", POST "Content-Length: 9223372036854775808\r\n\r\n"),
    BAD("a length of 2^64", POST "Content-Length: 18446744073709551616\r\n\r\n"),
    BAD("a length of forty digits", POST "Content-Length: 1000000000000000000000000000000000000000\r\n\r\n"),
    BAD("a large negative length", POST "Content-Length: -123456789123456789123456789\r\n\r\n"),
    BAD("length and coding", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD("coding and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    BAD("coding and a length of nought", POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
    BAD("an unknown coding and a length", POST "Transfer-Encoding: x\r\nContent-Length: 5\r\n\r\n"),
    BAD("an unknown coding", POST "Transfer-Encoding: pigeons\r\n\r\n"),
    BAD("an empty coding", POST "Transfer-Encoding:\r\n\r\n"),
    BAD("coding identity", POST "Transfer-Encoding: identity\r\n\r\n"),
    BAD("coding gzip", POST "Transfer-Encoding: gzip\r\n\r\n"),
    BAD("coding gzip and chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    BAD("coding chunked and identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n"),
    BAD("coding chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    BAD("coding chunked in two fields", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD("coding chunked and a second field", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
    BAD("coding identity and then chunked", POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD("coding with a parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
    BAD("coding with a semicolon", POST "Transfer-Encoding: chunked;\r\n\r\n"),
    BAD("coding with a comma before", POST "Transfer-Encoding: ,chunked\r\n\r\n"),
    BAD("coding with a comma behind", POST "Transfer-Encoding: chunked,\r\n\r\n"),
    BAD("coding in quotes", POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    BAD("coding with letters before", POST "Transfer-Encoding: xchunked\r\n\r\n"),
    BAD("coding with letters behind", POST "Transfer-Encoding: chunkedx\r\n\r\n"),
    BAD("coding with a vertical tab", POST "Transfer-Encoding: \vchunked\r\n\r\n"),
    BAD("coding with a hard space", POST "Transfer-Encoding: \xa0" "chunked\r\n\r\n"),
    BAD("coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD("another expectation", POST "Expect: 200-ok\r\n\r\n"),
    BAD("an expectation and another", POST "Expect: 100-continue, x\r\n\r\n"),
    BAD("an empty expectation", POST "Expect:\r\n\r\n"),
};

/* ---- running a case ---- */

struct got { int status; size_t used; struct lun_buf text; };

static void describe(struct lun_buf *t, const struct lun_http_request *q)
{
    lun_buf_printf(t, "%.*s %.*s ?%.*s @%.*s 1.%d ", (int)q->method.n, q->method.at, (int)q->path.n, q->path.at, (int)q->query.n,
                   q->query.at, (int)q->host.n, q->host.n ? q->host.at : "", q->minor);
    if (q->framing == LUN_HTTP_LENGTH) lun_buf_printf(t, "%lld", (long long)q->length);
    else lun_buf_puts(t, q->framing == LUN_HTTP_CHUNKED ? "chunked" : "none");
    lun_buf_printf(t, " %s%s%s", q->keep_alive ? "keep" : "close", q->expect_continue ? " expect" : "", q->wants_trailers ? " trailers" : "");
    for (int i = 0; i < q->n_headers; i++) {
        const struct lun_http_header *h = &q->headers[i];
        if (lun_slice_is_like(h->name, "host")) continue;
        lun_buf_printf(t, "|%.*s=%.*s", (int)h->name.n, h->name.at, (int)h->value.n, h->value.at);
    }
}

/* Feeds up to each of the cuts, then all, each time from fresh memory of exactly that size. */
static struct got feed(const char *bytes, size_t n, const size_t *cuts, size_t n_cuts, const struct lun_http_limits *limits)
{
    struct lun_http_reader r = {0};
    struct got g = { .status = -1 };
    char *before = NULL;
    for (size_t i = 0; i <= n_cuts && g.status < 0; i++) {
        size_t part = i < n_cuts ? cuts[i] : n;
        char *copy = lun_memdup(bytes, part);
        enum lun_http_result got = lun_http_read(&r, copy, part, limits, &g.used);
        free(before);
        before = copy;
        if (got == LUN_HTTP_DONE) { g.status = 0; describe(&g.text, &r.request); }
        if (got == LUN_HTTP_BAD) { g.status = r.status; assert_non_null(r.why); }
    }
    if (g.status == 0) {        /* a head that was read may move with its body */
        char *moved = lun_memdup(bytes, g.used);
        struct lun_buf again = {0};
        lun_http_moved(&r, moved);
        free(before);
        describe(&again, &r.request);
        assert_string_equal(lun_buf_text(&again), lun_buf_text(&g.text));
        lun_buf_free(&again);
        before = moved;
    }
    free(before);
    lun_http_free(&r);
    return g;
}

static void same(const struct got *a, struct got *b, size_t cut)
{
    if (a->status != b->status || (!a->status && (a->used != b->used || a->text.n != b->text.n || (a->text.n && memcmp(a->text.at, b->text.at, a->text.n)))))
        fail_msg("cut at %zu: %d, whole: %d", cut, b->status, a->status);
    lun_buf_free(&b->text);
}

static void check_cuts(const char *bytes, size_t n, const struct got *whole, const struct lun_http_limits *limits)
{
    size_t *all = lun_alloc((n + 1) * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = i;
        struct got two = feed(bytes, n, &i, 1, limits);
        same(whole, &two, i);
    }
    struct got single = feed(bytes, n, all, n, limits);
    same(whole, &single, n);
    free(all);
}

static void head_case(void **state)
{
    const struct head_case *c = *state;
    struct got whole = feed(c->bytes, c->n, NULL, 0, NULL);
    assert_int_equal(whole.status, c->status);
    if (c->want) assert_string_equal(lun_buf_text(&whole.text), c->want);
    check_cuts(c->bytes, c->n, &whole, NULL);
    lun_buf_free(&whole.text);
}

/* ---- limits ---- */

static struct lun_buf repeated(const char *before, char c, size_t n, const char *behind)
{
    struct lun_buf b = {0};
    lun_buf_puts(&b, before);
    memset(lun_buf_space(&b, n), c, n);
    b.n += n;
    lun_buf_puts(&b, behind);
    return b;
}

static void expect_status(struct lun_buf *b, const struct lun_http_limits *limits, int status)
{
    struct got whole = feed(b->at, b->n, NULL, 0, limits);
    assert_int_equal(whole.status, status);
    if (limits) check_cuts(b->at, b->n, &whole, limits);
    lun_buf_free(&whole.text);
    lun_buf_free(b);
}

static void a_request_line_may_fill_its_limit_and_not_pass_it(void **state)
{
    (void)state;
    struct lun_http_limits limits = { .line = 64, .header = 64, .head = 1000, .headers = 5 };
    size_t fixed = strlen("GET / HTTP/1.1\r\n");
    struct lun_buf fits = repeated("GET /", 'x', 64 - fixed, " HTTP/1.1\r\nHost: a\r\n\r\n");
    struct lun_buf over = repeated("GET /", 'x', 65 - fixed, " HTTP/1.1\r\nHost: a\r\n\r\n");
    struct lun_buf endless = repeated("GET /", 'x', 500, "");
    expect_status(&fits, &limits, 0);
    expect_status(&over, &limits, 431);
    expect_status(&endless, &limits, 431);
}

static void a_field_may_fill_its_limit_and_not_pass_it(void **state)
{
    (void)state;
    struct lun_http_limits limits = { .line = 64, .header = 64, .head = 1000, .headers = 5 };
    struct lun_buf fits = repeated(GET "b: ", 'x', 64 - 5, "\r\n\r\n"), over = repeated(GET "b: ", 'x', 65 - 5, "\r\n\r\n");
    struct lun_buf endless = repeated(GET "b: ", 'x', 500, ""), name = repeated(GET, 'x', 500, ": b\r\n\r\n");
    expect_status(&fits, &limits, 0);
    expect_status(&over, &limits, 431);
    expect_status(&endless, &limits, 431);
    expect_status(&name, &limits, 431);
}

static void a_head_may_fill_its_limit_and_not_pass_it(void **state)
{
    (void)state;
    struct lun_buf b = repeated(GET "b: ", 'x', 10, "\r\nc: d\r\n\r\n");
    struct lun_http_limits limits = { .line = 64, .header = 64, .head = b.n, .headers = 5 };
    struct got fits = feed(b.at, b.n, NULL, 0, &limits);
    assert_int_equal(fits.status, 0);
    lun_buf_free(&fits.text);
    for (limits.head = 1; limits.head < b.n; limits.head++) {
        struct got over = feed(b.at, b.n, NULL, 0, &limits);
        assert_int_equal(over.status, 431);
        check_cuts(b.at, b.n, &over, &limits);
    }
    lun_buf_free(&b);
}

static void as_many_fields_as_allowed_and_not_one_more(void **state)
{
    (void)state;
    for (int n = 99; n <= 101; n++) {
        struct lun_buf b = {0};
        lun_buf_puts(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < n; i++) lun_buf_printf(&b, "h%d: v\r\n", i);
        lun_buf_puts(&b, "\r\n");
        struct got g = feed(b.at, b.n, NULL, 0, NULL);
        assert_int_equal(g.status, n <= 100 ? 0 : 431);
        lun_buf_free(&g.text);
        lun_buf_free(&b);
    }
}

static void the_usual_limits_are_8_16_and_64_KiB(void **state)
{
    (void)state;
    struct lun_buf line = repeated("GET /", 'x', (8 << 10) - 16, " HTTP/1.1\r\nHost: a\r\n\r\n");
    struct lun_buf longer = repeated("GET /", 'x', (8 << 10) - 15, " HTTP/1.1\r\nHost: a\r\n\r\n");
    struct lun_buf field = repeated(GET "b: ", 'x', (16 << 10) - 5, "\r\n\r\n"), wider = repeated(GET "b: ", 'x', (16 << 10) - 4, "\r\n\r\n");
    struct lun_buf head = repeated(GET, 'x', 0, "");
    for (int i = 0; i < 5; i++) {
        struct lun_buf more = repeated("b: ", 'x', 15000, "\r\n");
        lun_buf_add(&head, more.at, more.n);
        lun_buf_free(&more);
    }
    lun_buf_puts(&head, "\r\n");
    expect_status(&line, NULL, 0);
    expect_status(&longer, NULL, 431);
    expect_status(&field, NULL, 0);
    expect_status(&wider, NULL, 431);
    expect_status(&head, NULL, 431);
}

static void a_mistake_before_the_limit_is_a_mistake_and_one_behind_it_is_not_seen(void **state)
{
    (void)state;
    struct lun_http_limits limits = { .line = 64, .header = 64, .head = 1000, .headers = 5 };
    struct lun_buf before = repeated(GET "b: \a", 'x', 100, "\r\n\r\n"), behind = repeated(GET "b: ", 'x', 100, "\a\r\n\r\n");
    expect_status(&before, &limits, 400);
    expect_status(&behind, &limits, 431);
}

static void a_long_head_byte_by_byte_is_looked_at_once(void **state)
{
    (void)state;
    struct lun_buf b = repeated(GET, 'x', 0, "");
    while (b.n < 60000) lun_buf_puts(&b, "x-filler: 0123456789012345678901234567890123456789012345678901234567890123456789"
                                     "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                                     "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                                     "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                                     "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                                     "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                                     "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n");
    lun_buf_puts(&b, "\r\n");
    struct lun_http_reader r = {0};
    size_t used, steps = 0;
    for (size_t n = 0; n < b.n; n++) {
        size_t seen = r.seen;
        assert_int_equal(lun_http_read(&r, b.at, n, NULL, &used), LUN_HTTP_MORE);
        assert_true(r.seen >= seen && r.seen + 1 >= n);
        steps += r.seen - seen;
    }
    assert_true(steps <= b.n);
    assert_int_equal(lun_http_read(&r, b.at, b.n, NULL, &used), LUN_HTTP_DONE);
    assert_int_equal(used, b.n);
    lun_http_free(&r);
    lun_buf_free(&b);
}

/* ---- the reader, finding, helpers ---- */

static void one_reader_reads_request_after_request(void **state)
{
    (void)state;
    const char *bytes = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\nTE: trailers\r\n\r\n" "\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    struct lun_http_reader r = {0};
    size_t used;
    assert_int_equal(lun_http_read(&r, bytes, strlen(bytes), NULL, &used), LUN_HTTP_DONE);
    assert_true(lun_slice_is(r.request.path, "/1"));
    assert_false(r.request.keep_alive);
    bytes += used;
    lun_http_reset(&r);
    assert_int_equal(lun_http_read(&r, bytes, strlen(bytes), NULL, &used), LUN_HTTP_DONE);
    struct lun_buf t = {0};
    describe(&t, &r.request);
    assert_string_equal(lun_buf_text(&t), "GET /2 ? @b 1.1 none keep");
    lun_buf_free(&t);
    lun_http_free(&r);
}

static void slices_lie_in_the_bytes_given(void **state)
{
    (void)state;
    const char bytes[] = "GET /a?b HTTP/1.1\r\nHost: c\r\nX-D: e\r\n\r\n";
    struct lun_http_reader r = {0};
    size_t used;
    assert_int_equal(lun_http_read(&r, bytes, sizeof bytes - 1, NULL, &used), LUN_HTTP_DONE);
    assert_ptr_equal(r.request.method.at, bytes);
    assert_ptr_equal(r.request.path.at, bytes + 4);
    assert_ptr_equal(r.request.query.at, bytes + 7);
    assert_ptr_equal(r.request.host.at, strstr(bytes, "c\r"));
    assert_ptr_equal(r.request.headers[1].value.at, strstr(bytes, "e\r"));
    lun_http_free(&r);
}

static void a_field_is_found_in_any_letters_the_first_of_equal_ones(void **state)
{
    (void)state;
    const char bytes[] = GET "X-B: 1\r\nx-b: 2\r\nx-bb: 3\r\n\r\n";
    struct lun_http_reader r = {0};
    size_t used;
    assert_int_equal(lun_http_read(&r, bytes, sizeof bytes - 1, NULL, &used), LUN_HTTP_DONE);
    assert_true(lun_slice_is(*lun_http_find(&r.request, "x-B"), "1"));
    assert_true(lun_slice_is(*lun_http_find(&r.request, "X-BB"), "3"));
    assert_null(lun_http_find(&r.request, "x-"));
    assert_null(lun_http_find(&r.request, ""));
    lun_http_free(&r);
}

static void unescaped(const char *raw, const char *want)
{
    char out[64];
    size_t n;
    bool good = lun_http_unescape((struct lun_slice){ raw, strlen(raw) }, out, &n);
    assert_int_equal(good, want != NULL);
    if (want) { assert_string_equal(out, want); assert_int_equal(n, strlen(want)); }
}

static void percent_encoding_is_undone_once_and_strictly(void **state)
{
    (void)state;
    unescaped("", "");
    unescaped("gpt-4%2E1", "gpt-4.1");
    unescaped("a%2fb%2Fc+d", "a/b/c+d");
    unescaped("%2541", "%41");
    unescaped("%C3%A9", "\xc3\xa9");
    unescaped("%00", NULL);
    unescaped("%", NULL);
    unescaped("%4", NULL);
    unescaped("%zz", NULL);
}

static void statuses_have_their_phrases(void **state)
{
    (void)state;
    assert_string_equal(lun_http_reason(200), "OK");
    assert_string_equal(lun_http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(lun_http_reason(799), "Status");
}

static void tokens_and_values_are_told_from_others(void **state)
{
    (void)state;
    assert_true(lun_http_is_token("x-a", 3));
    assert_false(lun_http_is_token("", 0));
    assert_false(lun_http_is_token("x a", 3));
    assert_false(lun_http_is_token("x\r\n", 3));
    assert_true(lun_http_is_value("", 0));
    assert_true(lun_http_is_value("a\tb \xff", 5));
    for (int c = 0; c < 256; c++) {
        char long_value[40];
        memset(long_value, 'x', sizeof long_value);
        for (size_t at = 0; at < sizeof long_value; at += 13) {
            long_value[at] = (char)c;
            assert_int_equal(lun_http_is_value(long_value, sizeof long_value), (c >= ' ' && c != 0x7f) || c == '\t');
            long_value[at] = 'x';
        }
    }
}

static void every_byte_is_told_at_every_place_of_every_length(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 40; n++)
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                char *text = test_malloc(n);
                memset(text, 'x', n);
                text[at] = (char)c;
                assert_int_equal(lun_http_is_token(text, n), c && (isalnum(c) || strchr("!#$%&'*+-.^_`|~", c)));
                assert_int_equal(lun_http_is_value(text, n), (c >= ' ' && c != 0x7f) || c == '\t');
                test_free(text);
            }
}

/* ---- chunks ---- */

struct chunk_case { const char *name, *bytes; size_t n; int status; const char *want; size_t used; };

#define CHUNKS(name, bytes, want)   { name, bytes, sizeof bytes - 1, 0, want, sizeof bytes - 1 }
#define NEXT(name, bytes, more, want) { name, bytes more, sizeof bytes more - 1, 0, want, sizeof bytes - 1 }
#define WRONG(name, bytes)          { name, bytes, sizeof bytes - 1, 400, NULL, 0 }
#define PART(name, bytes, want)     { name, bytes, sizeof bytes - 1, -1, want, sizeof bytes - 1 }
#define END "0\r\n\r\n"

static const struct chunk_case chunks[] = {
    CHUNKS("one chunk is read", "5\r\nhello\r\n" END, "hello"),
    CHUNKS("no chunk is an empty body", END, ""),
    CHUNKS("chunks are joined", "5\r\nhello\r\n6\r\n world\r\n" END, "hello world"),
    CHUNKS("sizes are hex in both cases", "a\r\n0123456789\r\nB\r\n01234567890\r\n" END, "012345678901234567890"),
    CHUNKS("sizes may begin with noughts", "0005\r\nhello\r\n000\r\n\r\n", "hello"),
    CHUNKS("a size may have sixteen digits", "0000000000000005\r\nhello\r\n" END, "hello"),
    CHUNKS("data may look like chunks", "5\r\n0\r\n\r\n\r\n" END, "0\r\n\r\n"),
    CHUNKS("extensions are dropped", "5;a\r\nhello\r\n" END, "hello"),
    CHUNKS("extensions may have values", "5;a=b;c=d\r\nhello\r\n0;e\r\n\r\n", "hello"),
    CHUNKS("extensions may have quoted values", "5;a=\"b; \\\"c\\\" d\";e\r\nhello\r\n" END, "hello"),
    CHUNKS("an extension's quoted value may be empty", "5;a=\"\"\r\nhello\r\n" END, "hello"),
    CHUNKS("trailers are dropped", "5\r\nhello\r\n0\r\nX-A: b\r\nx-c:\r\n\r\n", "hello"),
    CHUNKS("a trailer may have a long name", "0\r\nx-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxyz: b\r\n\r\n", ""),
    CHUNKS("a trailer that begins like a forbidden one is another", "0\r\nhosts: a\r\nhos: b\r\ncontent-length-x: 5\r\n\r\n", ""),
    NEXT("what follows is the next request's", "1\r\na\r\n" END, "GET / HTTP/1.1\r\n\r\n", "a"),
    NEXT("a line end behind the last one is the next request's", END, "\r\n", ""),
    PART("a size alone is not whole", "5", ""),
    PART("half a chunk is not whole", "5\r\nhel", "hel"),
    PART("a last chunk without its empty line is not whole", "5\r\nhello\r\n0\r\n", "hello"),
    PART("the last CR is not the end", "0\r\n\r", ""),
    WRONG("no size", "\r\nhello\r\n"),
    WRONG("no size, as if it were nought", "\r\n\r\n"),
    WRONG("an extension without a size, as if it were nought", ";a\r\n\r\n"),
    WRONG("data with another byte for its CR", "5\r\nhelloX\n" END),
    WRONG("an extension without a size", ";a\r\nhello\r\n" END),
    WRONG("a size with a plus", "+5\r\nhello\r\n" END),
    WRONG("a size with a minus", "-5\r\nhello\r\n" END),
    WRONG("a size with 0x", "0x5\r\nhello\r\n" END),
    WRONG("a size with an underscore", "0_5\r\nhello\r\n" END),
    WRONG("a size with a letter past f", "g\r\nhello\r\n" END),
    WRONG("a size with h behind it", "5h\r\nhello\r\n" END),
    WRONG("a blank before a size", " 5\r\nhello\r\n" END),
    WRONG("a blank behind a size", "5 \r\nhello\r\n" END),
    WRONG("a tab behind a size", "5\t\r\nhello\r\n" END),
    WRONG("a blank before an extension", "5 ;a\r\nhello\r\n" END),
    WRONG("a blank in an extension", "5;a b\r\nhello\r\n" END),
    WRONG("a blank before an extension's name", "5; a\r\nhello\r\n" END),
    WRONG("a size with a point", "5.0\r\nhello\r\n" END),
    WRONG("a size of seventeen digits", "00000000000000005\r\nhello\r\n" END),
    WRONG("a size of 2^64", "10000000000000000\r\nhello\r\n" END),
    WRONG("the largest size of 64 bits", "ffffffffffffffff\r\nhello\r\n" END),
    WRONG("a size of 2^60", "1000000000000000\r\nhello\r\n" END),
    WRONG("a size that ends with LF alone", "5\nhello\r\n" END),
    WRONG("a size that ends with CR alone", "5\rhello\r\n" END),
    WRONG("a size with two CR", "5\r\r\nhello\r\n" END),
    WRONG("CR before an extension", "2\r;a\r\n02\r\n" END),
    WRONG("an extension that ends with LF alone", "5;a\nhello\r\n" END),
    WRONG("an extension with CR inside", "5;a\rb\r\nhello\r\n" END),
    WRONG("an extension without a name", "5;\r\nhello\r\n" END),
    WRONG("an extension without a name before the next", "5;;a\r\nhello\r\n" END),
    WRONG("an extension with an empty value", "5;a=\r\nhello\r\n" END),
    WRONG("an extension with two values", "5;a=b=c\r\nhello\r\n" END),
    WRONG("an extension with letters behind the quotes", "5;a=\"b\"c\r\nhello\r\n" END),
    WRONG("an extension with quotes left open", "5;a=\"b\r\nhello\r\n" END),
    WRONG("an extension with NUL", "5;a\0\r\nhello\r\n" END),
    WRONG("an extension with NUL in quotes", "5;a=\"\0\"\r\nhello\r\n" END),
    WRONG("an extension with LF in quotes", "5;a=\"\n\"\r\nhello\r\n" END),
    WRONG("an escaped CR in quotes", "5;a=\"\\\r\n\"\r\nhello\r\n" END),
    WRONG("data longer than its size", "5\r\nhello!\r\n" END),
    WRONG("data shorter than its size", "5\r\nhell\r\n" END "0\r\n"),
    WRONG("data without a line end", "5\r\nhello5\r\nhello\r\n" END),
    WRONG("data that ends with LF alone", "5\r\nhello\n" END),
    WRONG("data that ends with CR alone", "5\r\nhello\r" END),
    WRONG("an end that ends with LF alone", "0\r\n\n"),
    WRONG("an end with something behind CR", "0\r\n\rX"),
    WRONG("a trailer Content-Length", "0\r\nContent-Length: 5\r\n\r\n"),
    WRONG("a trailer Transfer-Encoding", "0\r\ntransfer-encoding: chunked\r\n\r\n"),
    WRONG("a trailer Host", "0\r\nHOST: a\r\n\r\n"),
    WRONG("a trailer Authorization", "0\r\nAuthorization: b\r\n\r\n"),
    WRONG("a trailer x-api-key", "0\r\nX-Api-Key: b\r\n\r\n"),
    WRONG("a trailer Cookie", "0\r\nCookie: b\r\n\r\n"),
    WRONG("a trailer Content-Type", "0\r\nX-A: b\r\nContent-Type: b\r\n\r\n"),
    WRONG("a trailer Trailer", "0\r\nTrailer: b\r\n\r\n"),
    WRONG("a trailer with the longest forbidden name", "0\r\nproxy-authorization: b\r\n\r\n"),
    WRONG("a trailer without a colon", "0\r\nb\r\n\r\n"),
    WRONG("a trailer without a name", "0\r\n: b\r\n\r\n"),
    WRONG("a trailer with a blank before the colon", "0\r\nb : c\r\n\r\n"),
    WRONG("a folded trailer", "0\r\nb: c\r\n d\r\n\r\n"),
    WRONG("a trailer that begins with a blank", "0\r\n b: c\r\n\r\n"),
    WRONG("a trailer that ends with LF alone", "0\r\nb: c\n\r\n"),
    WRONG("a trailer with CR alone", "0\r\nb: c\rd\r\n\r\n"),
    WRONG("a trailer with NUL", "0\r\nb: \0\r\n\r\n"),
    WRONG("a trailer with a byte above 127 in its name", "0\r\n\xc3\xa9: c\r\n\r\n"),
    WRONG("a request line for a trailer", "0\r\nGET / HTTP/1.1\r\n\r\n"),
};

static struct got decode(const char *bytes, size_t n, const size_t *cuts, size_t n_cuts)
{
    struct lun_chunks c = {0};
    struct got g = { .status = -1 };
    size_t from = 0;
    for (size_t i = 0; i <= n_cuts && g.status < 0; i++) {
        size_t to = i < n_cuts ? cuts[i] : n, data, used;
        char *copy = lun_memdup(bytes + from, to - from);
        enum lun_http_result got = lun_chunks_decode(&c, copy, to - from, &data, &used);
        if (got == LUN_HTTP_BAD) { g.status = c.status; assert_non_null(c.why); assert_int_equal(data, 0); }
        else assert_true(data <= used && used <= to - from);
        if (got == LUN_HTTP_MORE) assert_int_equal(used, to - from);
        if (got == LUN_HTTP_DONE) g.status = 0;
        lun_buf_add(&g.text, copy, data);
        g.used += used;
        from = to;
        free(copy);
    }
    if (g.status > 0) { g.used = 0; g.text.n = 0; }
    return g;
}

static void check_chunk_cuts(const char *bytes, size_t n, const struct got *whole)
{
    size_t *all = lun_alloc((n + 1) * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = i;
        struct got two = decode(bytes, n, &i, 1);
        same(whole, &two, i);
    }
    struct got single = decode(bytes, n, all, n);
    same(whole, &single, n);
    free(all);
}

static void chunk_case(void **state)
{
    const struct chunk_case *c = *state;
    struct got whole = decode(c->bytes, c->n, NULL, 0);
    assert_int_equal(whole.status, c->status);
    if (c->want) assert_string_equal(lun_buf_text(&whole.text), c->want);
    assert_int_equal(whole.used, c->used);
    check_chunk_cuts(c->bytes, c->n, &whole);
    lun_buf_free(&whole.text);
}

static void decode_status(struct lun_buf *b, int status)
{
    struct got whole = decode(b->at, b->n, NULL, 0);
    assert_int_equal(whole.status, status);
    lun_buf_free(&whole.text);
    lun_buf_free(b);
}

static void extensions_of_one_body_have_a_limit(void **state)
{
    (void)state;
    struct lun_buf fits = repeated("5;", 'x', LUN_CHUNK_EXTENSIONS - 1, "\r\nhello\r\n" END), over = repeated("5;", 'x', LUN_CHUNK_EXTENSIONS, "\r\nhello\r\n" END);
    struct lun_buf many = {0};
    for (int i = 0; i < 500; i++) lun_buf_puts(&many, "1;abcdefghi\r\na\r\n");
    decode_status(&fits, 0);
    decode_status(&over, 400);
    decode_status(&many, 400);
}

static void trailers_have_a_limit(void **state)
{
    (void)state;
    struct lun_buf one = repeated("0\r\nb: ", 'x', LUN_CHUNK_TRAILERS, "\r\n\r\n"), many = {0};
    lun_buf_puts(&many, "0\r\n");
    for (int i = 0; i < 2000; i++) lun_buf_puts(&many, "b: c\r\n");
    decode_status(&one, 431);
    decode_status(&many, 431);
}

static void chunk_lines_are_read_back(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, 9, 10, 15, 16, 255, 256, 65535, 65536, 1000003 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char line[LUN_CHUNK_LINE + 1] = "";
        size_t n = lun_chunk_line(line, sizes[i]);
        assert_true(n <= LUN_CHUNK_LINE);
        assert_int_equal(strtoul(line, NULL, 16), sizes[i]);
        assert_string_equal(line + n - 2, "\r\n");
    }
    char line[LUN_CHUNK_LINE];
    assert_true(lun_chunk_line(line, SIZE_MAX) <= LUN_CHUNK_LINE);
}

/* ---- mutations ---- */

static uint64_t seed;
static size_t below(size_t n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return n ? (size_t)(seed % n) : 0;
}

static const char *const crumbs[] = { "\r\n", "\n", "\r", "\0", " ", "\t", ":", ",", ";", "0", "5", "Host: a\r\n", "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n", "HTTP/1.1", "%", "#", "?", "chunked", "\x80", "\x7f", "Connection: close\r\n", "0\r\n\r\n" };

static void mutate(struct lun_buf *b)
{
    for (size_t times = 1 + below(4); times; times--) {
        size_t at = below(b->n), kind = below(4);
        if (kind == 0 && b->n) b->at[at] = (char)below(256);
        else if (kind == 1 && b->n) { memmove(b->at + at, b->at + at + 1, b->n - at - 1); b->n--; }
        else {
            const char *crumb = crumbs[below(sizeof crumbs / sizeof *crumbs)];
            size_t n = *crumb ? strlen(crumb) : 1;
            lun_buf_space(b, n);
            memmove(b->at + at + n, b->at + at, b->n - at);
            memcpy(b->at + at, crumb, n);
            b->n += n;
        }
    }
}

/* What holds for every head that was accepted, looked at by simpler means. */
static void must_be_sound(const char *bytes, size_t n)
{
    int lengths = 0, codings = 0, hosts = 0;
    size_t skip = n > 2 && !memcmp(bytes, "\r\n", 2) ? 2 : 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        assert_true(c >= ' ' || c == '\t' || c == '\r' || c == '\n');
        if (c == '\r') assert_true(i + 1 < n && bytes[i + 1] == '\n');
        if (c == '\n') assert_true(i && bytes[i - 1] == '\r');
    }
    const char *line = memmem(bytes + skip, n - skip, "\r\n", 2), *end = bytes + n - 2;
    while (line && line + 2 < end) {
        line += 2;
        const char *colon = memchr(line, ':', (size_t)(end - line));
        assert_non_null(colon);
        assert_true(lun_http_is_token(line, (size_t)(colon - line)));
        struct lun_slice name = { line, (size_t)(colon - line) };
        lengths += lun_slice_is_like(name, "content-length");
        codings += lun_slice_is_like(name, "transfer-encoding");
        hosts += lun_slice_is_like(name, "host");
        line = memmem(line, (size_t)(bytes + n - line), "\r\n", 2);
    }
    assert_true(lengths + codings <= 1 && hosts <= 1);
}

static void whatever_is_done_to_a_head_the_cuts_do_not_matter_and_what_passes_is_sound(void **state)
{
    (void)state;
    size_t passed = 0;
    seed = 0x9e3779b97f4a7c15;
    for (int round = 0; round < 30000; round++) {
        const struct head_case *c = &heads[below(sizeof heads / sizeof *heads)];
        struct lun_buf b = {0};
        lun_buf_add(&b, c->bytes, c->n);
        mutate(&b);
        size_t cuts[3] = { below(b.n + 1), 0, 0 };
        cuts[1] = cuts[0] + below(b.n + 1 - cuts[0]);
        cuts[2] = cuts[1] + below(b.n + 1 - cuts[1]);
        struct got whole = feed(b.at, b.n, NULL, 0, NULL), cut = feed(b.at, b.n, cuts, 3, NULL);
        same(&whole, &cut, cuts[0]);
        if (whole.status == 0) { must_be_sound(b.at, whole.used); passed++; }
        lun_buf_free(&whole.text);
        lun_buf_free(&b);
    }
    assert_true(passed > 1000);
}

static void whatever_is_done_to_chunks_the_cuts_do_not_matter(void **state)
{
    (void)state;
    seed = 0xda942042e4dd58b5;
    for (int round = 0; round < 30000; round++) {
        const struct chunk_case *c = &chunks[below(sizeof chunks / sizeof *chunks)];
        struct lun_buf b = {0};
        lun_buf_add(&b, c->bytes, c->n);
        mutate(&b);
        size_t cuts[2] = { below(b.n + 1), 0 };
        cuts[1] = cuts[0] + below(b.n + 1 - cuts[0]);
        struct got whole = decode(b.at, b.n, NULL, 0), cut = decode(b.at, b.n, cuts, 2);
        same(&whole, &cut, cuts[0]);
        lun_buf_free(&whole.text);
        lun_buf_free(&b);
    }
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(a_request_line_may_fill_its_limit_and_not_pass_it),
        cmocka_unit_test(a_field_may_fill_its_limit_and_not_pass_it),
        cmocka_unit_test(a_head_may_fill_its_limit_and_not_pass_it),
        cmocka_unit_test(as_many_fields_as_allowed_and_not_one_more),
        cmocka_unit_test(the_usual_limits_are_8_16_and_64_KiB),
        cmocka_unit_test(a_mistake_before_the_limit_is_a_mistake_and_one_behind_it_is_not_seen),
        cmocka_unit_test(a_long_head_byte_by_byte_is_looked_at_once),
        cmocka_unit_test(one_reader_reads_request_after_request),
        cmocka_unit_test(slices_lie_in_the_bytes_given),
        cmocka_unit_test(a_field_is_found_in_any_letters_the_first_of_equal_ones),
        cmocka_unit_test(percent_encoding_is_undone_once_and_strictly),
        cmocka_unit_test(statuses_have_their_phrases),
        cmocka_unit_test(tokens_and_values_are_told_from_others),
        cmocka_unit_test(every_byte_is_told_at_every_place_of_every_length),
        cmocka_unit_test(extensions_of_one_body_have_a_limit),
        cmocka_unit_test(trailers_have_a_limit),
        cmocka_unit_test(chunk_lines_are_read_back),
        cmocka_unit_test(whatever_is_done_to_a_head_the_cuts_do_not_matter_and_what_passes_is_sound),
        cmocka_unit_test(whatever_is_done_to_chunks_the_cuts_do_not_matter),
    };
    enum { HEADS = sizeof heads / sizeof *heads, CHUNKED = sizeof chunks / sizeof *chunks, OTHERS = sizeof others / sizeof *others };
    static struct CMUnitTest all[HEADS + CHUNKED + OTHERS];
    static char names[HEADS + CHUNKED][120];
    size_t n = 0;
    for (size_t i = 0; i < HEADS; i++, n++) {
        snprintf(names[n], sizeof names[n], "head: %s%s", heads[i].name, heads[i].status == 400 ? " is refused" : "");
        all[n] = (struct CMUnitTest){ names[n], head_case, NULL, NULL, (void *)(uintptr_t)&heads[i] };
    }
    for (size_t i = 0; i < CHUNKED; i++, n++) {
        snprintf(names[n], sizeof names[n], "chunks: %s%s", chunks[i].name, chunks[i].status == 400 ? " is refused" : "");
        all[n] = (struct CMUnitTest){ names[n], chunk_case, NULL, NULL, (void *)(uintptr_t)&chunks[i] };
    }
    memcpy(all + n, others, sizeof others);
    return _cmocka_run_group_tests("http", all, n + OTHERS, NULL, NULL);
}
