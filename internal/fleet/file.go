package fleet

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"fairway/internal/catalog"
	"fairway/internal/files"
	"fairway/internal/fleet/driver"
	"fairway/internal/yamlnode"
)

// Map is what a fleet file says. It is immutable.
type Map struct {
	// Targets are in the order of the file, which is the order of rollouts.
	Targets []driver.Target
	// Templates are the documents whose {{names}} are replaced.
	Templates map[string]bool
	// Readers may fetch documents over HTTP.
	Readers []Reader
	Named   []string // the files that it names, sorted
}

// Reader may fetch documents. It shows a token or a TLS client certificate.
type Reader struct {
	Name string
	// Token is the SHA-256 of the token; nil when a certificate is asked for.
	Token *[sha256.Size]byte
	// Certificate is a DNS name, or the common name, of the certificate.
	Certificate string
	// Documents are names, or beginnings of names with a * behind.
	Documents []string
}

func (r Reader) reads(document string) bool {
	return slices.ContainsFunc(r.Documents, func(pattern string) bool {
		if start, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(document, start)
		}
		return pattern == document
	})
}

func (m *Map) of(document string) []driver.Target {
	var list []driver.Target
	for _, p := range m.Targets {
		if p.Document == document {
			list = append(list, p)
		}
	}
	return list
}

func (m *Map) has(host, document string) bool {
	return slices.ContainsFunc(m.Targets, func(t driver.Target) bool { return t.Host == host && t.Document == document })
}

// choose returns the targets of a document on hosts, all for none. A host without the
// document is an error.
func (m *Map) choose(document string, hosts []string) ([]driver.Target, error) {
	list := m.of(document)
	if len(hosts) == 0 {
		return list, nil
	}
	for _, host := range hosts {
		if !m.has(host, document) {
			return nil, unknown("host %s has no document %s", host, document)
		}
	}
	return slices.DeleteFunc(list, func(t driver.Target) bool { return !slices.Contains(hosts, t.Host) }), nil
}

// chooseSome is choose; no targets are an error.
func (m *Map) chooseSome(document string, hosts []string) ([]driver.Target, error) {
	list, err := m.choose(document, hosts)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: no host has document %s", ErrInvalid, document)
	}
	return list, err
}

func (m *Map) render(content []byte, p driver.Target) ([]byte, error) {
	if !m.Templates[p.Document] {
		return content, nil
	}
	return Render(content, p)
}

// IsDocument reports whether s can be the name of a document.
func IsDocument(s string) bool {
	a, err := netip.ParseAddr(s)
	return catalog.IsName(s) || err == nil && a.Zone() == ""
}

const documentRule = "an IP address, or letters, digits, dots, dashes and underscores"

const (
	maxMap    = 16 << 20
	maxSecret = 64 << 10
	minToken  = 16
)

// ReadMap reads a fleet file and the files that it names, relative to its own directory.
func ReadMap(name string) (*Map, error) {
	data, err := files.ReadStream(name, maxMap)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	var named []string
	m, err := ParseMap(data, func(file string) (string, error) {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(name), file)
		}
		named = append(named, file)
		text, err := files.ReadStream(file, maxSecret)
		return strings.TrimSpace(string(text)), err
	})
	if err != nil {
		return nil, fmt.Errorf("fleet: %s: %w", name, err)
	}
	slices.Sort(named)
	m.Named = slices.Compact(named)
	return m, nil
}

// fingerprint changes when a fleet file or one that it names does, or cannot be read.
func (m *Map) fingerprint(name string) string {
	sum := sha256.New()
	for _, file := range append([]string{name}, m.Named...) {
		data, err := files.ReadStream(file, maxMap)
		fmt.Fprintf(sum, "%s %v %d\n%s", file, err, len(data), data)
	}
	return string(sum.Sum(nil))
}

