package compile

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"golang.org/x/tools/txtar"

	"fairway/internal/catalog"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/native"
	"fairway/internal/route"
)

var update = flag.Bool("update", false, "write golden files and docs/labels.md anew")

// A case is a txtar archive: any number of "catalog" sections, which are compiled
// one after the other, each with the table of the one before as its previous, and
// behind each the table and the problems it must give.
//
// A catalog is a short form of a snapshot. See caseService. A section "settings" in
// front of all is a short form of Settings; see caseSettings. "certificates" are those of the
// catalogs behind it. A section "requests"
// behind a table asks which route takes a request; see answer.

// caseService is a service of a case. A service without instances and labels of
// its own, but with "one", has one ready instance with these labels; one with
// "flow" and no instances has one ready instance, too.
type caseService struct {
	ID        string            `yaml:"id"`
	Owner     string            `yaml:"owner"`
	Holder    string            `yaml:"holder"`
	Created   int               `yaml:"created"` // seconds; zero is unknown
	Labels    map[string]string `yaml:"labels"`
	One       map[string]string `yaml:"one"`
	Instances []caseInstance    `yaml:"instances"`
	Replicas  *int              `yaml:"replicas"`
	Virtual   []string          `yaml:"virtual"` // "proxy shared 10.0.0.2"
	Lately    bool              `yaml:"lately"`  // nothing of it runs, but did a moment ago
	Flow      map[string]string `yaml:"flow"`    // labels of the service, without com.df.; notify is true
	Env       map[string]string `yaml:"env"`     // variables of one ready instance, which exposes 80
}

// caseInstance is an instance of a case. Without ports it exposes 80; without
// networks it is on the bridge network of Fairway's own host.
type caseInstance struct {
	Name      string            `yaml:"name"`
	ID        string            `yaml:"id"`      // default: the name
	Source    string            `yaml:"source"`  // default: docker
	Created   int               `yaml:"created"` // seconds
	State     catalog.State     `yaml:"state"`   // default: ready
	Weight    int               `yaml:"weight"`
	Labels    map[string]string `yaml:"labels"`
	Env       map[string]string `yaml:"env"`      // variables that dialects read
	Ports     *[]string         `yaml:"ports"`    // "8080", "53/udp", "80=203.0.113.1:8080" for a published one
	Networks  *[]string         `yaml:"networks"` // "proxy shared 10.0.0.2"; network "-" for none
	Addresses []string          `yaml:"fixed"`    // "10.0.0.5:8080"
}

func parseCatalog(t *testing.T, data []byte) *catalog.Snapshot {
	t.Helper()
	var services []caseService
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&services); err != nil {
		t.Fatal(err)
	}
	s := &catalog.Snapshot{}
	for i, c := range services {
		name, source, ok := strings.Cut(c.ID, "@")
		if c.One != nil {
			c.Instances = append(c.Instances, caseInstance{Name: name + "-1", Labels: c.One})
		}
		if !ok {
			source = "docker"
		}
		if c.Env != nil {
			c.Instances = append(c.Instances, caseInstance{Name: name + "-1", Env: c.Env})
		}
		if c.Flow != nil {
			c.Labels = map[string]string{"com.df.notify": "true"}
			for k, v := range c.Flow {
				c.Labels[catalog.FlowLabelPrefix+k] = v
			}
			if c.Instances == nil {
				c.Instances = []caseInstance{{Name: name + ".1"}}
			}
		}
		service := &catalog.Service{ID: c.ID, Name: name, Source: source, Labels: c.Labels, Created: seconds(c.Created), Replicas: c.Replicas, RanLately: c.Lately}
		service.OwnLabels = source == "swarm" || source == "posted" || source == "file"
		if c.Owner != "" {
			service.Name, _, _ = strings.Cut(name, "~")
			service.Owner, service.Holder = c.Owner, c.Holder
		}
		service.Posted = source == "posted"
		for _, v := range c.Virtual {
			service.Virtual = append(service.Virtual, parseNetwork(v))
		}
		for j, in := range c.Instances {
			if in.Source == "" && source == "swarm" {
				in.Source = source
			}
			service.Instances = append(service.Instances, in.instance(t, fmt.Sprintf("172.17.%d.%d", i, j+2)))
		}
		s.Services = append(s.Services, service)
	}
	slices.SortFunc(s.Services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return s
}

func seconds(n int) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(int64(n), 0)
}

func (c caseInstance) instance(t *testing.T, address string) *catalog.Instance {
	t.Helper()
	in := &catalog.Instance{
		ID: c.ID, Name: c.Name, Source: c.Source, Created: seconds(c.Created), State: c.State, Weight: c.Weight, Labels: c.Labels, Env: c.Env,
	}
	if in.ID == "" {
		in.ID = in.Name
	}
	if in.Source == "" {
		in.Source = "docker"
	}
	if in.State == "" {
		in.State = catalog.StateReady
	}
	for _, a := range c.Addresses {
		at, err := netip.ParseAddrPort(a)
		if err != nil {
			t.Fatal(err)
		}
		in.Addresses = append(in.Addresses, catalog.Address{Host: at.Addr().String(), Port: at.Port(), Reach: catalog.ReachFixed})
	}
	if c.Addresses != nil {
		return in
	}
	networks, ports := []string{"bridge bridge " + address}, []string{"80"}
	if c.Networks != nil {
		networks = *c.Networks
	}
	if c.Ports != nil {
		ports = *c.Ports
	}
	for _, n := range networks {
		in.Addresses = append(in.Addresses, parseNetwork(n))
	}
	for _, p := range ports {
		number, published, _ := strings.Cut(p, "=")
		number, protocol, ok := strings.Cut(number, "/")
		if !ok {
			protocol = "tcp"
		}
		n, err := draft.ReadInt(number, 1, 65535)
		if err != nil {
			t.Fatal(err)
		}
		in.Ports = append(in.Ports, catalog.Port{Number: uint16(n), Protocol: protocol, Published: published})
	}
	return in
}

