package render

import (
	"fmt"
	"strconv"
	"strings"
)

// text is a piece of configuration under way.
type text struct{ strings.Builder }

// section begins a section.
func (t *text) section(format string, args ...any) {
	t.WriteByte('\n')
	fmt.Fprintf(t, format, args...)
	t.WriteByte('\n')
}

// line adds a line to the section.
func (t *text) line(format string, args ...any) {
	t.WriteString("  ")
	fmt.Fprintf(t, format, args...)
	t.WriteByte('\n')
}

// note adds a comment.
func (t *text) note(format string, args ...any) {
	t.WriteString("  # " + comment(fmt.Sprintf(format, args...)) + "\n")
}

// requestSection is what all listeners for requests have in common.
const requestSection = "requests"

// Expressions for what is canonical at first sight; everything else goes the long
// way.
const (
	plainHost = `^(?=.{1,253}(?::|$))[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*+(?::[1-9][0-9]{0,3})?$`
	plainPath = `^(?:/(?![/.])[A-Za-z0-9._~!$&'()*+,;=:@-]*+)++$`
	// identityNames are the headers by which endpoints learn who sent a request to
	// where, in all spellings.
	identityNames = `^(?:forwarded|x[-_](?:real[-_]ip|request[-_]id|original[-_]url|rewrite[-_]url|forwarded[-_].*))$`
	// listedNames is a Connection header that lists more than the usual.
	listedNames = `^(?!(?:close|keep-alive|upgrade|te)$)`
	// lookalikeNames are those of them with an underscore.
	lookalikeNames = `^(?=.*_)(?:x[-_](?:real[-_]ip|request[-_]id|original[-_]url|rewrite[-_]url|forwarded[-_].*))$`
)

// writeRequests writes what happens to every request before it gets to a backend.
func (r *renderer) writeRequests(t *text) {
	t.section("defaults %s from base", requestSection)
	t.line("default_backend %s", answersSection)
	t.line("http-request set-var(txn.id) uuid()")
	t.line("http-request set-var(txn.json) bool(true) if { req.fhdr(accept) -m sub application/json } !{ req.fhdr(accept) -m sub text/ }")
	r.writeGuards(t)
	r.writeHopByHop(t)
	r.writeIdentity(t)
	r.writeLookups(t)
	r.writeKnobs(t)
	r.writeResponses(t)
}

// writeGuards writes what brings a request into its canonical form, or refuses it.
func (r *renderer) writeGuards(t *text) {
	t.note("guards: the host and path that decide are the ones that endpoints see")
	t.line("http-request set-var(txn.err) str(method) if { method CONNECT TRACE }")
	t.line("http-request set-var(txn.err) str(version) if !{ req.ver -m beg 1. } !{ fc_http_major 2 }")
	t.line("http-request set-var(txn.err) str(too-many-headers) if { req.fhdr_cnt gt %d }", r.o.MaxHeaders)
	t.line("http-request set-var(txn.host) req.fhdr(host),host_only if { req.fhdr(host) -m reg -- %s }", quoted(plainHost))
	t.line("http-request set-var(txn.path) path if { path -m reg -- %s }", quoted(plainPath))
	t.line("http-request lua.fairway_canonical if !{ var(txn.host) -m found } || !{ var(txn.path) -m found }")
	t.line("http-request set-var(txn.err) str(internal) if !{ var(txn.err) -m found } !{ var(txn.path) -m found }")
	t.line("http-request set-uri %%[pathq] if { url -m beg http } !{ var(txn.err) -m found }")
}

// writeIdentity writes what endpoints are told about the client.
func (r *renderer) writeIdentity(t *text) {
	t.note("identity: who sent the request, and to where")
	t.line("http-request set-var(txn.client) src")
	t.line("http-request set-var(txn.proto) var(sess.proto)")
	t.line("http-request set-var(txn.told) var(sess.proto)")
	t.line("http-request set-var(txn.xport) var(sess.port)")
	t.line("http-request set-var(txn.xport) req.fhdr(host),regsub(^.*:,) if { req.fhdr(host) -m reg -- %s }", quoted(`:[0-9]+$`))
	t.line("http-request set-var(txn.xhost) req.fhdr(host)")
	t.line("http-request del-header %s -m reg", quoted(lookalikeNames))
	t.line("http-request lua.fairway_identity if { var(sess.trusted) -m found }")
	t.line("http-request set-var(txn.err) str(internal) if { var(sess.trusted) -m found } !{ var(txn.believed) -m found }")
	t.line("http-request del-header %s -m reg if !{ var(sess.trusted) -m found }", quoted(identityNames))
	t.line("http-request set-header X-Forwarded-For %%[var(txn.chain)]%%[src]")
	t.line("http-request set-header X-Real-Ip %%[var(txn.client)]")
	t.line("http-request set-header X-Forwarded-Proto %%[var(txn.proto)]")
	t.line("http-request set-header X-Forwarded-Host %%[var(txn.xhost)]")
	t.line("http-request set-header X-Forwarded-Port %%[var(txn.xport)]")
	t.line("http-request set-header X-Request-Id %%[var(txn.id)]")
}

