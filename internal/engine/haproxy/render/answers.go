package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

// problem is an answer that says what is wrong, as the embedded engine gives it.
type problem struct {
	status int
	code   string
	text   string // a log format
	retry  bool   // with Retry-After
	allow  bool   // with Allow
	sent   int    // the status that the client gets in place of status; zero for the same
	closes bool   // where the next request would begin is read in two ways
}

// problems are the answers that do not depend on a route.
func problems() []problem {
	return []problem{
		{status: 405, code: "method", text: "method %[method] is not served", allow: true, closes: true},
		{status: 400, code: "bad-length", text: "the transfer coding of the request is not chunked alone", closes: true},
		{status: 400, code: "bad-header", text: "a header of the request has a control character", closes: true},
		{status: 417, code: "expectation", text: "the expectation of the request is not known", closes: true},
		{status: 505, code: "version", text: "this version of HTTP is not served"},
		{status: 431, code: "too-many-headers", text: "the request has too many header fields"},
		{status: 400, code: "bad-host", text: "the host of the request is missing or not valid"},
		{status: 400, code: "bad-path", text: "%[var(txn.why)]"},
		{status: 400, code: "underscore-header", text: "a header with an underscore would be taken for an identity header"},
		{status: 500, code: "internal", text: "internal error"},
		{status: 503, code: "route-refused", text: "the route is known but may not be served; see the problems of the service"},
		{status: 503, code: "no-backend", text: "the route has no backend", retry: true},
		{status: 503, code: "starting", text: "starting: what there is to serve is not known yet", retry: true},
		{status: 404, code: "no-route", text: "no route on host %[var(txn.host)] takes this request"},
		{status: 404, code: "unknown-host", text: "no route for host %[var(txn.host)]"},
	}
}

// hostProblems are those of hosts that demand something of handshakes.
func (r *renderer) hostProblems() []problem {
	if r.hostRules == nil {
		return nil
	}
	return []problem{{status: 421, code: "misdirected", text: "the connection was made for another host, with other demands on TLS"}, noCertificate}
}

var noCertificate = problem{status: 403, code: "certificate-required", text: "a client certificate is needed"}

func problemOf(code string) problem {
	all := problems()
	return all[slices.IndexFunc(all, func(p problem) bool { return p.code == code })]
}

func (p problem) rule(condition string) string { return p.always() + " if " + condition }

// always is the rule without a condition.
func (p problem) always() string {
	return fmt.Sprintf("http-request return status %d %s", p.status, p.payload())
}

// payload is the body and the headers of the answer, as arguments of a rule. For
// programs and browsers the type is changed on the way out, see writeResponses. What is put in
// at runtime needs no escapes in JSON or HTML: hosts, methods and reasons have no quotes.
func (p problem) payload() string {
	inJSON, err := json.Marshal(p.text)
	if err != nil {
		inJSON = []byte(`""`)
	}
	either := func(json, text string) string { return "%[var(txn.json,0),iif('" + json + "','" + text + "')]" }
	body := either(`{"code":"`+p.code+`","error":"`, errorpage.Said) + string(inJSON[1:len(inJSON)-1]) + either(`"}`, "")
	sent := cmp.Or(p.sent, p.status)
	// Without its variable each of them comes to nothing: see writeReading.
	front := "%[var(txn.html),concat(," + varPage + ",'" + errorpage.Title(sent, p.code) + "')]"
	back := "%[var(txn.html),concat('" + errorpage.Foot + "',txn.id,'" + strings.TrimSuffix(errorpage.Tail, "\n") + "')]"
	set := func(converter string) string {
		return "%[var(txn.set),concat('|',txn.host,'|'),concat('',txn.id),lua." + converter + "(" + itoa(sent) + ")]"
	}
	return p.fields("text/plain; charset=utf-8", front+set("fairway_front")+body+back+set("fairway_back")+"\n")
}

