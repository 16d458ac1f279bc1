package compile

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/route"
)

// redirectHTTPS reads when requests are sent to https.
func (d *flowDest) redirectHTTPS() {
	status := 302
	if text := d.text("httpsRedirectCode"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || !slices.Contains(redirectStatuses, n) {
			d.fault("httpsRedirectCode", bad("use 301, 302, 303, 307 or 308", "%s is not the status of a redirect", excerpt(text)))
		}
		status = n
	}
	// Without an index it holds for all destinations, and none can take it back.
	everywhere := false
	if l := d.get("httpsOnly", 0); l != nil {
		everywhere, _ = readFlowBool(l.value)
	}
	if d.bool("httpsOnly") || everywhere || d.HTTPSOnly {
		d.draft.filter.RedirectHTTPS = &route.RedirectHTTPS{Status: status}
	}
	when, unless := d.bool("redirectWhenHttpProto"), d.bool("redirectUnlessHttpsProto")
	switch {
	case unless:
		d.draft.forwarded = &route.RedirectHTTPS{Status: status, Forwarded: route.ForwardedUnlessHTTPS}
	case when:
		d.draft.forwarded = &route.RedirectHTTPS{Status: status, Forwarded: route.ForwardedWhenHTTP}
	}
}

// filters reads what is checked and changed on the way.
func (d *flowDest) filters(secure bool) {
	f := &d.draft.filter
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
		for _, name := range h.names {
			d.headerItems(name, h.request, h.change)
		}
	}
	settleHeaders(f.RequestHeaders)
	settleHeaders(f.ResponseHeaders)
	algo := d.text("compressionAlgo")
	if d.Compress || algo != "" && slices.ContainsFunc(strings.Fields(strings.ToLower(algo)), func(a string) bool { return a != "identity" }) {
		f.Compress = &route.Compress{}
	}
}

// methods reads a list of methods.
func (d *flowDest) methods(name string) []string {
	list := d.list(name)
	if list == nil && d.text(name) != "" {
		d.fault(name, bad("", "the list is empty"))
	}
	for i, m := range list {
		if list[i] = strings.ToUpper(m); !isToken(m) {
			d.fault(name, bad("", "%s is not a method", excerpt(m)))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// rewrites reads how paths are rewritten: the old pair of labels first, then the
// list of pairs.
func (d *flowDest) rewrites() {
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
			d.fault("reqPathSearchReplace", bad("write it like /old,/new:/other,/else", "%s is not a pair of an expression and what replaces it", excerpt(pair)))
			return
		}
		d.rewrite("reqPathSearchReplace", halves[0], halves[1])
	}
}

func (d *flowDest) rewrite(name, search, replace string) {
	if err := route.CheckRegexp(search); err != nil {
		d.fault(name, err)
		return
	}
	if len(d.draft.rewrites) == maxListItems {
		d.fault(name, bad("", "there are more than %d pairs", maxListItems))
		return
	}
	d.draft.rewrites = append(d.draft.rewrites, &route.RewritePath{Search: search, Replace: replace})
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

// headerLabels are the labels that change headers.
var headerLabels = []struct {
	names   []string
	request bool
	change  headerChange
}{
	{[]string{"addReqHeader", "addHeader"}, true, headerAdd},
	{[]string{"setReqHeader", "setHeader"}, true, headerSet},
	{[]string{"delReqHeader"}, true, headerRemove},
	{[]string{"addResHeader"}, false, headerAdd},
	{[]string{"setResHeader"}, false, headerSet},
	{[]string{"delResHeader"}, false, headerRemove},
}

// headerItems reads a list of headers, each a name and a value as in HAProxy's
// configuration. A header by which Fairway itself tells services who asks is left
// to Fairway.
func (d *flowDest) headerItems(name string, request bool, change headerChange) {
	op := &d.draft.filter.ResponseHeaders
	if request {
		op = &d.draft.filter.RequestHeaders
	}
	for _, item := range d.list(name) {
		header, value, err := readHeaderItem(item, change)
		switch {
		case err != nil:
		case change != headerRemove && !isToken(header):
			err = bad("write the name, a blank and the value", "an item does not begin with the name of a header")
		case request && change != headerRemove && tellsIdentity(header):
			d.note(name, &refusal{route.CodeUnsupported, header + " states who asks, and only Fairway itself sets it", "leave it out; name the proxies that are trusted to send it in fairway.yml"})
			continue
		case change != headerRemove:
			err = addHeader(op, request, change, header, value)
		default:
			if err = checkHeader(header, request, change); err == nil {
				if *op == nil {
					*op = &route.HeaderOperation{}
				}
				(*op).Remove = append((*op).Remove, canonicalHeader(header))
			}
		}
		d.fault(name, err)
	}
}

// settleHeaders keeps the order of Docker Flow, which adds, then sets, then
// removes, in an operation that removes first and adds last.
func settleHeaders(op *route.HeaderOperation) {
	if op == nil {
		return
	}
	slices.Sort(op.Remove)
	op.Remove = slices.Compact(op.Remove)
	removed := func(h route.HeaderValue) bool { return slices.Contains(op.Remove, h.Name) }
	op.Set = slices.DeleteFunc(op.Set, removed)
	op.Add = slices.DeleteFunc(op.Add, func(h route.HeaderValue) bool {
		return removed(h) || slices.ContainsFunc(op.Set, func(set route.HeaderValue) bool { return set.Name == h.Name })
	})
	// Of several values that are set the last one stays.
	slices.Reverse(op.Set)
	op.Set = slices.CompactFunc(slices.SortedStableFunc(slices.Values(op.Set), func(a, b route.HeaderValue) int { return cmp.Compare(a.Name, b.Name) }),
		func(a, b route.HeaderValue) bool { return a.Name == b.Name })
}

// readHeaderItem reads the name of a header and its value, which is a text in the
// syntax of HAProxy's configuration. Errors never repeat the value.
func readHeaderItem(item string, change headerChange) (name, value string, err error) {
	words, err := splitWords(item)
	if err != nil {
		return "", "", err
	}
	want := 2
	if change == headerRemove {
		want = 1
	}
	switch {
	case len(words) > want && (words[want] == "if" || words[want] == "unless"):
		return "", "", &refusal{route.CodeUnsupported, "conditions on headers cannot be had", "use a destination of its own for the requests in question"}
	case len(words) < want:
		return "", "", bad("write the name, a blank and the value", "a header has no value")
	case len(words) > want:
		return "", "", bad("put quotes around the value", "a header has more than one value")
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
				return nil, bad("", "the list ends in a backslash")
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
			return nil, bad("put quotes around it", "a # begins a comment")
		default:
			word, in = append(word, c), true
		}
	}
	if quote != 0 {
		return nil, bad("where a value has the separator of lists in it, another separator is needed", "a quote is not closed")
	}
	if in {
		words = append(words, string(word))
	}
	return words, nil
}

// literal is the text of a log format that is nothing but text.
func literal(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) || s[i] != '%' {
			return "", &refusal{route.CodeUnsupported, "the value has a variable of HAProxy in it", "only plain text can be set; %% stands for one percent sign"}
		}
		b.WriteByte('%')
	}
	return b.String(), nil
}
