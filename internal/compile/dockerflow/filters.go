package dockerflow

import (
	"cmp"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

func (d *dest) redirectHTTPS() {
	status := cmp.Or(value(d, "httpsRedirectCode", draft.ReadRedirectStatus), 302)
	// Without an index it holds for all destinations, and none can take it back.
	everywhere := false
	if l := d.get("httpsOnly", 0); l != nil {
		everywhere, _ = readBool(l.value)
	}
	if d.bool("httpsOnly") || everywhere || d.HTTPSOnly {
		d.Filter.RedirectHTTPS = &route.RedirectHTTPS{Status: status}
	}
	if d.bool("redirectWhenHttpProto") {
		d.Forwarded = &route.RedirectHTTPS{Status: status, Forwarded: route.ForwardedWhenHTTP}
	}
	if d.bool("redirectUnlessHttpsProto") {
		d.Forwarded = &route.RedirectHTTPS{Status: status, Forwarded: route.ForwardedUnlessHTTPS}
	}
}

// filters reads what is checked and changed on the way.
func (d *dest) filters(secure bool) {
	f := &d.Filter
	if d.text("allowedMethods") != "" || d.text("deniedMethods") != "" {
		f.Methods = &route.Methods{Allow: d.methods("allowedMethods"), Deny: d.methods("deniedMethods")}
	}
	// What is redirected to https is not refused on the way there.
	if d.bool("denyHttp") && !secure && f.RedirectHTTPS == nil {
		f.RequireTLS = &route.RequireTLS{}
	}
	if d.bool("verifyClientSsl") {
		f.RequireClientCert = &route.RequireClientCert{}
	}
	f.BasicAuth = d.basicAuth()
	d.rewrites()
	for _, h := range headerLabels {
		d.headerItems(h.name, h.request, h.change)
	}
	settleHeaders(f.RequestHeaders)
	settleHeaders(f.ResponseHeaders)
	algo := d.text("compressionAlgo")
	if d.Compress || algo != "" && slices.ContainsFunc(strings.Fields(strings.ToLower(algo)), func(a string) bool { return a != "identity" }) {
		f.Compress = &route.Compress{}
	}
}

func (d *dest) methods(name string) []string {
	list := each(d, name, func(m string) (string, error) {
		if !chars.IsToken(m) {
			return "", draft.Bad("", "%s is not a method", chars.Excerpt(m))
		}
		return strings.ToUpper(m), nil
	})
	slices.Sort(list)
	return list
}

// rewrites reads how paths are rewritten: first the old pair of labels, then the list.
func (d *dest) rewrites() {
	if search := d.text("reqPathSearch"); search != "" {
		d.rewrite("reqPathSearch", search, d.text("reqPathReplace"))
	}
	text := d.text("reqPathSearchReplace")
	if text == "" {
		return
	}
	for _, pair := range cutExpressions(text, ':') {
		halves := cutExpressions(pair, ',')
		if len(halves) != 2 || halves[0] == "" {
			d.fault("reqPathSearchReplace", draft.Bad("write it like /old,/new:/other,/else", "%s is not a pair of an expression and what replaces it", chars.Excerpt(pair)))
			return
		}
		d.rewrite("reqPathSearchReplace", halves[0], halves[1])
	}
}

func (d *dest) rewrite(name, search, replace string) {
	if err := route.CheckRegexp(search); err != nil {
		d.fault(name, err)
		return
	}
	if len(d.Rewrites) == draft.MaxListItems {
		d.fault(name, draft.Bad("", "there are more than %d pairs", draft.MaxListItems))
		return
	}
	d.Rewrites = append(d.Rewrites, &route.RewritePath{Search: search, Replace: replace})
}

// cutExpressions cuts a text at a byte that stands for itself: not behind a
// backslash, not within brackets or braces, and not in "(?:".
func cutExpressions(s string, at byte) []string {
	var (
		parts []string
		start int
		until byte // the bracket or brace that ends what we are in
	)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			i++
		case until != 0:
			if c == until {
				until = 0
			}
		case c == '[':
			until = ']'
		case c == '{':
			until = '}'
		case c == ':' && strings.HasSuffix(s[:i], "(?"):
		case c == at:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

var headerLabels = []struct {
	name    string
	request bool
	change  draft.HeaderChange
}{
	{"addReqHeader", true, draft.HeaderAdd},
	{"addHeader", true, draft.HeaderAdd},
	{"setReqHeader", true, draft.HeaderSet},
	{"setHeader", true, draft.HeaderSet},
	{"delReqHeader", true, draft.HeaderRemove},
	{"addResHeader", false, draft.HeaderAdd},
	{"setResHeader", false, draft.HeaderSet},
	{"delResHeader", false, draft.HeaderRemove},
}

// headerItems reads a list of headers in the syntax of HAProxy's configuration.
func (d *dest) headerItems(name string, request bool, change draft.HeaderChange) {
	for _, item := range d.list(name) {
		header, value, err := readHeaderItem(item, change)
		switch {
		case err != nil:
		case change != draft.HeaderRemove && !chars.IsToken(header):
			err = draft.Bad("write the name, a blank and the value", "an item does not begin with the name of a header")
		case request && change != draft.HeaderRemove && draft.StatesIdentity(header):
			d.note(name, draft.Refuse(route.CodeUnsupported, header+" states who asks, and only Fairway itself sets it", "leave it out; name the proxies that are trusted to send it in fairway.yml"))
		default:
			err = d.ChangeHeader(request, change, header, value)
		}
		d.fault(name, err)
	}
}

// settleHeaders keeps the order of Docker Flow, which adds, then sets, then removes, in
// an operation that does the reverse.
func settleHeaders(op *route.HeaderOperation) {
	if op == nil {
		return
	}
	has := func(list []route.HeaderValue, name string) bool {
		return slices.ContainsFunc(list, func(h route.HeaderValue) bool { return h.Name == name })
	}
	removed := func(h route.HeaderValue) bool { return slices.Contains(op.Remove, h.Name) }
	var set []route.HeaderValue
	for i, h := range op.Set {
		if !removed(h) && !has(op.Set[i+1:], h.Name) { // of several values the last one stays
			set = append(set, h)
		}
	}
	op.Set = set
	op.Add = slices.DeleteFunc(op.Add, func(h route.HeaderValue) bool { return removed(h) || has(set, h.Name) })
}

// readHeaderItem reads the name of a header and its value. Errors never repeat the value.
func readHeaderItem(item string, change draft.HeaderChange) (name, value string, err error) {
	words, err := splitWords(item)
	if err != nil {
		return "", "", err
	}
	want := 2
	if change == draft.HeaderRemove {
		want = 1
	}
	switch {
	case len(words) > want && (words[want] == "if" || words[want] == "unless"):
		return "", "", draft.Refuse(route.CodeUnsupported, "conditions on headers cannot be had", "use a destination of its own for the requests in question")
	case len(words) < want:
		return "", "", draft.Bad("write the name, a blank and the value", "a header has no value")
	case len(words) > want:
		return "", "", draft.Bad("put quotes around the value", "a header has more than one value")
	case want == 2:
		value, err = literal(words[1])
	}
	return words[0], value, err
}

// splitWords cuts a text into words as HAProxy does: quotes, strong and weak, keep
// blanks, and a backslash keeps what follows.
func splitWords(s string) ([]string, error) {
	var (
		words []string
		word  []byte
		in    bool
		quote byte
	)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'':
			if i++; i == len(s) {
				return nil, draft.Bad("", "the list ends in a backslash")
			}
			word, in = append(word, s[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, in = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if in {
				words, word, in = append(words, string(word)), nil, false
			}
		case quote == 0 && c == '#':
			return nil, draft.Bad("put quotes around it", "a # begins a comment")
		default:
			word, in = append(word, c), true
		}
	}
	if quote != 0 {
		return nil, draft.Bad("where a value has the separator of lists in it, another separator is needed", "a quote is not closed")
	}
	if in {
		words = append(words, string(word))
	}
	return words, nil
}

// literal is the text of a log format that is nothing but text.
func literal(s string) (string, error) {
	if strings.Contains(strings.ReplaceAll(s, "%%", ""), "%") {
		return "", draft.Refuse(route.CodeUnsupported, "the value has a variable of HAProxy in it", "only plain text can be set; %% stands for one percent sign")
	}
	return strings.ReplaceAll(s, "%%", "%"), nil
}

// applyDefaults gives the route the defaults of the configuration.
func (d *dest) applyDefaults() {
	d.RedirectDecided = d.decides("redirect-https", "")
	if d.defaults == nil {
		return
	}
	if refused := d.defaults(d.Draft, d.decides); refused != nil {
		d.faults = append(d.faults, draft.Problem{Route: d.Draft.Name, Refusal: refused})
	}
}

// decides says whether the labels decide about what a key of Fairway's labels is for.
func (d *dest) decides(key, header string) bool {
	f := &d.Filter
	switch key {
	case "timeout":
		return d.Timeout != 0
	case "idle":
		return d.Idle != 0
	case "redirect-https":
		return len(d.Redirects()) > 0 || f.RequireTLS != nil || d.get("httpsOnly", d.index) != nil
	case "basic-auth":
		return f.BasicAuth != nil
	case "compress":
		return f.Compress != nil || d.get("compressionAlgo", d.index) != nil
	case "balance":
		return d.get("balanceGroup", d.index) != nil
	case "sticky":
		return d.Backend.Sticky != ""
	case "headers.request.set.", "headers.request.add.":
		return draft.SetsHeader(f.RequestHeaders, header)
	case "headers.response.set.", "headers.response.add.":
		return draft.SetsHeader(f.ResponseHeaders, header)
	}
	return false
}
