package render

import (
	"cmp"
	"html"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/haproxy/handshake"
	"fairway/internal/engine/haproxy/pcre"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

// A dedicated section has the rules of one route in it, so that no other route's
// requests are put to them. It is part of the structure; its servers are not.

// writeOwn writes the section of a route without its servers, and what belongs to it.
func (r *renderer) writeOwn(t *text, q *route.Route) {
	r.writeUserLists(t, q)
	r.writeLimits(t, q)
	d := &dedicated{renderer: r, text: t, route: q}
	b, base := r.table.Backend(q.Backend), httpSection
	if r.isTCP[q] {
		base = baseSection
	}
	t.section("backend %s from %s", dedicatedName(q.ID), base)
	t.note("route %s of service %s", q.ID, q.Service)
	p := profileOf(cmp.Or(b, &route.Backend{}), r.idle(q))
	if r.isTCP[q] {
		d.forConnections(&p)
	} else {
		d.forRequests(&p, b != nil)
	}
}

// forRequests writes how the route serves requests.
func (d *dedicated) forRequests(p *profile, hasBackend bool) {
	q := d.route
	for i := range q.Filters {
		d.declare(&q.Filters[i])
	}
	d.writeBackend(d.text, p)
	d.WriteString(p.each())
	for i := range q.Filters {
		if d.filter(i, &q.Filters[i]) {
			return // it answers every request; HAProxy takes no rules behind that
		}
	}
	if d.hostRules != nil {
		d.line("%s", noCertificate.rule(handshake.Demanded))
	}
	d.lastHop("{ var(txn.last) -m found }")
	if !hasBackend {
		d.line("%s", problemOf("no-backend").always())
		return
	}
	d.hold("http")
	d.line("%s", p.noEndpoint(d.o.mapPath(mapServices)))
	for i := range q.Filters {
		if h := q.Filters[i].RequestHeaders; h != nil {
			d.headers("http-request", h, func(string) bool { return true })
		}
	}
	writeSending(d.text)
	for i := range q.Filters {
		if h := q.Filters[i].ResponseHeaders; h != nil {
			d.headers("http-response", h, route.Credential)
		}
	}
	for i := range q.Filters {
		if s := q.Filters[i].Snippet; s != nil {
			d.note("written by the labels of service %s", q.Service)
			for _, line := range s.Lines {
				d.line("%s", quote.SecretLine(line))
			}
		}
	}
}

// forConnections writes how the route serves connections. It has no filters but IPAllow.
func (d *dedicated) forConnections(p *profile) {
	d.writeBackend(d.text, p)
	for i := range d.route.Filters {
		test := "{ always_false }"
		if f := d.route.Filters[i].IPAllow; f != nil {
			test = d.oneOf("var(txn.client) -m ip", trustedNets(f.Prefixes))
		} else if f := d.route.Filters[i].Maintenance; f != nil {
			test = d.oneOf("var(txn.client) -m ip", trustedNets(f.Allow))
		}
		d.line("tcp-request content reject if !%s", test)
	}
	d.hold("tcp")
}

type dedicated struct {
	*renderer
	*text
	route  *route.Route
	acls   int // lists of values so far
	limits int // rate limits so far
}

func (d *dedicated) answer(status int, code, text, condition string) {
	d.line("%s", problem{status: status, code: code, text: text}.rule(condition))
}

// oneOf is a test whether the expression is one of the values, which are words as
// HAProxy has them. Many are lists of their own: a line holds some sixty words.
func (d *dedicated) oneOf(expression string, values []string) string {
	const most = 40
	if len(values) == 0 {
		return "{ always_false }"
	}
	if len(values) <= most {
		return "{ " + expression + " -- " + strings.Join(values, " ") + " }"
	}
	d.acls++
	name := "list" + itoa(d.acls)
	for part := range slices.Chunk(values, most) {
		d.line("acl %s %s -- %s", name, expression, strings.Join(part, " "))
	}
	return name
}

// declare writes what a filter needs before all rules.
func (d *dedicated) declare(f *route.Filter) {
	if f.MaxBody != nil {
		d.line("filter lua.fairway_maxbody")
	}
	if f.Compress != nil {
		d.line("filter compression")
		d.line("compression algo gzip")
		d.line("compression type %s", strings.Join(compressible(), " "))
		d.line("http-response add-header Vary Accept-Encoding if { res.hdr(content-type) -m beg -- %s } !{ res.fhdr(content-encoding) -m found } !{ res.fhdr(content-range) -m found } !{ res.hdr(cache-control) -m str -i no-transform } !{ res.hdr(vary) -m str -i accept-encoding * }", strings.Join(compressible(), " "))
	}
}

// compressible is what the types that are text in some form begin with, but for
// application/x-ndjson: HAProxy keeps the last bits of a piece until the next one, and who
// reads lines would wait.
func compressible() []string {
	return []string{
		"text/html", "text/plain", "text/css", "text/javascript", "text/xml", "text/csv", "text/markdown", "text/calendar", "text/vcard", "text/x-",
		"application/json", "application/javascript", "application/xml", "application/wasm", "application/x-javascript",
		"application/ld+json", "application/manifest+json", "application/problem+json", "application/vnd.api+json", "application/geo+json",
		"application/xhtml+xml", "application/rss+xml", "application/atom+xml", "image/svg+xml", "font/ttf", "font/otf",
	}
}

// filter writes the rules of a filter on the way in. A final one answers every request.
func (d *dedicated) filter(i int, f *route.Filter) (final bool) {
	switch {
	case f.Maintenance != nil:
		d.maintenance(f.Maintenance)
	case f.IPAllow != nil:
		d.answer(403, "ip-not-allowed", "this address is not allowed here", "!"+d.oneOf("var(txn.client) -m ip", trustedNets(f.IPAllow.Prefixes)))
	case f.Methods != nil:
		d.methods(f.Methods)
	case f.RequireTLS != nil:
		d.answer(403, "tls-required", "this is served over TLS only", "!{ var(txn.proto) -m str https }")
	case f.RequireClientCert != nil:
		d.line("%s", noCertificate.rule("!{ ssl_c_used }"))
	case f.RateLimit != nil:
		d.rateLimit(i, f.RateLimit)
	case f.MaxBody != nil:
		d.maxBody(f.MaxBody.Bytes)
	case f.RedirectHTTPS != nil:
		d.redirectHTTPS(f.RedirectHTTPS)
	case f.Redirect != nil:
		d.redirect(f.Redirect)
		return true
	case f.BasicAuth != nil:
		return d.basicAuth(i, f.BasicAuth)
	case f.StripPrefix != nil:
		d.stripPrefix(f.StripPrefix.Prefix)
	case f.AddPrefix != nil:
		if prefix := strings.TrimSuffix(f.AddPrefix.Prefix, "/"); prefix != "" {
			d.line("http-request set-path %s", quote.Word(quote.Literal(prefix)+"%[path]"))
		}
	case f.RewritePath != nil:
		return d.rewritePath(f.RewritePath)
	case f.RequestHeaders != nil, f.ResponseHeaders != nil, f.Compress != nil, f.Snippet != nil:
	default:
		// A filter that is not known might be a check: nothing passes.
		d.refuse()
		return true
	}
	return false
}

// maintenance answers clients that may not get through, in each of the forms.
func (d *dedicated) maintenance(m *route.Maintenance) {
	p := problem{status: 503, code: errorpage.CodeMaintenance}
	condition := "!" + d.oneOf("var(txn.client) -m ip", trustedNets(m.Allow))
	said := errorpage.Answer{Status: p.status, Code: p.code, Text: m.Message, ID: "\x00"}
	for _, of := range []struct {
		form errorpage.Form
		test string
	}{{errorpage.JSON, " { var(txn.json) -m found }"}, {errorpage.HTML, " { var(txn.html) -m found }"}, {errorpage.HTML, " { var(txn.set) -m found }"}, {errorpage.Text, ""}} {
		body := strings.ReplaceAll(quote.Literal(string(said.Body(of.form))), html.EscapeString("\x00"), "%[var(txn.id)]")
		d.line("http-request return status %d %s hdr Retry-After %s if %s%s", p.status, p.fields(of.form.Type(), body), quote.Word(m.RetryAfter()), condition, of.test)
	}
}

// refuse answers every request: the route may not be served.
func (d *dedicated) refuse() { d.line("%s", problemOf("route-refused").always()) }

func (d *dedicated) methods(f *route.Methods) {
	const code, text = "method-not-allowed", "this method is not allowed here"
	if len(f.Allow) > 0 {
		d.answer(403, code, text, "!"+textTest("method", f.Allow))
	}
	if len(f.Deny) > 0 {
		d.answer(403, code, text, textTest("method", f.Deny))
	}
}

// maxBody refuses a body that is announced as too large; a filter breaks others off.
func (d *dedicated) maxBody(bytes int64) {
	d.answer(413, "body-too-large", "the request body is too large", "{ req.hdr_val(content-length) gt "+itoa(int(bytes))+" }")
	d.line("http-request set-var(txn.maxbody) int(%d)", bytes)
}

func (d *dedicated) redirectHTTPS(f *route.RedirectHTTPS) {
	condition := map[route.ForwardedProto]string{
		route.ForwardedNone:        "!{ var(txn.proto) -m str https }",
		route.ForwardedWhenHTTP:    "{ var(txn.told) -m str http }",
		route.ForwardedUnlessHTTPS: "!{ var(txn.told) -m str https }",
	}[f.Forwarded]
	d.named(condition)
	location := quote.Word("https://" + hostFormat + httpsPort(f) + pathFormat + queryFormat)
	if f.Status != 0 {
		d.line("http-request return status %d hdr Location %s if %s", f.Status, location, condition)
		return
	}
	d.line("http-request return status 301 hdr Location %s if %s { method GET HEAD }", location, condition)
	d.line("http-request return status 308 hdr Location %s if %s", location, condition)
}

// Parts of the request's URL, as log formats.
const (
	authorityFormat = "%[req.fhdr(host)]"
	hostFormat      = "%[req.fhdr(host),regsub(:[0-9]*$,)]"
	pathFormat      = "%[path,regsub(^/+,/)]"
	queryFormat     = "%[pathq,regsub(^[^?]*,)]"
)

// named refuses to redirect a request of HTTP/1.0 to a host that it does not name.
func (d *dedicated) named(condition string) {
	d.answer(400, "bad-host", "the request names no host to redirect to", strings.TrimSpace("!{ req.fhdr(host) -m len gt 0 } "+condition))
}

func (d *dedicated) redirect(f *route.Redirect) {
	path := cmp.Or(quote.Literal(f.Path), pathFormat)
	if f.Host == "" {
		d.named("")
	}
	to := func(scheme, host, condition string) {
		d.line("http-request return status %d hdr Location %s%s", f.Status, quote.Word(scheme+"://"+host+path+queryFormat), condition)
	}
	scheme := cmp.Or(quote.Literal(f.Scheme), "%[var(txn.proto)]")
	switch {
	case f.Host != "":
		to(scheme, quote.Literal(f.Host), "")
	case f.Scheme == "":
		to(scheme, authorityFormat, "")
	default:
		to(scheme, authorityFormat, " if { var(txn.proto) -m str -- "+quote.Word(f.Scheme)+" }")
		to(scheme, hostFormat, "") // the port belongs to the other scheme
	}
}

// stripPrefix takes the prefix off on a segment boundary, by its number of slashes.
func (d *dedicated) stripPrefix(prefix string) {
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return
	}
	n := strings.Count(prefix, "/")
	d.line("http-request set-var(txn.stripped) bool(false)")
	d.line("http-request set-var(txn.stripped) bool(true) if { path -m reg -- %s }",
		quote.Word(`\A`+strings.ReplaceAll(regexp.QuoteMeta(prefix), "/", "/+")+`(?:/|\z)`))
	d.line("http-request set-header X-Forwarded-Prefix %s if { var(txn.stripped) -m bool }", quote.Word(quote.Literal(prefix)))
	d.line("http-request set-path /%%[path,field(%d,/,0)] if { var(txn.stripped) -m bool } !{ var(txn.slashes) -m found }", n+2)
	slashes := "if { var(txn.stripped) -m bool } { var(txn.slashes) -m found }"
	d.line("http-request set-var(txn.strip) int(%d) %s", n, slashes)
	d.line("http-request lua.fairway_strip %s", slashes)
	d.answer(500, "internal", "internal error", "{ var(txn.strip) -m found } { var(txn.stripped) -m bool } { var(txn.slashes) -m found }")
}