// writeHopByHop writes what keeps the headers of one connection on it.
func (r *renderer) writeHopByHop(t *text) {
	t.note("headers for one connection stay on it; WebSocket is the only upgrade")
	t.line("http-request lua.fairway_hop request if { req.fhdr(connection) -m reg -i -- %s }", quoted(listedNames))
	t.line("http-request set-var(txn.ws) bool(true) if { req.fhdr_cnt(upgrade) 1 } { req.fhdr(upgrade) -m str -i websocket } { req.hdr(connection) -m str -i upgrade } { method GET } !{ req.hdr_val(content-length) gt 0 } !{ req.fhdr(transfer-encoding) -m found } { fc_http_major 1 }")
	t.line("http-request set-var(txn.err) str(method) if { fc_http_major 2 } { req.fhdr(upgrade) -m found }")
	t.line("http-request del-header upgrade if !{ var(txn.ws) -m found }")
	t.line("http-request del-header connection if !{ var(txn.ws) -m found }")
	t.line("http-request set-header connection Upgrade if { var(txn.ws) -m found }")
	t.line("http-request del-header te unless { req.hdr(te) -m str -i trailers }")
	t.line("http-request set-header te trailers if { req.fhdr(te) -m found }")
	t.line("http-request del-header %s -m reg", quoted(`^(?:proxy|proxy-connection|proxy-authenticate|proxy-authorization|keep-alive|trailer|http2-settings)$`))
}

// lookups writes the search for the route of a request or of a connection.
type lookups struct {
	*renderer
	*text
	directive string
	// listener is in front of the host in a key for connections; empty for requests.
	listener string
	table    string // the expression that looks a key up
}

// writeLookups writes the search for the route of a request.
func (r *renderer) writeLookups(t *text) {
	t.note("the route")
	l := lookups{r, t, "http-request", "", "map_beg(" + r.o.mapPath(mapRoutes) + ")"}
	l.write()
	r.writeGuarded(t, "http-request", r.guards, mapGuarded)
	t.line("http-request set-var(%s) var(txn.r),field(%d,|) if { var(txn.r) -m found }", VarRoute, fieldToken)
}

// write looks at one kind of host after the other, most specific first.
func (l *lookups) write() {
	if l.features.Priorities {
		l.writeMixed()
		return
	}
	none := " if !{ var(txn.r) -m found }"
	l.find("r", "var(txn.host)", "")
	l.find("r", parentExpression, none)
	for _, n := range l.features.Deep {
		l.find("r", writeDeep(l.text, l.directive, n, none), none)
	}
	l.find("r", "str("+anyMark+")", none)
}

// find sets a variable to what the map has for a host.
func (l *lookups) find(name, host, condition string) {
	if l.listener == "" {
		l.line("%s set-var(txn.%s) %s,concat(,txn.path,>),%s%s", l.directive, name, host, l.table, condition)
		return
	}
	l.line("%s set-var(txn.name) %s%s", l.directive, host, condition)
	l.line("%s set-var(txn.%s) str(%s),concat(,txn.name,>),%s%s", l.directive, name, l.listener, l.table, condition)
}

// parentExpression is what stands for a wildcard in keys: all behind the first
// label, with its dot.
const parentExpression = "var(txn.host),regsub(^[^.]*,)"

// writeDeep writes what finds the last n labels of a host that has more of them,
// and returns the expression for the key.
func writeDeep(t *text, directive string, n int, condition string) string {
	t.line("%s unset-var(txn.deep)%s", directive, condition)
	if condition == "" {
		condition = " if"
	}
	t.line("%s set-var(txn.deep) var(txn.host),field(-1,.,%d)%s { var(txn.host),field(-%d,.) -m len gt 0 }", directive, n, condition, n+1)
	return "str(" + deepMark + "),concat(,txn.deep,)"
}

