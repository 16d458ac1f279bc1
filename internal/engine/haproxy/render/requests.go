package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/haproxy/handshake"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

// text is a piece of configuration under way.
type text struct{ strings.Builder }

func (t *text) section(format string, args ...any) {
	t.WriteByte('\n')
	fmt.Fprintf(t, format, args...)
	t.WriteByte('\n')
}

func (t *text) line(format string, args ...any) {
	t.WriteString("  ")
	fmt.Fprintf(t, format, args...)
	t.WriteByte('\n')
}

// since adds a line for a HAProxy of the version, and for newer ones.
func (t *text) since(version, line string) {
	t.WriteString(".if version_atleast(" + version + ")\n  " + line + "\n.endif\n")
}

func (t *text) lines(lines []string) {
	for _, l := range lines {
		t.line("%s", l)
	}
}

func (t *text) note(format string, args ...any) {
	t.WriteString("  # " + quote.Comment(fmt.Sprintf(format, args...)) + "\n")
}

// requestSection is what all listeners for requests have in common.
const requestSection = "requests"

// What is usual in a request, as expressions. At all else fairway.lua looks.
const (
	// usualHost is a host in canonical form without a port, usualPath a path in
	// canonical form without encoding and parameters; usualTarget is both, with a border
	// between them that neither can have.
	usualHost   = `^(?=.{1,253}$)(?:[a-z0-9_-]{1,63}(?:\.(?!$)|$))++$`
	usualPath   = `^` + segments
	usualTarget = `^(?=[^/>]{1,253}>)(?:[a-z0-9_-]{1,63}(?:\.(?!>)|(?=>)))++>` + segments
	segments    = `(?:/(?![/.])[A-Za-z0-9._~!$&'()*+,=:@-]*+)++$`
	// unusualHeaders finds headers that say who sent the request, those of one connection,
	// unusual codings and expectations, lines with control characters, and too many lines.
	unusualHeaders = `(?m)^(?:forwarded|x[-_](?:forwarded|real[-_]ip|request[-_]id|original[-_]url|rewrite[-_]url)|` +
		`upgrade|http2-settings|keep-alive|trailer|proxy|max-forwards|connection: (?!(?i:close|keep-alive)\r)|te: (?!trailers\r)|` +
		`transfer-encoding: (?!chunked\r)|content-length: 0[0-9]|expect: (?!100-continue\r)|` + controlLine + `|\A(?:[^\n]*+\n){201})` // one more than maxHeaders
	// controlLine is the beginning of a line with a control character.
	controlLine = `[^\x00-\x08\x0a-\x1f\x7f]*+(?!\r\n)`
	// unusualAnswer finds headers of answers that are for one connection, lines with
	// control characters, and answers without a date.
	unusualAnswer = `(?m)^(?:connection|upgrade|proxy-(?:connection|auth)|` + controlLine + `|\A(?![\x00-\xff]*?^date:))`
)

// writeRequests writes what happens to every request before it gets to a backend.
func (r *renderer) writeRequests(t *text) {
	t.section("defaults %s from %s", requestSection, httpSection)
	t.line("default_backend %s", answersSection)
	t.line("option disable-h2-upgrade")
	r.writeReading(t)
	t.note("the route")
	l := r.lookupsOf(t, "txn.path", "r", "g", "")
	if l.features.Priorities {
		r.writeAsked(t)
		l.writeMixed()
	} else {
		l.find("r", "var(txn.host)")
		if len(r.requests.guarded) == 0 {
			r.writeReady(t, " !{ var(txn.accept) -m found }")
		}
		r.writeAsked(t)
		l.writeWider()
	}
	l.writeGuarded(r.requests.guarded, mapGuarded)
	r.writeReady(t, "")
	r.writeOther(t)
	r.writeKnobs(t)
	r.writeResponses(t)
}

// undemanded is the condition that no certificate is missing; empty where none can be.
func (r *renderer) undemanded() string {
	if r.hostRules == nil {
		return ""
	}
	return " " + handshake.NotDemanded
}