// rewritePath replaces the first match. The expression is put between what is in
// front of it and what follows, which are groups of their own.
func (d *dedicated) rewritePath(f *route.RewritePath) (final bool) {
	search, replace, why := pcre.Rewriting(f.Search, f.Replace)
	if why != "" {
		d.refuse()
		return true
	}
	d.line("http-request set-var(txn.before) path")
	// Runs of slashes are one to the expression.
	const merged = "path,regsub(/+,/,g),regsub(%%2f,%%2F,g)"
	d.line("http-request set-path %%["+merged+"] if { var(txn.slashes) -m found } { "+merged+" -m reg -- %s }", quote.Word(search))
	d.line("http-request replace-path %s %s", quote.Word(search), quote.Word(replace))
	d.line("http-request lua.fairway_rewritten if !{ path -m reg -- %s } !{ path,strcmp(txn.before) eq 0 }", quote.Word(usualPath))
	d.answer(400, "bad-path", "the rewritten %[var(txn.why)]", "{ var(txn.why) -m found }")
	return false
}

// headers writes the changes of headers, but for those that frame messages. One that is
// removed or set also loses its lookalikes with underscores. hidden says by the name
// whether a value is a secret.
func (d *dedicated) headers(directive string, h *route.HeaderOperation, hidden func(name string) bool) {
	value := func(v route.HeaderValue) string {
		if hidden(v.Name) {
			return quote.Secret(quote.Format(v.Value))
		}
		return quote.Format(v.Value)
	}
	condition := map[bool]string{true: " if { var(txn.proto) -m str https }"}[h.OverTLS]
	forget := func(name string) {
		d.line("%s del-header %s -m reg%s", directive, quote.Word("(?i)^"+strings.ReplaceAll(regexp.QuoteMeta(strings.ToLower(name)), "-", "[-_]")+"$"), condition)
	}
	change := h.WithoutFraming()
	for _, name := range change.Remove {
		forget(name)
	}
	for _, v := range change.Set {
		forget(v.Name)
		d.line("%s set-header %s %s%s", directive, quote.Word(v.Name), value(v), condition)
	}
	for _, v := range change.Add {
		d.line("%s add-header %s %s%s", directive, quote.Word(v.Name), value(v), condition)
	}
}
