package oidc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

// maxName bounds the name of a person, in characters.
const maxName = 100

// claims are what the issuer says of a person.
type claims map[string]any

// UnmarshalJSON adds what the issuer says to the claims. Numbers stay as they are written.
func (c *claims) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode((*map[string]any)(c))
}

// text is a claim that is a text; empty for any other.
func (c claims) text(name string) string {
	text, _ := c.find(name).(string)
	return text
}

// find returns a claim by its name, or one within another by both with a dot between them.
func (c claims) find(name string) any {
	if v, ok := c[name]; ok {
		return v
	}
	outer, inner, ok := strings.Cut(name, ".")
	within, isObject := c[outer].(map[string]any)
	if !ok || !isObject {
		return nil
	}
	return claims(within).find(inner)
}

const emailClaim = "email"

// values are what a claim says: a text, a number or truth as a text, and each of a list. An
// address of mail that was not verified says nothing: people may choose it.
func (c claims) values(name string) (all []string) {
	if verified, _ := c["email_verified"].(bool); name == emailClaim && !verified {
		return nil
	}
	switch v := c.find(name).(type) {
	case nil, map[string]any:
	case []any:
		for _, one := range v {
			all = append(all, fmt.Sprint(one))
		}
	default:
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// role is the one that may the most of those that hold; empty for none.
func (c claims) role(all []Role) string {
	best := ""
	for _, r := range all {
		if api.MayAct(r.Role, best) || best == "" {
			if slices.ContainsFunc(c.values(r.Claim), r.fits) {
				best = r.Role
			}
		}
	}
	return best
}

// fits says whether a value of a claim is what the role asks for.
func (r Role) fits(value string) bool {
	wanted := r.Value
	if r.Claim == emailClaim {
		value, wanted = strings.ToLower(value), strings.ToLower(wanted)
	}
	if end, star := strings.CutPrefix(wanted, "*"); star {
		return value != "" && strings.HasSuffix(value, end)
	}
	return value == wanted
}

// name is what a person is called in the audit log.
func (c claims) name(claim string) string {
	for _, one := range []string{claim, emailClaim, "sub"} {
		if values := c.values(one); len(values) == 1 && strings.TrimSpace(values[0]) != "" {
			return human.Excerpt(values[0], maxName)
		}
	}
	return "a person without a name"
}

// names are the names of the claims, for who maps them to roles.
func (c claims) names() string {
	return strings.Join(slices.Sorted(maps.Keys(c)), ", ")
}
