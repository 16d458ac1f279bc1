package admin

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/route"
)

// What is a secret is decided by its place, never by its looks:
//
//   - the value of a request header that a route sets: it authenticates Fairway
//     to the service more often than not, and no client sees it;
//   - the value that a condition on a header or query parameter wants, when the
//     name is that of a credential (see credential);
//   - a basic-auth label that does not name a file;
//   - every label that is not ours, which is not shown at all.
//
// The value is masked where it stands, and in every text that may repeat it.

var (
	// ruleCall finds the calls in a rule that look at headers and query
	// parameters, with quotes of both kinds respected and an end that may be
	// missing.
	ruleCall = regexp.MustCompile("(?i)\\b(?:header|headerregexp|query|queryregexp)\\s*\\(((?:`[^`]*(?:`|$)|\"(?:[^\"\\\\]|\\\\.)*(?:\"|$)|[^)`\"])*)")
	// ruleArgument finds one quoted argument.
	ruleArgument = regexp.MustCompile("`[^`]*(?:`|$)|\"(?:[^\"\\\\]|\\\\.)*(?:\"|$)")
)

// credential is true for the names of headers and query parameters whose values
// are credentials as a rule.
func credential(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"auth", "cookie", "token", "secret", "password", "passwd", "pwd", "key", "credential", "session", "signature"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// labelSecrets returns the parts of a label's value that must not be shown. Case
// and space around the key count as little as they do for who reads the labels.
func labelSecrets(key, value string) []string {
	key = strings.ToLower(strings.TrimSpace(key))
	if _, rest, ok := strings.Cut(key, ".headers.request."); ok && rest != "remove" {
		return []string{value}
	}
	switch {
	case strings.HasSuffix(key, ".basic-auth") && !strings.HasPrefix(value, "file:"):
		return []string{value}
	case strings.HasSuffix(key, ".rule"):
		return ruleSecrets(value)
	}
	return nil
}

// ruleSecrets returns what a rule wants credentials to be.
func ruleSecrets(rule string) []string {
	var found []string
	for _, call := range ruleCall.FindAllStringSubmatch(rule, -1) {
		args := ruleArgument.FindAllString(call[1], -1)
		if len(args) == 0 {
			// Not quoted, so it is no rule that could be served; who knows what
			// was meant.
			found = append(found, call[1])
			continue
		}
		if !credential(args[0]) {
			continue
		}
		for _, a := range args[1:] {
			found = append(found, strings.Trim(a, "`\""))
		}
		// What stands between the arguments is nothing in a good rule.
		for rest := range strings.SplitSeq(ruleArgument.ReplaceAllString(call[1], ","), ",") {
			found = append(found, strings.TrimSpace(rest))
		}
	}
	return slices.DeleteFunc(found, func(s string) bool { return s == "" })
}

// routeSecrets returns the values in a route that must not be shown.
func routeSecrets(r *route.Route) []string {
	var found []string
	for key, value := range r.Origin.Labels {
		found = append(found, labelSecrets(key, value)...)
	}
	for _, m := range r.Matches {
		for _, c := range m.Conditions {
			if secretCondition(c) {
				found = append(found, c.Values...)
			}
		}
	}
	for _, f := range r.Filters {
		if f.RequestHeaders != nil {
			for _, h := range slices.Concat(f.RequestHeaders.Set, f.RequestHeaders.Add) {
				found = append(found, h.Value)
			}
		}
	}
	return found
}

// serviceSecrets returns the values in the labels of a service that must not be
// shown.
func serviceSecrets(svc *catalog.Service) []string {
	var found []string
	for key, value := range svc.Labels {
		found = append(found, labelSecrets(key, value)...)
	}
	for _, in := range svc.Instances {
		for key, value := range in.Labels {
			found = append(found, labelSecrets(key, value)...)
		}
	}
	return found
}

func secretCondition(c route.Condition) bool {
	switch c.Kind {
	case route.ConditionHeader, route.ConditionHeaderRegexp, route.ConditionQuery, route.ConditionQueryRegexp:
		return credential(c.Name)
	}
	return false
}

// maskText masks the secrets in a text. Longer ones go first, so that none is
// left in part; what is shorter than four characters keeps nothing safe and
// would make the text unreadable.
func maskText(text string, secrets []string) string {
	if len(secrets) == 0 || text == "" {
		return text
	}
	var forms []string
	for _, s := range secrets {
		if s = strings.TrimSpace(s); len(s) >= minSecret {
			quoted := strconv.Quote(s)
			forms = append(forms, s, quoted[1:len(quoted)-1])
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	for _, s := range forms {
		text = strings.ReplaceAll(text, s, api.Masked)
	}
	for _, s := range forms {
		text = maskCut(text, s)
	}
	return text
}

// minSecret is the length from which on a text is searched for a secret.
const minSecret = 4

// maskCut masks the beginning of a secret where a text breaks off in it.
func maskCut(text, secret string) string {
	for _, mark := range []string{"…", `"…`, "...", `"...`} {
		if !strings.Contains(text, mark) {
			continue
		}
		for n := min(len(secret)-1, len(text)); n >= minSecret; n-- {
			text = strings.ReplaceAll(text, secret[:n]+mark, api.Masked+mark)
		}
	}
	return text
}

// maskLabels returns the labels that are ours, masked; never nil.
func maskLabels(labels map[string]string) map[string]string {
	shown := make(map[string]string, len(labels))
	for key, value := range labels {
		if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(key)), "fairway.") {
			continue
		}
		for _, s := range labelSecrets(key, value) {
			value = strings.ReplaceAll(value, s, api.Masked)
		}
		shown[key] = value
	}
	return shown
}

// maskMatch returns the match without the values that are secret.
func maskMatch(m route.Match) route.Match {
	m.Conditions = slices.Clone(m.Conditions)
	for i, c := range m.Conditions {
		if len(c.Values) > 0 && secretCondition(c) {
			m.Conditions[i].Values = []string{api.Masked}
		}
	}
	return m
}

// maskFilter returns the filter without the values that are secret.
func maskFilter(f route.Filter) route.Filter {
	if f.BasicAuth != nil {
		// The digest of a hash would let passwords be guessed.
		hidden := *f.BasicAuth
		hidden.Users = slices.Clone(hidden.Users)
		for i := range hidden.Users {
			hidden.Users[i].Hash = api.Masked
		}
		return route.Filter{BasicAuth: &hidden}
	}
	if f.RequestHeaders == nil {
		return f
	}
	hide := func(headers []route.HeaderValue) []route.HeaderValue {
		hidden := make([]route.HeaderValue, len(headers))
		for i, h := range headers {
			hidden[i] = route.HeaderValue{Name: h.Name, Value: api.Masked}
		}
		return hidden
	}
	return route.Filter{RequestHeaders: &route.HeaderOperation{
		Remove: f.RequestHeaders.Remove,
		Set:    hide(f.RequestHeaders.Set),
		Add:    hide(f.RequestHeaders.Add),
	}}
}
