package owners

import (
	"strings"
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

func parse(t *testing.T, text string) route.Match {
	t.Helper()
	name, path, _ := strings.Cut(text, "/")
	h := route.Host{Kind: route.HostRegexp, Value: "x.*"}
	if name != "~" {
		var err error
		if h, err = route.ParseHost(name); err != nil {
			t.Fatal(err)
		}
	}
	p := route.Path{Kind: route.PathPrefix, Value: "/" + path}
	for mark, kind := range map[string]route.PathKind{"=": route.PathExact, "~": route.PathRegexp, "^": route.PathStart} {
		if rest, ok := strings.CutPrefix(path, mark); ok {
			p = route.Path{Kind: kind, Value: "/" + rest}
		}
	}
	return route.Match{Host: h, Path: p}
}

// A route has to be wholly within what its record allows. In a path "=", "~" and "^" in
// front stand for exact, regexp and start; the host "~" for an expression.
func TestJudge(t *testing.T) {
	shop := Record{Name: "shop", Hosts: []string{"shop.example", "*.shop.example"}}
	paths := Record{Name: "paths", Hosts: []string{"*"}, Paths: []string{"/shop/", "/a"}}
	deep := Record{Name: "deep", Hosts: []string{"**.x.example", "10.0.0.1"}}
	most := Record{Name: "most", Hosts: []string{"*", "!admin.example", "!**.corp.example"}}
	for _, c := range []struct {
		record  Record
		allowed string
		refused string
	}{
		{shop, "shop.example SHOP.example. a.shop.example *.shop.example shop.example/x a.shop.example/~x", "a.b.shop.example **.shop.example example *.example * ~ blog.example xshop.example *.a.shop.example"},
		{paths, "*/shop */shop/x a.example/a ~/a/=b */=a */^shop/", "*/ */shopping a.example/ */^shop */^sh */~shop/.* */=ab"},
		{deep, "x.x.example a.b.x.example *.x.example **.x.example *.a.x.example **.a.x.example 10.0.0.1", "x.example **.example 10.0.0.2 yx.example *.yx.example * ~"},
		{most, "shop.example *.shop.example **.shop.example corp.example xcorp.example", "admin.example *.example **.example a.corp.example *.corp.example **.corp.example *.a.corp.example **.a.corp.example * ~"},
		{Record{Name: "none"}, "", "a.example * ~"},
	} {
		if faults := c.record.Check(); len(faults) > 0 {
			t.Error(c.record.Name, faults)
		}
		rights := New([]Record{c.record}).Of(Who{})
		for _, text := range strings.Fields(c.allowed) {
			if r := rights.Judge(Ask{Matches: []route.Match{parse(t, text)}}); r != nil {
				t.Errorf("%s: %s: %s", c.record.Name, text, r.Why())
			}
		}
		for _, text := range strings.Fields(c.refused) {
			r := rights.Judge(Ask{Matches: []route.Match{parse(t, "shop.example/shop"), parse(t, text)}})
			if r == nil {
				t.Errorf("%s: %s is allowed", c.record.Name, text)
			}
		}
	}
}

func TestJudgePortsPrioritiesSnippets(t *testing.T) {
	rights := New([]Record{{
		Name: "r", Hosts: []string{"a.example"}, Paths: []string{"/a"}, TCPPorts: []string{"6379", "7000-7099"}, Priorities: "-5-10",
	}}).Of(Who{})
	every := route.Match{Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}
	named := route.Match{Host: route.Host{Kind: route.HostExact, Value: "b.example"}, Path: every.Path}
	for want, asks := range map[string][]Ask{
		"": {
			{Matches: []route.Match{every}, TCPPorts: []uint16{6379}},
			{Matches: []route.Match{every}, TCPPorts: []uint16{7000, 7099}},
			{Priority: 10},
			{Priority: -5},
			{},
		},
		"tcp-ports: [6379, 7000-7099, 7100]": {{Matches: []route.Match{every}, TCPPorts: []uint16{6379, 7100}}},
		"hosts: [a.example, b.example]":      {{Matches: []route.Match{named}, TCPPorts: []uint16{6379}}},
		`hosts: [a.example, "*"]`:            {{Matches: []route.Match{every}}},
		"priorities: -5-11":                  {{Priority: 11}},
		"priorities: -6-10":                  {{Priority: -6}},
		"snippets: true":                     {{Snippet: true}},
		"outbound: true":                     {{Outbound: true}},
	} {
		for _, a := range asks {
			line := ""
			if r := rights.Judge(a); r != nil {
				line = r.Line
			}
			if line != want {
				t.Errorf("%+v: %q, want %q", a, line, want)
			}
		}
	}
	if r := New([]Record{{Name: "r"}}).Of(Who{}).Judge(Ask{Priority: 1}); r == nil || r.Line != "priorities: 1" {
		t.Errorf("without the key: %+v", r)
	}
	for asked, want := range map[int]int{-9: -5, 3: 3, 99: 10} {
		if got := rights.Priority(asked); got != want {
			t.Errorf("%d becomes %d, want %d", asked, got, want)
		}
	}
	var all *List
	if rights := all.Of(Who{}); rights.Judge(Ask{Priority: 5, Snippet: true, Matches: []route.Match{every}}) != nil || rights.Priority(5) != 5 {
		t.Error("without records not everything is allowed")
	}
}

func TestCertificates(t *testing.T) {
	for _, c := range []struct {
		certificates []string
		allowed      string
		line         string // that allows a file
	}{
		{nil, "auto internal", "certificates: [auto, internal, file]"},
		{[]string{"none"}, "", "certificates: [file]"},
		{[]string{"file"}, "file", ""},
		{[]string{"internal", "upload"}, "internal upload", "certificates: [internal, upload, file]"},
	} {
		r := Record{Name: "r", Hosts: []string{"*.a.example"}, Certificates: c.certificates}
		if faults := r.Check(); len(faults) > 0 {
			t.Error(faults)
		}
		l := New([]Record{r})
		rights := l.Of(Who{})
		for _, kind := range []string{CertInternal, CertFile, CertUpload} {
			if got := rights.Judge(Ask{Certificate: kind}) == nil; got != strings.Contains(c.allowed, kind) {
				t.Errorf("%v: %s is allowed: %t", c.certificates, kind, got)
			}
		}
		if got := rights.Auto(); got != strings.Contains(c.allowed, "auto") {
			t.Errorf("%v: auto is allowed: %t", c.certificates, got)
		}
		line := ""
		if r := rights.Judge(Ask{Certificate: CertFile}); r != nil {
			line = r.Line
		}
		if line != c.line {
			t.Errorf("%v: %q, want %q", c.certificates, line, c.line)
		}
	}
	uploads := New([]Record{
		{Name: "posted", Sources: []string{"posted"}, Hosts: []string{"*.a.example"}, Certificates: []string{"upload"}},
		{Name: "others", Hosts: []string{"*"}},
	}).Uploads("posted")
	for names, allowed := range map[string]bool{"b.a.example": true, "b.a.example *.a.example": true, "b.a.example c.example": false, "*.example": false, "10.0.0.1": false, "a_b?": false} {
		if err := uploads(strings.Fields(names)); (err == nil) != allowed {
			t.Errorf("%s: %v", names, err)
		}
	}
	if err := New([]Record{{Name: "all", Hosts: []string{"*"}}}).Uploads("posted")([]string{"x"}); err == nil || !strings.Contains(err.Error(), "certificates: [auto, internal, upload]") {
		t.Errorf("without upload: %v", err)
	}
	var none *List
	if err := none.Uploads("posted")([]string{"x"}); err != nil || !none.Of(Who{}).Auto() {
		t.Error("without records not everything is allowed", err)
	}
}

// The line of a record with many hosts stays one that can be read.
func TestLongLine(t *testing.T) {
	var hosts []string
	for range 100 {
		hosts = append(hosts, "some-long-name.example")
	}
	r := New([]Record{{Name: "long", Hosts: hosts}}).Of(Who{}).Judge(Ask{Matches: []route.Match{parse(t, "*.b.example")}})
	if want := `hosts: […, "*.b.example"]`; r.Line != want {
		t.Errorf("%q, want %q", r.Line, want)
	}
}

func TestFirstRecordDecides(t *testing.T) {
	l := New([]Record{
		{Name: "both", Projects: []string{"shop", "shop-*"}, Sources: []string{"docker:*"}},
		{Name: "project", Projects: []string{"shop*"}},
		{Name: "stack", Stacks: []string{"*"}},
		{Name: "node", Nodes: []string{"edge-*", "id7"}},
		{Name: "label", Labels: []string{"team=b*g", "tier=*"}},
		{Name: "others", Sources: []string{"*", "x"}},
	})
	labels := func(m map[string]string) func(string) string { return func(key string) string { return m[key] } }
	for want, list := range map[string][]Who{
		"both":    {{Source: "docker:10.0.0.1:2376", Project: "shop-x"}},
		"project": {{Source: "docker", Project: "shop"}, {Source: "docker", Project: "shopping", Stack: "s"}},
		"stack":   {{Source: "swarm", Stack: "s"}},
		"node":    {{Source: "docker", Node: "id7"}, {Machine: "edge-"}},
		"label":   {{Label: labels(map[string]string{"team": "bg", "tier": "x"})}, {Label: labels(map[string]string{"team": "bloog", "tier": "x"})}},
		"others":  {{Source: "docker", Project: "sho"}, {Source: "y", Label: labels(map[string]string{"team": "blog"})}, {Source: "y", Label: labels(map[string]string{"team": "b", "tier": "x"})}},
		"":        {{}, {Project: "Shop"}},
	} {
		for _, w := range list {
			if got := l.Of(w).Record().Name; got != want {
				t.Errorf("%+v is of %q, want %q", w, got, want)
			}
		}
	}
}

func TestWhoHas(t *testing.T) {
	const project, stack = "com.docker.compose.project", "com.docker.stack.namespace"
	instance := func(source, node string, state catalog.State, labels map[string]string) *catalog.Instance {
		return &catalog.Instance{ID: source + node, Source: source, Node: node, State: state, Labels: labels}
	}
	plain := &catalog.Service{Source: "a", Instances: []*catalog.Instance{
		instance("a", "n1", catalog.StateReady, map[string]string{project: "shop", "team": "x"}),
		instance("b", "n2", catalog.StateStopped, map[string]string{project: "old", "team": "y"}),
	}}
	w := WhoHas(plain, map[string]string{"n1": "edge"})
	if w.Source != "a" || w.Node != "n1" || w.Machine != "edge" || w.Project != "shop" || w.Label("team") != "x" || w.Stack != "" {
		t.Errorf("a container: %+v", w)
	}
	// What a container of a Swarm service says of itself is not asked.
	swarm := &catalog.Service{Source: "swarm", OwnLabels: true, Labels: map[string]string{stack: "s"}, Instances: []*catalog.Instance{
		instance("swarm", "n1", catalog.StateReady, map[string]string{project: "shop", "team": "x"}),
	}}
	w = WhoHas(swarm, nil)
	if w.Source != "swarm" || w.Node != "" || w.Project != "" || w.Stack != "s" || w.Label("team") != "" {
		t.Errorf("a Swarm service: %+v", w)
	}
	if w = WhoHas(&catalog.Service{Source: "posted"}, nil); w.Source != "posted" {
		t.Errorf("a service without instances: %+v", w)
	}
}

func TestCheck(t *testing.T) {
	sound := Record{Name: "a", Hosts: []string{"*", "!*.x"}, Paths: []string{"/x"}, TCPPorts: []string{"1-2"}, Priorities: "5", Labels: []string{"a.b=c*"}}
	if faults := sound.Check(); len(faults) > 0 {
		t.Error(faults)
	}
	for want, r := range map[string]Record{
		"name:":                       {},
		`hosts: host "a*b"`:           {Name: "a", Hosts: []string{"a*b"}},
		`hosts: host "https://x"`:     {Name: "a", Hosts: []string{"https://x"}},
		"only what is left out":       {Name: "a", Hosts: []string{"!x"}},
		`paths: "x"`:                  {Name: "a", Paths: []string{"x"}},
		`tcp-ports: "0"`:              {Name: "a", TCPPorts: []string{"0"}},
		`tcp-ports: "9-8"`:            {Name: "a", TCPPorts: []string{"9-8"}},
		`tcp-ports: "70000"`:          {Name: "a", TCPPorts: []string{"70000"}},
		`priorities: "high"`:          {Name: "a", Priorities: "high"},
		`priorities: "5-4"`:           {Name: "a", Priorities: "5-4"},
		`priorities: "0-1000001"`:     {Name: "a", Priorities: "0-1000001"},
		`labels: "team"`:              {Name: "a", Labels: []string{"team"}},
		`certificates: "acme": write`: {Name: "a", Certificates: []string{"acme"}},
		"none stands alone":           {Name: "a", Certificates: []string{"none", "auto"}},
		"projects: a name is empty":   {Name: "a", Projects: []string{""}},
	} {
		faults := r.Check()
		if len(faults) != 1 || !strings.Contains(faults[0].Error(), want) {
			t.Errorf("%+v: %v, want %q", r, faults, want)
		}
		if r.Name != "" && r.Projects == nil && r.Labels == nil && r.Certificates == nil {
			// What could not be read allows nothing that it names.
			if New([]Record{r}).Of(Who{}).Judge(Ask{Matches: []route.Match{parse(t, "b.example/y")}}) == nil {
				t.Errorf("%+v allows something", r)
			}
		}
	}
}