// ParseMap reads a fleet file; secret reads a file that it names. The error has every fault.
func ParseMap(data []byte, secret func(file string) (string, error)) (*Map, error) {
	root, err := yamlnode.Document(data, "hosts")
	if err != nil {
		return nil, err
	}
	p := &mapParser{secret: secret, m: &Map{Templates: map[string]bool{}}}
	top := p.Fields(root, "the file", "hosts", "documents", "readers")
	if top != nil && top["hosts"] == nil {
		p.Fault(root, `"hosts" is missing`)
	}
	p.each(top["documents"], "documents", p.document)
	p.each(top["readers"], "readers", p.reader)
	p.each(top["hosts"], "hosts", p.host)
	if err := p.Err(); err != nil {
		return nil, err
	}
	return p.m, nil
}

type mapParser struct {
	yamlnode.Reader
	secret func(string) (string, error)
	m      *Map
	hosts  []string
}

func (p *mapParser) documentName(n *yaml.Node, f map[string]*yaml.Node, key string) (name string, ok bool) {
	if name, ok = p.Text(n, f, key, true); ok && !IsDocument(name) {
		p.Fault(f[key], "document %q: want "+documentRule, name)
	}
	return name, ok
}

func (p *mapParser) document(n *yaml.Node) {
	f := p.Fields(n, "a document", "name", "template")
	name, ok := p.documentName(n, f, "name")
	if !ok {
		return
	}
	switch template, _ := p.Text(n, f, "template", false); template {
	case "true":
		p.m.Templates[name] = true
	case "", "false":
	default:
		p.Fault(f["template"], "template %q: want true or false", template)
	}
}

func (p *mapParser) reader(n *yaml.Node) {
	f := p.Fields(n, "a reader", "name", "token-file", "certificate", "documents")
	if f == nil {
		return
	}
	var r Reader
	r.Name, _ = p.Text(n, f, "name", true)
	r.Certificate, _ = p.Text(n, f, "certificate", false)
	file, _ := p.Text(n, f, "token-file", false)
	switch {
	case (file == "") == (r.Certificate == ""):
		p.Fault(n, "reader %q: want either token-file or certificate", r.Name)
	case file != "":
		token, err := p.secret(file)
		if err == nil && len(token) < minToken {
			err = fmt.Errorf("the token has fewer than %d characters", minToken)
		}
		if err != nil {
			p.Fault(f["token-file"], "reader %q: %v", r.Name, err)
		}
		sum := sha256.Sum256([]byte(token))
		r.Token = &sum
	}
	p.each(f["documents"], "documents", func(item *yaml.Node) {
		if text, ok := yamlnode.Scalar(item); !ok || text == "" || strings.Contains(strings.TrimSuffix(text, "*"), "*") {
			p.Fault(item, "reader %q: want names of documents, or * at the end of one", r.Name)
		} else {
			r.Documents = append(r.Documents, text)
		}
	})
	if len(r.Documents) == 0 {
		p.Fault(n, `reader %q: "documents" is missing`, r.Name)
	}
	p.m.Readers = append(p.m.Readers, r)
}

func (p *mapParser) host(n *yaml.Node) {
	f := p.Fields(n, "a host", "name", "docker", "containers")
	name, ok := p.Text(n, f, "name", true)
	if !ok {
		return
	}
	if !catalog.IsName(name) {
		p.Fault(f["name"], "host %q: want letters, digits, dots, dashes and underscores", name)
	}
	if slices.Contains(p.hosts, name) {
		p.Fault(n, "host %q is there twice", name)
	}
	p.hosts = append(p.hosts, name)
	docker, _ := p.Text(n, f, "docker", true)
	if f["containers"] == nil {
		p.Fault(n, `host %q: "containers" is missing`, name)
	}
	p.each(f["containers"], "containers", func(item *yaml.Node) {
		place, ok := p.place(item)
		if !ok {
			return
		}
		place.Host, place.Docker = name, docker
		if p.m.has(name, place.Document) {
			p.Fault(item, "host %q has two containers with document %q", name, place.Document)
		}
		for _, other := range p.m.Targets {
			if other.Host == name && other.Container == place.Container && other.Label == place.Label && other.File == place.File && other.Document != place.Document {
				p.Fault(item, "documents %q and %q would have the same file of the same container", other.Document, place.Document)
				break
			}
		}
		p.m.Targets = append(p.m.Targets, place)
	})
}

