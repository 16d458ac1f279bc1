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
// Text has all of it; String, LogValue and the lines of Diff and Explain have Masked.

// Masked stands for a value that is not shown.
const Masked = "***"

// credentialWords are parts of the names of headers and query parameters that hold a
// credential as a rule.
var credentialWords = []string{"auth", "cookie", "token", "secret", "password", "passwd", "pwd", "key", "credential", "session", "signature"}

// Credential says whether a header or a query parameter of this name, in any case, holds
// a credential as a rule.
func Credential(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(credentialWords, func(word string) bool { return strings.Contains(name, word) })
}

// MaskQuery returns a path or a URL with Masked in the place of query and fragment.
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

func all(string) bool { return true }

// String is Text without values that are secret.
func (t Table) String() string { return t.text((*Route).String, (*Backend).String) }

// String is Text without values that are secret.
func (r Route) String() string { return textOf(true, r.write) }

// String is Text without values that are secret.
func (b Backend) String() string { return textOf(true, b.write) }

// String is Text without values that are secret.
func (m Match) String() string { return textOf(true, m.write) }

// String is Text without values that are secret.
func (c Condition) String() string { return textOf(true, c.write) }

// String is Text without values that are secret.
func (f Filter) String() string { return textOf(true, f.write) }

// String is the line of the check without values that are secret.
func (h Health) String() string { return textOf(true, h.write) }

// String is the name of the header. Of some the value is a secret, and a header does
// not know whose it is.
func (v HeaderValue) String() string { return v.Name + ": " + Masked }

// String is the filter's, with the values of all headers masked.
func (h HeaderOperation) String() string {
	return textOf(true, func(t *text) { h.write(t, all) })
}

// String is the filter's, with the users' names.
func (a BasicAuth) String() string { return textOf(true, a.write) }

// String is the name of the user.
func (u User) String() string { return u.Name + ":" + Masked }

// String says that there is one.
func (s Snippet) String() string { return textOf(true, s.write) }

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