// writeReading writes how a request is read, by rules or by Lua: then host and path are
// canonical, headers of one connection and false identities are gone, true ones there.
func (r *renderer) writeReading(t *text) {
	trusting := slices.ContainsFunc(r.table.Listeners, func(l route.Listener) bool { return !l.TCP && len(l.TrustedProxies) > 0 })
	t.line("acl usual_target var(txn.host),concat(>,txn.path) -m reg -- %s", quote.Word(usualTarget))
	t.line("acl usual_version req.ver 1.1")
	t.line("acl usual_version fc_http_major 2")
	t.line("acl usual_form url -m beg /")
	t.line("acl usual_form fc_http_major 2") // its URLs are absolute
	t.line("acl odd req.hdrs -m reg -- %s", quote.Word(unusualHeaders))
	t.line("acl odd method CONNECT TRACE")
	if trusting {
		t.line("acl odd var(sess.trusted) -m found")
	}
	// A UUID for each request would cost as much as all headers together.
	t.line("http-request set-var(sess.requests) var(sess.requests),add(1)")
	t.line("http-request set-var(txn.id) var(sess.id),concat(-,sess.requests)")
	// Most accept nothing that matters here, see writeAsked.
	t.line("http-request set-var(txn.accept) bool(true) if { req.fhdr(accept) -m sub application/json text/html text/event-stream }")
	t.line("http-request set-var(txn.to) int(%d) if { method POST } { req.fhdr(content-type) -m beg application/grpc }", r.o.TunnelTimeout.Milliseconds())
	t.line("http-request set-var(txn.host) req.fhdr(host)")
	t.line("http-request set-var(txn.path) path")
	t.line("http-request set-var(txn.odd) bool(true) if !usual_target || !usual_version || !usual_form || odd")
	// A header with an underscore that would be taken for an identity header is deleted. From
	// who is not trusted Lua takes all of them, so that those of the rules may be there already.
	lua := "http-request lua.fairway_read delete %d if { var(txn.odd) -m found }"
	identity := [][2]string{
		{"X-Forwarded-For", "sess.client"},
		{"X-Real-Ip", "sess.client"},
		{"X-Forwarded-Proto", "sess.proto"},
		{"X-Forwarded-Host", "txn.host"},
		{"X-Forwarded-Port", "sess.port"},
	}
	usual := ""
	if trusting {
		t.line(lua, maxHeaders)
		usual = " if !{ var(txn.odd) -m found }"
	}
	for _, h := range identity {
		t.line("http-request add-header %s %%[var(%s)]%s", h[0], h[1], usual)
	}
	if !trusting {
		t.line(lua, maxHeaders+len(identity))
	}
	t.line("http-request add-header X-Request-Id %%[var(txn.id)]")
	t.lines(r.hostRules.Requests())
}

// writeAsked writes what a request says that it accepts.
func (r *renderer) writeAsked(t *text) {
	t.line("http-request set-var(txn.json) bool(true) if { var(txn.accept) -m found } { req.fhdr(accept) -m sub application/json } !{ req.fhdr(accept) -m sub text/ }")
	// Who wants a page has one of the two: Fairway's own, or a set of the operator's.
	own := "txn.html) str("
	if r.o.Pages[errorpage.DefaultSet] != nil {
		own = "txn.set) str(" + errorpage.DefaultSet
	}
	t.line("http-request set-var(%s) if { var(txn.accept) -m found } { req.fhdr(accept) -m sub text/html }", own)
	// Before 2.9 one timeout bounds the wait for an answer and every pause in it.
	// Streams that say so beforehand have none of the sort.
	t.line("http-request set-var(txn.to) int(%d) if { var(txn.accept) -m found } { req.fhdr(accept) -m sub text/event-stream }", r.o.TunnelTimeout.Milliseconds())
}

// writeReady ends the rules for usual requests of routes without any wishes, unless the
// operator's follow.
func (r *renderer) writeReady(t *text, condition string) {
	if len(r.o.Extra.Frontend) == 0 {
		t.line("http-request allow if { var(txn.r) -m end |%s } !{ var(txn.odd) -m found }%s%s", plainMark, condition, r.undemanded())
	}
}

// lookups writes the search for the route of a request or of a connection.
type lookups struct {
	*renderer
	*text
	directive string
	// listener is in front of the host in a key for connections; empty for requests.
	listener string
	table    string // the expression that looks a key up
	path     string // the variable that holds the path
	// route and guard are the variables for what is found, and when is the test
	// whether to look; empty for always.
	route, guard, when string
}

// test joins tests to the condition of a rule; empty without any.
func (l *lookups) test(tests ...string) string {
	if l.when != "" {
		tests = append([]string{l.when}, tests...)
	}
	if len(tests) == 0 {
		return ""
	}
	return " if " + strings.Join(tests, " ")
}

// lookupsOf is the search for the route of a request; see lookups for the names.
func (r *renderer) lookupsOf(t *text, path, route, guard, when string) *lookups {
	return &lookups{
		renderer: r, text: t, directive: "http-request", table: "map_beg(" + r.o.mapPath(mapRoutes) + ")",
		path: path, route: route, guard: guard, when: when,
	}
}