// varPage holds the beginning of pages.
const varPage = "proc.page"

// fields are a body, as a log format, with its type and the headers of the answer.
func (p problem) fields(contentType, body string) string {
	out := fmt.Sprintf("content-type %s lf-string %s", quote.Word(contentType), quote.Word(body))
	out += " hdr X-Fairway-Error " + p.code + " hdr Cache-Control no-store hdr X-Content-Type-Options nosniff"
	if p.retry {
		out += " hdr Retry-After 2"
	}
	if p.allow {
		out += " hdr Allow " + quote.Word(route.AllowedMethods)
	}
	if p.closes {
		out += " hdr Connection close"
	}
	return out
}

func (r *renderer) writeAnswers(t *text) {
	t.section("backend %s from %s", answersSection, httpSection)
	r.writeNotFound(t)
	t.lastHop("{ var(txn.err) -m str last-hop }")
	t.line("http-request set-var(txn.err) str(bad-host) if { var(txn.err) -m str https } !{ req.fhdr(host) -m len gt 0 }")
	for _, n := range []int{301, 302, 303, 307, 308} {
		t.line("http-request return status %d hdr Location %s if { var(txn.err) -m str https } { var(txn.https),field(1,.) -m str %d }", n, locationHTTPS, n)
	}
	t.line("http-request return status 301 hdr Location %s if { var(txn.err) -m str https } { method GET HEAD }", locationHTTPS)
	t.line("http-request return status 308 hdr Location %s if { var(txn.err) -m str https }", locationHTTPS)
	for _, p := range slices.Concat(problems(), r.hostProblems()) {
		t.line("%s", p.rule("{ var(txn.err) -m str "+p.code+" }"))
	}
	t.line("%s", problemOf("internal").always())
}

// lastHop answers a request of OPTIONS that may go no further (RFC 9110, 7.6.2).
func (t *text) lastHop(condition string) {
	t.line("http-request return status 204 hdr Allow %s if %s", quote.Word(route.AllowedMethods), condition)
}

// locationHTTPS is the same URL with https.
const locationHTTPS = `"https://%[req.fhdr(host),regsub(:[0-9]*\$,)]%[var(txn.https),field(2,.)]%[pathq,regsub(^/+,/)]"`

// writeNotFound writes the rules that distinguish an unknown host from an unknown path.
func (r *renderer) writeNotFound(t *text) {
	hosts := r.o.mapPath(mapHosts)
	none := "!{ var(txn.err) -m found }"
	t.line("http-request set-var(txn.err,ifnotexists) str(starting) if { str(starting),map_str(%s) -m found }", r.o.mapPath(mapSettings))
	known := func(key string) {
		t.line("http-request set-var(txn.err) str(no-route) if %s { %s,map_str(%s) -m found }", none, key, hosts)
	}
	known("var(txn.host)")
	known(parentExpression)
	for _, n := range r.features.Deep {
		known(writeDeep(t, "http-request", n, " if "+none))
	}
	known("str(*)")
	t.line("http-request set-var(txn.err,ifnotexists) str(unknown-host)")
}

func badGateway() problem {
	return problem{status: 502, code: "bad-gateway", text: "the endpoint broke off or answered nonsense"}
}

// writeErrors writes the bodies of HAProxy's own answers, but for those to what is no HTTP.
func writeErrors(t *text) {
	for _, p := range []problem{
		{status: 400, code: "bad-body", text: "the request body cannot be read"},
		{status: 408, code: "slow-body", text: "the request body came too slowly"},
		{status: 413, code: "body-too-large", text: "the request body is too large"},
		{status: 500, code: "internal", text: "internal error"},
		badGateway(),
		{status: 503, sent: 502, code: "unreachable", text: "no endpoint could be reached"},
		{status: 504, code: "timeout", text: "the endpoint did not answer in time"},
	} {
		t.line("http-error status %d %s", p.status, p.payload())
	}
}
