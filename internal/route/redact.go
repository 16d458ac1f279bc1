package route

import (
	"log/slog"
	"slices"
	"strings"
)

// What is a secret is decided by its place, never by its looks:
//
//   - the value of a request header that a route sets or adds: it authenticates
//     Fairway to the service more often than not, and no client sees it;
//   - the value of a response header, and the value that a condition on a header
//     or a query parameter asks for, where the name is that of a credential (see
//     Credential);
//   - the hashes of passwords;
//   - the query of a health check's path, and the values of its headers;
//   - the lines of a snippet.
//
// Text has all of it: it is for comparing tables, and for engines. String, LogValue and
// the lines of Diff and Explain have Masked in its place.

// Masked stands for a value that is not shown.
const Masked = "***"

// credentialWords are the words by which the name of a header or a parameter is
// that of a credential, in lower case.
var credentialWords = []string{"auth", "cookie", "token", "secret", "password", "passwd", "pwd", "key", "credential", "session", "signature"}

// Credential says whether a header or a query parameter of this name holds a
// credential as a rule: one of auth, cookie, token, secret, password, passwd, pwd,
// key, credential, session and signature is part of it, in any case.
func Credential(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(credentialWords, func(word string) bool { return strings.Contains(name, word) })
}

// MaskQuery returns a path or a URL with Masked in the place of its query and
// fragment, if it has any.
func MaskQuery(target string) string {
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		return target[:i+1] + Masked
	}
	return target
}

// Secret says whether the values of the condition are credentials.
func (c Condition) Secret() bool {
	switch c.Kind {
	case ConditionHeader, ConditionHeaderRegexp, ConditionQuery, ConditionQueryRegexp:
		return Credential(c.Name)
	}
	return false
}

// Redacted returns the condition without its values where they are secret.
func (c Condition) Redacted() Condition {
	if len(c.Values) > 0 && c.Secret() {
		c.Values = []string{Masked}
	}
	return c
}

// Redacted returns the match without values that are secret.
func (m Match) Redacted() Match {
	m.Conditions = slices.Clone(m.Conditions)
	for i, c := range m.Conditions {
		m.Conditions[i] = c.Redacted()
	}
	return m
}

// Redacted returns the filter without values that are secret. Of users their names
// stay: even the digest of a hash would let passwords be guessed.
func (f Filter) Redacted() Filter {
	if f.BasicAuth != nil {
		auth := *f.BasicAuth
		auth.Users = slices.Clone(auth.Users)
		for i := range auth.Users {
			auth.Users[i].Hash = Masked
		}
		f.BasicAuth = &auth
	}
	f.RequestHeaders = f.RequestHeaders.redacted(all)
	f.ResponseHeaders = f.ResponseHeaders.redacted(Credential)
	if f.Snippet != nil {
		f.Snippet = &Snippet{Lines: []string{Masked}}
	}
	return f
}

// redacted masks the values of the headers whose names are those of secrets.
func (h *HeaderOperation) redacted(secret func(name string) bool) *HeaderOperation {
	if h == nil {
		return nil
	}
	return &HeaderOperation{Remove: h.Remove, Set: masked(h.Set, secret), Add: masked(h.Add, secret)}
}

// masked returns headers with Masked for the values whose names are those of secrets.
func masked(headers []HeaderValue, secret func(name string) bool) []HeaderValue {
	headers = slices.Clone(headers)
	for i, v := range headers {
		if secret(v.Name) {
			headers[i].Value = Masked
		}
	}
	return headers
}

func all(string) bool { return true }

// Redacted returns the route without values that are secret, and without the
// labels that it was made from.
func (r *Route) Redacted() *Route {
	shown := *r
	shown.Matches = slices.Clone(r.Matches)
	for i, m := range r.Matches {
		shown.Matches[i] = m.Redacted()
	}
	shown.Filters = slices.Clone(r.Filters)
	for i, f := range r.Filters {
		shown.Filters[i] = f.Redacted()
	}
	shown.Origin.Labels = nil
	return &shown
}

// Redacted returns the backend without values that are secret.
func (b *Backend) Redacted() *Backend {
	shown := *b
	if b.Health != nil {
		health := b.Health.redacted()
		shown.Health = &health
	}
	return &shown
}

// redacted returns the check without values that are secret.
func (h Health) redacted() Health {
	h.Path, h.Headers = MaskQuery(h.Path), masked(h.Headers, all)
	return h
}

// String returns the text of the table for people: Text without secrets.
func (t Table) String() string {
	t.Routes, t.Backends = slices.Clone(t.Routes), slices.Clone(t.Backends)
	for i, r := range t.Routes {
		t.Routes[i] = r.Redacted()
	}
	for i, b := range t.Backends {
		t.Backends[i] = b.Redacted()
	}
	return t.Text()
}

// String is Text without values that are secret.
func (r Route) String() string { return r.Redacted().Text() }

// String is Text without values that are secret.
func (b Backend) String() string { return b.Redacted().Text() }

// String is Text without values that are secret.
func (m Match) String() string { return m.Redacted().Text() }

// String is Text without values that are secret.
func (c Condition) String() string { return c.Redacted().Text() }

// String is Text without values that are secret.
func (f Filter) String() string { return f.Redacted().Text() }

// String is the line of the check without values that are secret.
func (h Health) String() string {
	shown := h.redacted()
	return shown.words().String()
}

// String is the name of the header. Of some the value is a secret, and a header does
// not know whose it is.
func (v HeaderValue) String() string { return v.Name + ": " + Masked }

// String is the filter's, with the values of all headers masked.
func (h HeaderOperation) String() string {
	var w words
	w.headers(h.redacted(all))
	return w.String()
}

// String is the filter's, with the users' names.
func (a BasicAuth) String() string { return Filter{BasicAuth: &a}.String() }

// String is the name of the user.
func (u User) String() string { return u.Name + ":" + Masked }

// String says that there is one.
func (s Snippet) String() string { return Filter{Snippet: &s}.String() }

// LogValue is String.
func (t Table) LogValue() slog.Value { return slog.StringValue(t.String()) }

// LogValue is String.
func (r Route) LogValue() slog.Value { return slog.StringValue(r.String()) }

// LogValue is String.
func (b Backend) LogValue() slog.Value { return slog.StringValue(b.String()) }

// LogValue is String.
func (m Match) LogValue() slog.Value { return slog.StringValue(m.String()) }

// LogValue is String.
func (c Condition) LogValue() slog.Value { return slog.StringValue(c.String()) }

// LogValue is String.
func (f Filter) LogValue() slog.Value { return slog.StringValue(f.String()) }

// LogValue is String.
func (h Health) LogValue() slog.Value { return slog.StringValue(h.String()) }

// LogValue is String.
func (v HeaderValue) LogValue() slog.Value { return slog.StringValue(v.String()) }

// LogValue is String.
func (h HeaderOperation) LogValue() slog.Value { return slog.StringValue(h.String()) }

// LogValue is String.
func (a BasicAuth) LogValue() slog.Value { return slog.StringValue(a.String()) }

// LogValue is String.
func (u User) LogValue() slog.Value { return slog.StringValue(u.String()) }

// LogValue is String.
func (s Snippet) LogValue() slog.Value { return slog.StringValue(s.String()) }