// writeOther checks a path that can be read in two ways: by both it has to belong to the
// same route. Few requests have one, and they have been to Lua.
func (r *renderer) writeOther(t *text) {
	t.note("another way to read the path")
	t.line("acl other var(txn.other) -m found")
	t.line("acl other_same var(txn.same) -m found")
	l := r.lookupsOf(t, "txn.other", "o", "og", "other")
	l.write()
	l.writeGuarded(r.requests.guarded, mapGuarded)
	t.line("http-request set-var(txn.token) var(txn.o),field(%d,|) if other", fieldToken)
	t.line("http-request set-var(txn.same) bool(true) if other { var(txn.token) -m found } { var(txn.r),field(%d,|),strcmp(txn.token) eq 0 }", fieldToken)
	t.line("http-request set-path %%[path,regsub(^/+,/)] if other !other_same { var(txn.front) -m found }")
	refused := "if other !other_same { var(txn.r) -m found } !{ var(txn.front) -m found } !{ var(txn.err) -m found }"
	t.line("http-request set-var(txn.why) str(%s) %s", quote.Word("the path can be read as one that belongs to another route"), refused)
	t.line("http-request set-var(txn.err) str(bad-path) %s", refused)
}

// write looks at one kind of host after the other, most specific first.
func (l *lookups) write() {
	if l.features.Priorities {
		l.writeMixed()
		return
	}
	l.find(l.route, "var(txn.host)")
	l.writeWider()
}

// writeWider looks at wildcards while there is no route, and at last at those of any host.
func (l *lookups) writeWider() {
	none := "!{ var(txn." + l.route + ") -m found }"
	l.find(l.route, parentExpression, none)
	for _, n := range l.features.Deep {
		l.find(l.route, writeDeep(l.text, l.directive, n, l.test(none)), none)
	}
	l.find(l.route, "str("+anyMark+")", none)
}

// find sets a variable to what the map has for a host.
func (l *lookups) find(name, host string, tests ...string) {
	if l.listener == "" {
		l.line("%s set-var(txn.%s) %s,concat(,%s,>),%s%s", l.directive, name, host, l.path, l.table, l.test(tests...))
		return
	}
	l.line("%s set-var(txn.name) %s%s", l.directive, host, l.test(tests...))
	l.line("%s set-var(txn.%s) str(%s),concat(,txn.name,>),%s%s", l.directive, name, l.listener, l.table, l.test(tests...))
}

// parentExpression is the key of a wildcard: all behind the first label, with its dot.
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

// writeMixed looks at all kinds of hosts: by a priority a less specific one can win.
func (l *lookups) writeMixed() {
	candidate := "{ var(txn.c) -m found }"
	next := func(host string) {
		l.line("%s unset-var(txn.c)%s", l.directive, l.test())
		l.find("c", host)
		l.line("%s set-var(txn.p) var(txn.%s),field(%d,|)%s", l.directive, l.route, fieldPriority, l.test())
		l.line("%s set-var(txn.%s) var(txn.c)%s", l.directive, l.route, l.test(candidate, "!{ var(txn."+l.route+") -m found }"))
		l.line("%s set-var(txn.%s) var(txn.c)%s", l.directive, l.route, l.test(candidate, fmt.Sprintf("{ var(txn.c),field(%d,|),sub(txn.p) gt 0 }", fieldPriority)))
	}
	l.find(l.route, "var(txn.host)")
	next(parentExpression)
	for _, n := range l.features.Deep {
		next(writeDeep(l.text, l.directive, n, l.test()))
	}
	next("str(" + anyMark + ")")
}