// caseCertificates reads a section of certificates that catalogs behind it have: lines with
// a file, and the name that Fairway has obtained it for.
func caseCertificates(data []byte) (list []catalog.Certificate) {
	for line := range strings.Lines(string(data)) {
		file, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		list = append(list, catalog.Certificate{File: file, Source: "acme", Name: name})
	}
	return list
}

func parseNetwork(s string) catalog.Address {
	words := strings.Fields(s)
	return catalog.Address{Network: strings.TrimPrefix(words[0], "-"), Reach: catalog.Reach(words[1]), Host: words[2]}
}

// goldenText is what a case expects of a table.
func goldenText(table *route.Table) (served, problems string) {
	var b strings.Builder
	for _, p := range table.Problems {
		b.WriteString(p.String() + "\n")
	}
	for _, p := range table.Notices {
		b.WriteString("notice " + p.String() + "\n")
	}
	problems = b.String()
	b.Reset()
	for _, l := range table.Listeners {
		if strings.HasPrefix(l.Name, draft.OpenedPrefix) {
			b.WriteString(l.Text())
		}
	}
	for _, r := range table.Routes {
		b.WriteString(r.Text())
	}
	for _, be := range table.Backends {
		b.WriteString(be.Text())
	}
	return b.String(), problems
}

func goldenFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases: ", err)
	}
	return files
}

func TestGolden(t *testing.T) {
	for _, file := range goldenFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := &txtar.Archive{Comment: archive.Comment}
			settings := settingsOf(t, archive)
			compiler := New(settings)
			var previous *route.Table
			var certificates []catalog.Certificate
			for _, section := range archive.Files {
				switch section.Name {
				case "settings":
					got.Files = append(got.Files, section)
				case "certificates":
					certificates = caseCertificates(section.Data)
					got.Files = append(got.Files, section)
				case "requests":
					got.Files = append(got.Files, txtar.File{Name: section.Name, Data: answers(t, previous, section.Data)})
				}
				if section.Name != "catalog" {
					continue
				}
				snapshot := parseCatalog(t, section.Data)
				snapshot.Revision, snapshot.Certificates = uint64(len(got.Files)+1), certificates
				table := compiler.Compile(snapshot, previous)
				checkSame(t, settings, compiler, snapshot, previous, table)
				if again, err := settings.Fitted(table); err != nil || again != table {
					t.Errorf("restored at once it is another table (%v)", err)
				}
				served, problems := goldenText(table)
				got.Files = append(got.Files, section,
					txtar.File{Name: "table", Data: []byte(served)}, txtar.File{Name: "problems", Data: []byte(problems)})
				previous = table
			}
			text := txtar.Format(got)
			if *update {
				if err := os.WriteFile(file, text, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(text)); diff != "" {
				t.Errorf("-want +got (run with -update to accept):\n%s", diff)
			}
		})
	}
}

// checkSame holds what must be true of every compilation: memory changes nothing,
// and what did not change is the same pointer.
func checkSame(t *testing.T, settings Settings, warm *Compiler, s *catalog.Snapshot, previous, table *route.Table) {
	t.Helper()
	fresh := New(settings).Compile(s, previous)
	if diff := cmp.Diff(table.Text(), fresh.Text()); diff != "" {
		t.Errorf("a fresh compiler makes another table (-warm +fresh):\n%s", diff)
	}
	for name, c := range map[string]*Compiler{"warm": warm, "fresh": New(settings)} {
		again := c.Compile(s, table)
		if diff := cmp.Diff(table.Text(), again.Text()); diff != "" {
			t.Errorf("compiling again changes the table (%s):\n%s", name, diff)
		}
		if !slices.Equal(table.Routes, again.Routes) || !slices.Equal(table.Backends, again.Backends) {
			t.Errorf("compiling again makes new pointers (%s)", name)
		}
	}
}

// TestEveryKeyHasACase demands that each key of every dialect is in a golden case.
func TestEveryKeyHasACase(t *testing.T) {
	var all []string // labels, in lower case
	for _, file := range goldenFiles(t) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range archive.Files {
			if section.Name != "catalog" {
				continue
			}
			for _, s := range parseCatalog(t, section.Data).Services {
				all = slices.AppendSeq(all, maps.Keys(s.Labels))
				for _, in := range s.Instances {
					all = slices.AppendSeq(all, maps.Keys(in.Labels))
				}
			}
		}
	}
	has := func(pattern string) bool {
		e := regexp.MustCompile("(?i)^\\s*" + pattern + "\\s*$")
		return slices.ContainsFunc(all, e.MatchString)
	}
	for _, k := range native.Keys() {
		pattern := regexp.QuoteMeta(k.Name)
		if strings.HasSuffix(k.Name, ".") {
			pattern += ".+"
		}
		if !has("fairway\\.([a-z0-9_-]+\\.)?" + pattern) {
			t.Errorf("no case in testdata has a label %s%s", catalog.LabelPrefix, k.Name)
		}
	}
	for _, k := range dockerflow.Parameters() {
		if !has("com\\.df\\." + k.Name + "(\\.[0-9]+)?") {
			t.Errorf("no case in testdata has a label %s%s", catalog.FlowLabelPrefix, k.Name)
		}
	}
}
