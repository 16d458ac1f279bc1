package dockerflow

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/rule"
	"fairway/internal/route"
)

// comparison is a way to compare a text, as HAProxy's matches have it.
type comparison struct {
	kind string // str, beg, end, sub, dir, dom or reg
	fold bool   // without regard to case
}

// The samples of HAProxy that are understood, with how they are compared without a flag.
var (
	pathSamples = map[string]string{
		"path": "str", "path_beg": "beg", "path_end": "end", "path_sub": "sub", "path_dir": "dir", "path_dom": "dom", "path_reg": "reg",
	}
	hostSamples = map[string]string{
		"hdr(host)": "str", "hdr_beg(host)": "beg", "hdr_end(host)": "end", "hdr_sub(host)": "sub", "hdr_dom(host)": "dom", "hdr_reg(host)": "reg",
		"req.hdr(host)": "str", "req.fhdr(host)": "str",
	}
	nameSamples = map[string]string{
		"req.ssl_sni": "str", "req_ssl_sni": "str", "ssl_fc_sni": "str", "ssl_fc_sni_end": "end", "ssl_fc_sni_reg": "reg",
	}
)

// readComparison reads a sample with its flags, such as "req_ssl_sni -i -m beg".
func readComparison(s string, samples map[string]string) (comparison, error) {
	words := strings.Fields(s)
	hint := "use one of " + strings.Join(slices.Sorted(maps.Keys(samples)), ", ") + ", with -i and -m where needed"
	if len(words) == 0 || samples[strings.ToLower(words[0])] == "" {
		return comparison{}, draft.Refuse(route.CodeUnsupported, chars.Excerpt(s)+" is not understood", hint)
	}
	c := comparison{kind: samples[strings.ToLower(words[0])]}
	for i := 1; i < len(words); i++ {
		switch {
		case words[i] == "-i":
			c.fold = true
		case words[i] == "-m" && i+1 < len(words) && slices.Contains([]string{"str", "beg", "end", "sub", "dir", "dom", "reg"}, words[i+1]):
			i++
			c.kind = words[i]
		default:
			return c, draft.Refuse(route.CodeUnsupported, "the flag "+chars.Excerpt(words[i])+" is not understood", hint)
		}
	}
	return c, nil
}

// expression is a regular expression on the whole text that does what the comparison
// with the pattern does. delimiters stand around what dir and dom look for.
func (c comparison) expression(pattern, delimiters string) (string, error) {
	e := regexp.QuoteMeta(pattern)
	if c.fold {
		e = "(?i:" + e + ")"
	}
	switch c.kind {
	case "beg":
		e += ".*"
	case "end":
		e = ".*" + e
	case "sub":
		e = ".*" + e + ".*"
	case "dir", "dom":
		d := "[" + regexp.QuoteMeta(delimiters) + "]"
		e = "(?:.*" + d + ")?" + e + "(?:" + d + ".*)?"
	case "reg":
		if err := route.CheckRegexp(pattern); err != nil {
			return "", err
		}
		e = rule.Anywhere(pattern, c.fold)
	}
	return e, route.CheckRegexp(e)
}

func (c comparison) path(pattern string) (route.Path, error) {
	switch {
	case !c.fold && c.kind == "beg" && pattern == "/":
		return route.ParsePath(route.PathPrefix, pattern)
	case !c.fold && c.kind == "beg":
		return route.ParsePath(route.PathStart, pattern)
	case !c.fold && c.kind == "str":
		return route.ParsePath(route.PathExact, pattern)
	}
	delimiters := "/"
	switch c.kind {
	case "dir":
		pattern = strings.Trim(pattern, "/")
	case "dom":
		pattern, delimiters = strings.Trim(pattern, "/."), "/."
	case "beg", "str":
		if !strings.HasPrefix(pattern, "/") {
			return route.Path{}, draft.Bad("", "the path %s does not begin with a slash", chars.Excerpt(pattern))
		}
	}
	e, err := c.expression(pattern, delimiters)
	return route.Path{Kind: route.PathRegexp, Value: e}, err
}

// host is the condition that a host compares with the pattern. A star in front
// stands for any beginning of a name.
func (c comparison) host(pattern string) (route.Host, error) {
	pattern = strings.ToLower(pattern)
	switch rest, starred := strings.CutPrefix(pattern, "*"); {
	case starred && rest == "":
		return route.Host{Kind: route.HostAny}, nil
	case starred && rest[0] == '.':
		return route.ParseHost("*" + pattern)
	case starred:
		c.kind, pattern = "end", rest
	case c.kind == "str":
		return route.ParseHost(pattern)
	}
	if c.kind != "reg" && strings.ContainsAny(pattern, "*/: \t") {
		return route.Host{}, draft.Bad("", "%s is no part of a name", chars.Excerpt(pattern))
	}
	c.fold = c.kind == "reg"
	e, err := c.expression(pattern, ".")
	return route.Host{Kind: route.HostRegexp, Value: e}, err
}