// writeKnobs writes what the values in the map ask for.
func (r *renderer) writeKnobs(t *text) {
	t.note("what the route asks for beside its backend")
	more := "{ var(txn.more) -m found }"
	set := func(name string, field int) {
		t.line("http-request set-var(txn.%s,ifnotexists,ifnotempty) var(txn.r),field(%d,|) if %s", name, field, more)
	}
	t.line("http-request set-var(txn.err,ifnotexists) str(internal) if { var(txn.odd) -m found } !{ var(txn.read) -m found }")
	t.clientKnown()
	t.line("http-request set-var(txn.proto,ifnotexists) var(sess.proto)")
	t.line("http-request set-var(txn.told,ifnotexists) var(sess.proto)")
	t.line("http-request set-var(txn.more) bool(true) if { var(txn.r) -m sub |%s }", moreMark)
	set("https", fieldHTTPS)
	set("strip", fieldStrip)
	set("to", fieldTimeout)
	set("hold", fieldHold)
	set("tunnel", fieldTunnel)
	set("refused", fieldError)
	set("protocols", fieldUpgrade)
	set("pause", fieldPause)
	if len(r.o.Pages) > 0 {
		set("pages", fieldPages)
		const named, off = "{ var(txn.pages) -m found }", "{ var(txn.pages) -m str " + errorpage.Off + " }"
		t.line("http-request set-var(txn.html) str() if { var(txn.set) -m found } %s", off)
		t.line("http-request unset-var(txn.set) if %s", off)
		t.line("http-request set-var(txn.set) var(txn.pages) if %s !%s { var(txn.html) -m found } or %s !%s { var(txn.set) -m found }", named, off, named, off)
		t.line("http-request unset-var(txn.html) if { var(txn.set) -m found }")
	}
	t.since("2.9", "http-request set-timeout client var(txn.pause) if { var(txn.pause) -m found }")
	t.line("http-request lua.fairway_upgrade if { var(txn.protocol) -m found } { var(txn.protocols) -m found }")
	t.line("http-request set-var(txn.err,ifnotexists) var(txn.refused) if %s { var(txn.refused) -m found }", more)
	redirect := func(kind, condition string) {
		t.line("http-request set-var(txn.err,ifnotexists) str(https) if %s { var(txn.https),field(3,.) -m str %s } %s", more, kind, condition)
	}
	redirect("own", "!{ var(txn.proto) -m str https }")
	redirect("when", "{ var(txn.told) -m str http }")
	redirect("unless", "!{ var(txn.told) -m str https }")
	if r.hostRules != nil {
		t.line("http-request set-var(txn.err,ifnotexists) str(certificate-required) if %s { var(txn.r) -m found } !{ var(txn.r) -m beg %s }", handshake.Demanded, dedicatedPrefix)
	}
	// A section of its own says so behind the checks of its route.
	t.line("http-request set-var(txn.err,ifnotexists) str(last-hop) if { var(txn.last) -m found } { var(txn.r) -m found } !{ var(txn.r) -m beg %s }", dedicatedPrefix)
	slashes := fmt.Sprintf("if %s !{ var(txn.err) -m found } { var(txn.strip) -m found } { var(txn.slashes) -m found }", more)
	t.line("http-request lua.fairway_strip %s", slashes)
	t.line("http-request set-var(txn.err) str(internal) %s", slashes)
	for n := 1; n <= maxStrip; n++ {
		condition := fmt.Sprintf("if %s !{ var(txn.err) -m found } { var(txn.strip) -m str %d }", more, n)
		t.line("http-request set-header X-Forwarded-Prefix /%%[path,field(2,/,%d)] %s", n, condition)
		t.line("http-request set-path /%%[path,field(%d,/,0)] %s", n+2, condition)
	}
}

// clientKnown sets the client of a request that has not been to Lua; few rules ask for it.
func (t *text) clientKnown() {
	t.line("http-request set-var(txn.client,ifnotexists) var(sess.client)")
}

// maxStrip is how many segments a shared section can take off a path.
const maxStrip = 8

func (r *renderer) writeResponses(t *text) {
	t.note("answers")
	// 101 is for those who have asked for a switch, and for no other protocol.
	t.line("http-response set-var(txn.switch) bool(true) if { status 101 } { var(txn.upgrade) -m found } { res.fhdr(upgrade),lower,strcmp(txn.upgrade) eq 0 }")
	t.line("http-response lua.fairway_hop if { res.hdrs -m reg -- %s }", quote.Word(unusualAnswer))
	t.line("http-response return status 502 %s if !{ status 200:999 } !{ var(txn.switch) -m found }", badGateway().payload())
	t.line("http-response set-header X-Request-Id %%[var(txn.id)]")
	t.line("http-response set-var(txn.answered) bool(true)")
	// What bounds the wait for an answer does not bound a pause within it.
	t.since("2.9", "http-response set-timeout server "+span(r.o.TunnelTimeout))
	t.line("http-response del-header keep-alive") // many answers have it
	r.writeSampling(t)
	own := "!{ var(txn.answered) -m found }"
	if len(r.o.Extra.Frontend) == 0 {
		t.line("http-after-response allow if { var(txn.answered) -m found }")
	}
	t.line("http-after-response set-header X-Request-Id %%[var(txn.id)] if { var(txn.id) -m found }")
	t.line("http-after-response set-header Date %%[date,http_date] if !{ res.hdr(date) -m found }")
	// HAProxy's own 500 behind a server is an answer that broke off before it began.
	t.line("http-after-response set-header X-Fairway-Error %s if %s { status 500 } { srv_id -m found }", badGateway().code, own)
	t.line("http-after-response set-status 502 if %s { status 500 } { srv_id -m found }", own)
	t.line("http-after-response set-status 502 if %s { status 503 } { res.hdr(x-fairway-error) -m str unreachable }", own)
	t.line("http-after-response set-var(%s) res.hdr(x-fairway-error) if %s", VarCode, own)
	t.line("http-after-response set-header Content-Type %s if %s { var(txn.html) -m found } { res.hdr(x-fairway-error) -m found } or %s { var(txn.set) -m found } { res.hdr(x-fairway-error) -m found }", quote.Word(errorpage.HTML.Type()), own, own)
	t.line("http-after-response set-header Content-Type application/json if %s { var(txn.json) -m found } { res.hdr(x-fairway-error) -m found }", own)
}

func itoa(n int) string { return strconv.Itoa(n) }
