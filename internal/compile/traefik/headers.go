package traefik

import (
	"strconv"
	"strings"

	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// fixed are settings of headers that are one header of responses; with a value where true
// asks for that one.
var fixed = []struct{ key, header, value string }{
	{"framedeny", "X-Frame-Options", "DENY"},
	{"customframeoptionsvalue", "X-Frame-Options", ""},
	{"contenttypenosniff", "X-Content-Type-Options", "nosniff"},
	{"browserxssfilter", "X-XSS-Protection", "1; mode=block"},
	{"custombrowserxssvalue", "X-XSS-Protection", ""},
	{"contentsecuritypolicy", "Content-Security-Policy", ""},
	{"contentsecuritypolicyreportonly", "Content-Security-Policy-Report-Only", ""},
	{"referrerpolicy", "Referrer-Policy", ""},
	{"permissionspolicy", "Permissions-Policy", ""},
	{"featurepolicy", "Feature-Policy", ""},
	{"publickey", "Public-Key-Pins", ""},
}

func (c *chain) headers() {
	for _, f := range c.p.order {
		_, path, _ := strings.Cut(f.path, ".")
		lower := strings.ToLower(path)
		if name, ok := cutFold(path, "customrequestheaders."); ok {
			c.custom(f, true, name)
		} else if name, ok := cutFold(path, "customresponseheaders."); ok {
			c.custom(f, false, name)
		} else if strings.HasPrefix(lower, "accesscontrol") {
			c.fault(f.path, draft.Refuse(route.CodeUnsupported, "CORS is not answered by the proxy", "let the service answer, and take it off"))
		} else if lower == "allowedhosts" {
			c.fault(f.path, draft.Refuse(route.CodeUnsupported, "hosts are not checked but by the rule", "name the hosts in the rule, and take it off"))
		}
	}
	if c.yes("headers.isdevelopment") {
		return
	}
	for _, h := range fixed {
		value := c.get("headers." + h.key)
		if h.value != "" && value != "" {
			value = h.value
			if !c.yes("headers." + h.key) {
				value = ""
			}
		}
		if value != "" {
			c.set(h.key, h.header, value)
		}
	}
	if c.yes("headers.sslredirect") && c.Filter.RedirectHTTPS == nil {
		c.Filter.RedirectHTTPS = &route.RedirectHTTPS{}
	}
	c.transportSecurity()
}

func cutFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// custom changes a header; one that belongs to Fairway is noted.
func (c *chain) custom(f *field, request bool, name string) {
	change := draft.HeaderSet
	if f.value == "" {
		change = draft.HeaderRemove
	}
	if request && (strings.EqualFold(name, "Host") || draft.StatesIdentity(name)) {
		c.Ignored(c.raw(f.path), "Fairway itself writes this header, by what it has verified")
		return
	}
	c.replaced(request, name)
	c.fault(f.path, c.ChangeHeader(request, change, name, f.value))
}

func (c *chain) set(key, name, value string) {
	c.replaced(false, name)
	c.fault("headers."+key, c.ChangeHeader(false, draft.HeaderSet, name, value))
}

// replaced takes back what an earlier middleware has said of a header.
func (c *chain) replaced(request bool, name string) {
	op := c.Filter.ResponseHeaders
	if request {
		op = c.Filter.RequestHeaders
	}
	if op == nil {
		return
	}
	kept := op.Set[:0:0]
	for _, v := range op.Set {
		if !strings.EqualFold(v.Name, name) {
			kept = append(kept, v)
		}
	}
	op.Set = kept
}

func (c *chain) transportSecurity() {
	seconds := c.number("headers.stsseconds", 0, 1<<31)
	if seconds == 0 {
		return
	}
	value := "max-age=" + strconv.Itoa(seconds)
	if c.yes("headers.stsincludesubdomains") {
		value += "; includeSubDomains"
	}
	if c.yes("headers.stspreload") {
		value += "; preload"
	}
	if c.yes("headers.forcestsheader") {
		c.set("stsseconds", draft.HeaderHSTS, value)
		return
	}
	c.HSTS = &route.HeaderOperation{OverTLS: true, Set: []route.HeaderValue{{Name: draft.HeaderHSTS, Value: value}}}
}