// writeMixed looks at all kinds of hosts, because a priority can make a less
// specific one win.
func (l *lookups) writeMixed() {
	next := func(host string) {
		l.line("%s unset-var(txn.c)", l.directive)
		l.find("c", host, "")
		l.line("%s set-var(txn.p) var(txn.r),field(%d,|)", l.directive, fieldPriority)
		l.line("%s set-var(txn.r) var(txn.c) if { var(txn.c) -m found } !{ var(txn.r) -m found }", l.directive)
		l.line("%s set-var(txn.r) var(txn.c) if { var(txn.c) -m found } { var(txn.c),field(%d,|),sub(txn.p) gt 0 }", l.directive, fieldPriority)
	}
	l.find("r", "var(txn.host)", "")
	next(parentExpression)
	for _, n := range l.features.Deep {
		next(writeDeep(l.text, l.directive, n, ""))
	}
	next("str(" + anyMark + ")")
}

// writeKnobs writes what the values in the map ask for.
func (r *renderer) writeKnobs(t *text) {
	t.note("what the route asks for beside its backend")
	more := "{ var(txn.r) -m sub |" + moreMark + "| }"
	set := func(name string, field int) {
		t.line("http-request set-var(txn.%s,ifnotempty) var(txn.r),field(%d,|) if %s", name, field, more)
	}
	t.line("http-request set-var(txn.more) bool(true) if %s", more)
	more = "{ var(txn.more) -m found }"
	set("https", fieldHTTPS)
	set("strip", fieldStrip)
	set("to", fieldTimeout)
	set("hold", fieldHold)
	set("tunnel", fieldTunnel)
	set("refused", fieldError)
	t.line("http-request set-var(txn.err,ifnotexists) var(txn.refused) if %s { var(txn.refused) -m found }", more)
	redirect := func(kind, condition string) {
		t.line("http-request set-var(txn.err,ifnotexists) str(https) if %s { var(txn.https),field(3,.) -m str %s } %s", more, kind, condition)
	}
	redirect("own", "!{ var(txn.proto) -m str https }")
	redirect("when", "{ var(txn.told) -m str http }")
	redirect("unless", "!{ var(txn.told) -m str https }")
	for n := 1; n <= maxStrip; n++ {
		condition := fmt.Sprintf("if %s !{ var(txn.err) -m found } { var(txn.strip) -m str %d }", more, n)
		t.line("http-request set-header X-Forwarded-Prefix /%%[path,field(2,/,%d)] %s", n, condition)
		t.line("http-request set-path /%%[path,field(%d,/,0)] %s", n+2, condition)
	}
}

// maxStrip is how many segments a shared section can take off a path.
const maxStrip = 8

// writeResponses writes what happens to every answer.
func (r *renderer) writeResponses(t *text) {
	t.note("answers")
	t.line("http-response return status 502 %s if { status 101 } !{ var(txn.ws) -m found }", badGateway().payload())
	t.line("http-response return status 502 %s if { status 101 } !{ res.fhdr(upgrade) -m str -i websocket }", badGateway().payload())
	t.line("http-response return status 502 %s if !{ status 101 200:999 }", badGateway().payload())
	t.line("http-response set-var(txn.answered) bool(true)")
	t.line("http-response lua.fairway_hop response if { res.fhdr(connection) -m reg -i -- %s }", quoted(listedNames))
	t.line("http-response del-header keep-alive")
	t.line("http-response del-header proxy-connection")
	t.line("http-after-response set-header X-Request-Id %%[var(txn.id)] if { var(txn.id) -m found }")
	t.line("http-after-response set-status 502 if { status 503 } !{ var(txn.answered) -m found } { res.hdr(x-fairway-error) -m str unreachable }")
	t.line("http-after-response set-var(%s) res.hdr(x-fairway-error) if !{ var(txn.answered) -m found }", VarCode)
	t.line("http-after-response set-header Content-Type application/json if { var(txn.json) -m found } !{ var(txn.answered) -m found } { res.hdr(x-fairway-error) -m found }")
}

// unless is text where the condition holds.
func unless(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}

func itoa(n int) string { return strconv.Itoa(n) }