// matchHTTP reads which requests a destination takes; nil when that is not known.
func (d *dest) matchHTTP(secure bool) []route.Match {
	hosts := []route.Host{{Kind: route.HostAny}}
	paths := []route.Path{{Kind: route.PathPrefix, Value: "/"}}
	if d.text("servicePath") != "" {
		d.Label = d.raw("servicePath")
		paths = d.paths("servicePath")
	}
	if d.text("serviceDomain") != "" {
		d.Label = d.raw("serviceDomain")
		hosts = d.hosts("serviceDomain")
	}
	conditions := slices.Concat(d.listeners(secure), d.exclusions(), d.headers(), d.agents())
	if len(hosts)*len(paths) > draft.MaxMatches {
		d.fault("servicePath", draft.Refuse(route.CodeContradicts, "there are too many pairs of domains and paths", "use several destinations"))
		return nil
	}
	if !d.MatchKnown {
		return nil
	}
	return draft.Pairs(hosts, paths, conditions)
}

// comparison reads how a label wants texts compared: by kind, unless it says so.
func (d *dest) comparison(label, kind string, samples map[string]string) comparison {
	text := d.text(label)
	if text == "" {
		return comparison{kind: kind}
	}
	c, err := readComparison(text, samples)
	d.fault(label, err)
	return c
}

// each reads the items of a list, each once; nil when one is at fault, or there is no list.
func each[T comparable](d *dest, name string, read func(string) (T, error)) []T {
	if d.text(name) == "" {
		return nil
	}
	var values []T
	for _, item := range d.list(name) {
		v, err := read(item)
		if err != nil {
			d.fault(name, err)
			return nil
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	if values == nil {
		d.fault(name, draft.Bad("", "the list is empty"))
	}
	return values
}

func (d *dest) paths(name string) []route.Path {
	return each(d, name, d.comparison("pathType", "beg", pathSamples).path)
}

// exclusions are the conditions that keep paths out.
func (d *dest) exclusions() []route.Condition {
	var list []route.Condition
	paths := d.paths("servicePathExclude")
	for _, kind := range []struct {
		path      route.PathKind
		condition route.ConditionKind
	}{
		{route.PathExact, route.ConditionPath},
		{route.PathPrefix, route.ConditionPathPrefix},
		{route.PathRegexp, route.ConditionPathRegexp},
		{route.PathStart, route.ConditionPathStart},
	} {
		var values []string
		for _, p := range paths {
			if p.Kind == kind.path {
				values = append(values, p.Value)
			}
		}
		if values != nil {
			slices.Sort(values)
			list = append(list, route.Condition{Kind: kind.condition, Values: values, Not: true})
		}
	}
	return list
}

// hosts reads a list of domains, each with its own star.
func (d *dest) hosts(name string) []route.Host {
	label, algo := "serviceDomainAlgo", d.text("serviceDomainAlgo")
	if algo == "" {
		if algo = d.DomainAlgo; d.bool("serviceDomainMatchAll") {
			algo = "hdr_dom(host)"
		}
	}
	c, err := readComparison(algo, hostSamples)
	if _, tls := readComparison(algo, nameSamples); tls == nil {
		c, err = comparison{kind: "str"}, nil // it names the domain of TLS, which is the same
	}
	if err != nil {
		d.fault(label, err)
		return nil
	}
	return each(d, name, c.host)
}

// serverNames reads which TLS clients are taken.
func (d *dest) serverNames(mode string) {
	switch {
	case mode == "sni" && d.text("servicePath") != "":
		d.L4.Names = each(d, "servicePath", d.comparison("pathType", "str", nameSamples).host)
	case d.text("serviceDomain") != "":
		c := comparison{kind: "str"}
		if text := d.text("serviceDomainAlgo"); text != "" {
			if of, err := readComparison(text, nameSamples); err == nil {
				c = of
			} else if _, err := readComparison(text, hostSamples); err != nil {
				d.fault("serviceDomainAlgo", err)
			}
		}
		d.L4.Names = each(d, "serviceDomain", c.host)
	case mode == "sni":
		d.fault("servicePath", draft.Refuse(route.CodeIncomplete, "no label says which server names are taken", "add servicePath with the names"))
	}
}

// listeners are the conditions on the port that a request came in by.
func (d *dest) listeners(secure bool) []route.Condition {
	name, port := "srcPort", 80
	if secure {
		name, port = "srcHttpsPort", 443
	}
	if d.text(name) != "" {
		port = d.number(name, 1, 65535)
	} else if d.text("httpsPort") == "" {
		return nil // every port
	}
	names, err := d.ports.HTTP(uint16(port))
	if port == 0 || err != nil {
		d.fault(name, err)
		return nil
	}
	return []route.Condition{{Kind: route.ConditionListener, Values: names}}
}

func (d *dest) headers() []route.Condition {
	var list []route.Condition
	for _, item := range d.list("serviceHeader") {
		name, value, colon := strings.Cut(item, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !colon || !chars.IsToken(name) || value == "" {
			d.fault("serviceHeader", draft.Bad("write it like X-Version:2", "an item is not a header with its value"))
			return nil
		}
		list = append(list, route.Condition{Kind: route.ConditionHeader, Name: draft.CanonicalHeader(name), Values: []string{value}})
	}
	return list
}

func (d *dest) agents() []route.Condition {
	values := each(d, "userAgent", func(word string) (string, error) {
		e := "(?i:" + regexp.QuoteMeta(word) + ")"
		return e, route.CheckRegexp(e)
	})
	if values == nil {
		return nil
	}
	slices.Sort(values)
	return []route.Condition{{Kind: route.ConditionHeaderRegexp, Name: "User-Agent", Values: values}}
}