func (p *mapParser) place(n *yaml.Node) (driver.Target, bool) {
	f := p.Fields(n, "a container", "document", "name", "label", "file", "stats", "stats-password-file", "values")
	var place driver.Target
	var ok bool
	if place.Document, ok = p.documentName(n, f, "document"); !ok {
		return place, false
	}
	place.Container, _ = p.Text(n, f, "name", false)
	place.Label, _ = p.Text(n, f, "label", false)
	if (place.Container == "") == (place.Label == "") {
		p.Fault(n, "want either the name of the container or a label")
	}
	place.File = driver.DefaultFile
	if text, given := p.Text(n, f, "file", false); given {
		place.File = text
		if !path.IsAbs(text) || path.Clean(text) != text || strings.ContainsFunc(text, unicode.IsControl) {
			p.Fault(f["file"], "file %q: want an absolute path within the container", text)
		}
	}
	if text, given := p.Text(n, f, "stats", false); given {
		place.Stats = text
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			p.Fault(f["stats"], "stats: want http://HOST:PORT/PATH, the password in stats-password-file")
		}
	}
	if file, given := p.Text(n, f, "stats-password-file", false); given {
		var err error
		if place.StatsUser, err = p.secret(file); err == nil && !strings.Contains(place.StatsUser, ":") {
			err = errors.New("want user:password in it")
		}
		if err != nil {
			p.Fault(f["stats-password-file"], "stats-password-file: %v", err)
		}
	}
	// A value with a line break could add lines to a configuration that the document
	// does not show.
	place.Values = p.Texts(f["values"], "values", func(key string, value *yaml.Node) (string, bool) {
		text, ok := yamlnode.Scalar(value)
		if ok = ok && !strings.ContainsFunc(text, unicode.IsControl); !ok {
			p.Fault(value, "value %q: want one text without control characters", key)
		}
		return text, ok
	})
	return place, true
}

func (p *mapParser) each(n *yaml.Node, what string, do func(*yaml.Node)) {
	for _, item := range p.Items(n, what) {
		do(item)
	}
}

// placeholder is what a template replaces: {{name}}, with blanks at will.
var placeholder = regexp.MustCompile(`\{\{[ \t]*([A-Za-z][A-Za-z0-9_-]*)[ \t]*\}\}`)

// Render makes the configuration of one target out of a template: every {{name}} becomes
// the target's value, {{host}} the host's name, and not a byte else is changed. A name
// without a value is an error, and so is "{{" that begins nothing.
func Render(template []byte, p driver.Target) ([]byte, error) {
	values := map[string]string{"host": p.Host}
	maps.Copy(values, p.Values)
	var out []byte
	number, missing := 0, ""
	for line := range bytes.Lines(template) {
		number++
		if bytes.Contains(placeholder.ReplaceAll(line, nil), []byte("{{")) {
			return nil, fmt.Errorf("%s: line %d: {{ without a name and }}", p.Document, number)
		}
		out = append(out, placeholder.ReplaceAllFunc(line, func(m []byte) []byte {
			name := string(bytes.Trim(m, "{} \t"))
			value, ok := values[name]
			if !ok {
				missing = name
			}
			return []byte(value)
		})...)
		if missing != "" {
			return nil, fmt.Errorf("%s: line %d: host %s has no value %q (it has %s)", p.Document, number, p.Host, missing, strings.Join(slices.Sorted(maps.Keys(values)), ", "))
		}
	}
	return out, nil
}
