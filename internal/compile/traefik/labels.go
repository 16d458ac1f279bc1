package traefik

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/nearest"
	"fairway/internal/route"
)

// document is what labels say.
type document struct {
	container map[string]*field           // "enable", "docker.network"
	parts     map[string]map[string]*part // by kind, such as "http.routers", then by name
	old       []string                    // labels of version 1
	faults    []draft.Problem             // of labels that belong to no part
	notices   []draft.Problem
	beyond    string // a label beyond the bounds, which nothing has read; empty for none
	unread    int    // fields that nothing reads
}

// part is a router, a service or a middleware.
type part struct {
	kind, name string
	fields     map[string]*field // by what stands behind the name, in lower case
	own        bool              // defined by the service that is read
	order      []*field          // by their paths
}

type field struct {
	raw   string // the key as it was written
	path  string // what stands behind the name of the part, as it was written
	value string
	key   *Key           // nil where it has a fault
	fault *draft.Refusal // also of one that nothing reads
}

// kinds are what parts can be.
var kinds = []string{"http.routers", "http.services", "http.middlewares", "tcp.routers", "tcp.services", "tcp.middlewares", "udp.routers", "udp.services"}

// slips are in front of keys that the list form of Compose has spoilt.
const slips = "“”„\"'’- "

func owns(key string) bool {
	return catalog.HasPrefix(strings.TrimLeft(key, slips), catalog.TraefikPrefix)
}

// parse sorts labels: most parts of each kind, and as many fields of each.
func parse(labels map[string]string, most int) *document {
	d := &document{container: map[string]*field{}, parts: map[string]map[string]*part{}}
	for _, raw := range slices.Sorted(maps.Keys(labels)) {
		if !owns(raw) {
			continue
		}
		f := &field{raw: raw, value: strings.TrimSpace(labels[raw])}
		f.fault = draft.CheckText(f.value, true)
		key := strings.TrimSpace(raw)
		if !catalog.HasPrefix(key, catalog.TraefikPrefix) {
			d.unknown(f, "it begins with "+chars.Excerpt(key[:len(key)-len(strings.TrimLeft(key, slips))])+", which Compose took for a part of the key", "write it without, or in quotes of the keyboard around the whole item")
			continue
		}
		d.add(key, f, most)
	}
	for _, list := range d.parts {
		for _, p := range list {
			for _, path := range slices.Sorted(maps.Keys(p.fields)) {
				p.order = append(p.order, p.fields[path])
			}
		}
	}
	return d
}

func (d *document) unknown(f *field, text, hint string) {
	d.faults = append(d.faults, draft.Problem{OfService: true, Label: f.raw, Refusal: draft.Refuse(route.CodeUnknownLabel, text, hint)})
}

func (d *document) add(key string, f *field, most int) {
	segments := strings.Split(key, ".")[1:]
	first := strings.ToLower(segments[0])
	if slices.Contains(containerKeys, first) {
		d.container[strings.ToLower(strings.Join(segments, "."))] = f
		return
	}
	switch first {
	case "http", "tcp", "udp":
		if len(segments) < 4 || slices.Contains(segments, "") {
			d.unknown(f, "it is no setting of a router, service or middleware", "write it like traefik.http.routers.web.rule")
			return
		}
		kind := first + "." + strings.ToLower(segments[1])
		if !slices.Contains(kinds, kind) {
			d.unknown(f, kind+" cannot be set by labels", "there are routers, services and middlewares")
			return
		}
		d.part(kind, segments[2], f, strings.Join(segments[3:], "."), most)
	case "tls":
		if len(segments) > 1 && strings.EqualFold(segments[1], "stores") {
			d.notices = append(d.notices, draft.Problem{OfService: true, Label: f.raw, Refusal: draft.Refuse(route.CodeIgnored, "certificates are the operator's", "")})
		}
	default:
		last := strings.ToLower(segments[len(segments)-1])
		if slices.Contains(segments, "frontend") || len(segments) <= 2 && slices.Contains([]string{"backend", "port", "protocol", "weight"}, last) {
			d.old = append(d.old, f.raw)
		}
	}
}

// hinted bounds the fields for which a similar key is looked for.
const hinted = 100

func (d *document) part(kind, name string, f *field, path string, most int) {
	if d.parts[kind] == nil {
		d.parts[kind] = map[string]*part{}
	}
	p := d.parts[kind][name]
	if p == nil && len(d.parts[kind]) == most || p != nil && len(p.fields) == most {
		d.beyond = f.raw
		return
	}
	if p == nil {
		p = &part{kind: kind, name: name, fields: map[string]*field{}, own: true}
		d.parts[kind][name] = p
	}
	f.path = path
	if f.key = keyOf(kind, path); f.key == nil && f.fault == nil {
		d.unread++
		f.fault = unknownField(kind, f, d.unread <= hinted)
	}
	p.fields[strings.ToLower(path)] = f
}

// names are those of the parts of a kind, sorted.
func (d *document) names(kind string) []string { return slices.Sorted(maps.Keys(d.parts[kind])) }

// get returns the value of a field; empty for none.
func (p *part) get(path string) string {
	if p == nil || p.fields[path] == nil {
		return ""
	}
	return p.fields[path].value
}

func (p *part) has(path string) bool { return p != nil && p.fields[path] != nil }

// below says whether there is a field of a path, or below it.
func (p *part) below(path string) bool {
	for has := range p.fields {
		if rest, ok := strings.CutPrefix(has, path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// raw is the label of a field, or as it could be.
func (p *part) raw(path string) string {
	if p.fields[path] != nil {
		return p.fields[path].raw
	}
	return catalog.TraefikPrefix + p.kind + "." + p.name + "." + path
}

// text identifies what a part says; equal definitions have the same.
func (p *part) text() string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(p.fields)) {
		b.WriteString(path + "=" + p.fields[path].value + "\n")
	}
	return b.String()
}

var indexOfList = regexp.MustCompile(`\[[0-9]+\]`)

// keyOf returns the key of a field of a kind; nil for none. A key that ends in a star has any
// word in its place, and one in two stars has anything.
func keyOf(kind, path string) *Key {
	path = indexOfList.ReplaceAllString(strings.ToLower(path), "[n]")
	for i := range keys {
		local, ok := strings.CutPrefix(strings.TrimPrefix(keys[i].Name, kind), ".*.")
		if !ok {
			continue
		}
		front, any := strings.CutSuffix(local, "*")
		if local == path || any && strings.HasPrefix(path, front) && len(path) > len(front) {
			return &keys[i]
		}
	}
	return nil
}

// unknownField is why a field is refused that nothing reads, with a similar key if that is
// to be looked for.
func unknownField(kind string, f *field, look bool) *draft.Refusal {
	var names []string
	for _, k := range keys {
		if !look {
			break
		}
		if local, ok := strings.CutPrefix(k.Name, kind+".*."); ok {
			names = append(names, strings.TrimSuffix(local, ".*"))
		}
	}
	hint := "docs/traefik.md lists all"
	if near := nearest.Word(strings.ToLower(f.path), names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return draft.Refuse(route.CodeUnknownLabel, "there is no such label", hint)
}
