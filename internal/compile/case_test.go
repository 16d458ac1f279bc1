package compile

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"golang.org/x/tools/txtar"

	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/native"
	"fairway/internal/compile/traefik"
	"fairway/internal/owners"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
	"fairway/internal/route/match"
)

// caseSettings are the settings of a case; without the section there are none.
type caseSettings struct {
	Listeners  []string          `yaml:"listeners"` // "https :443", "https :443 tls", "mysql :3306 tcp"
	TCP        []draft.PortRange `yaml:"tcp"`
	DockerFlow *struct {
		dockerflow.Options `yaml:",inline"`
		GlobalUsers        string            `yaml:"globalUsers"`
		UserFiles          map[string]string `yaml:"userFiles"`
	} `yaml:"dockerflow"`
	// Dialects are those of other proxies that are on; Certified the names with certificates.
	Dialects  []string `yaml:"dialects"`
	Certified []string `yaml:"certified"`
	// Traefik is how labels of Traefik are read, TraefikFile its file of middlewares.
	Traefik struct {
		Entrypoints map[string]string `yaml:"entrypoints"`
		Exposed     bool              `yaml:"exposed"`
		Rule        string            `yaml:"rule"`
		Skip        []string          `yaml:"skip"`
	} `yaml:"traefik"`
	TraefikFile string `yaml:"traefikFile"`
	// Unsupported is what the engine cannot serve: words of the text of a route or
	// its backend, with the reason, each a line.
	Unsupported string `yaml:"unsupported"`
	// Defaults are labels without fairway., each a line; Locked are keys of them.
	Defaults string   `yaml:"defaults"`
	Locked   []string `yaml:"locked"`
	// Pages are the names of sets of error pages.
	Pages []string `yaml:"pages"`
	// Obtained has routes redirect by default; see the section certificates.
	Obtained bool `yaml:"obtained"`
	// Files are the directories below which labels may name files; none: any.
	Files []string `yaml:"files"`
	// Owners are records as in a configuration.
	Owners []owners.Record `yaml:"owners"`
}

// settingsOf reads the settings of a case.
func settingsOf(t *testing.T, archive *txtar.Archive) Settings {
	t.Helper()
	if len(archive.Files) == 0 || archive.Files[0].Name != "settings" {
		return Settings{}
	}
	var c caseSettings
	d := yaml.NewDecoder(bytes.NewReader(archive.Files[0].Data))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	s := Settings{TCPPorts: c.TCP, Dialects: c.Dialects, Certified: c.Certified, ErrorPages: c.Pages, UserDirs: c.Files, RedirectObtained: c.Obtained, Unsupported: unsupportedOf(c.Unsupported), Owners: owners.New(c.Owners)}
	s.Traefik = traefik.Options{EntryPoints: c.Traefik.Entrypoints, ExposedByDefault: c.Traefik.Exposed, DefaultRule: c.Traefik.Rule, Skip: c.Traefik.Skip}
	if c.TraefikFile != "" {
		var err error
		if s.Traefik.File, err = traefik.ReadFile([]byte(c.TraefikFile)); err != nil {
			t.Fatal(err)
		}
	}
	if c.Obtained {
		s.HTTPSPort = 443
	}
	for _, r := range c.Owners {
		if faults := r.Check(); len(faults) > 0 {
			t.Fatal(r.Name, faults)
		}
	}
	var defaults []Default
	for line := range strings.Lines(c.Defaults) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		defaults = append(defaults, Default{Key: key, Value: value})
	}
	var faults []native.DefaultFault
	if s.Defaults, faults = NewDefaults(defaults, c.Locked, nil); len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, l := range c.Listeners {
		words := strings.Fields(l)
		s.Listeners = append(s.Listeners, route.Listener{Name: words[0], Address: words[1], TCP: slices.Contains(words, "tcp"), TLS: slices.Contains(words, "tls")})
	}
	if f := c.DockerFlow; f != nil {
		s.DockerFlow = &f.Options
		if f.GlobalUsers != "" {
			s.DockerFlow.Users = dockerflow.ParseUsers("", f.GlobalUsers, false)
		}
		for name, text := range f.UserFiles {
			if s.DockerFlow.Secrets == nil {
				s.DockerFlow.Secrets = map[string][]route.User{}
			}
			s.DockerFlow.Secrets[name] = dockerflow.ParseUsers(name, text, false)
		}
	}
	return s
}

// unsupportedOf is the engine of a case: the first line whose words are in the
// text of the route, or of its backend, says why it cannot be served.
func unsupportedOf(lines string) func(*route.Route, *route.Backend) string {
	if lines == "" {
		return nil
	}
	return func(r *route.Route, b *route.Backend) string {
		text := r.Text()
		if b != nil {
			text += b.Text()
		}
		for line := range strings.Lines(lines) {
			if words, reason, _ := strings.Cut(strings.TrimSpace(line), " => "); strings.Contains(text, words) {
				return reason
			}
		}
		return ""
	}
}

// answers says for each line which route of the table takes the request.
func answers(t *testing.T, table *route.Table, lines []byte) []byte {
	t.Helper()
	m, err := match.New(table.Routes)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(lines)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " => ")
		if line == "" {
			continue
		}
		b.WriteString(line + " => " + answer(t, table, m, line) + "\n")
	}
	return []byte(b.String())
}

// answer finds the route for a line such as
//
//	GET https://a.example/x | X-Version: 2 | listener: other
//	TCP tcp-6379 redis.example
//
// and names it, with the port it leads to.
func answer(t *testing.T, table *route.Table, m *match.Matcher, line string) string {
	t.Helper()
	request, rest, _ := strings.Cut(line, " | ")
	words := append(strings.Fields(request), "")
	r := &route.Request{Method: words[0], Client: netip.MustParseAddr("192.0.2.1"), Listener: "http", Path: "/"}
	header := http.Header{}
	if words[0] == "TCP" {
		r.Listener, r.Host = words[1], words[2]
	} else {
		u, err := url.Parse(words[1])
		if err != nil {
			t.Fatal(err)
		}
		if r.Host, err = canonical.Host(u.Host); err != nil {
			t.Fatal(err)
		}
		if r.Path, err = canonical.Path(u.EscapedPath()); err != nil {
			t.Fatal(err)
		}
		r.TLS, r.Listener = u.Scheme == "https", u.Scheme
	}
	for part := range strings.SplitSeq(rest, " | ") {
		name, value, _ := strings.Cut(part, ": ")
		if name == "listener" {
			r.Listener = value
		} else if name != "" {
			header.Set(name, value)
		}
	}
	r.Header = header
	found := m.Find(r)
	switch {
	case found == nil:
		return "none"
	case found.Refused != "":
		return found.ID + ", refused"
	case found.Backend == "":
		return found.ID + ", redirected"
	}
	text := found.ID
	if b := table.Backend(found.Backend); len(b.Endpoints) > 0 {
		text += ", " + b.Endpoints[0].Address
	}
	return text
}
