package claims

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/api"
	"fairway/internal/api/rights"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/owners"
	"fairway/internal/route"
)

func world() (*owners.List, *catalog.Snapshot, *route.Table) {
	service := func(project, name, host string) *catalog.Service {
		labels := map[string]string{"com.docker.compose.project": project, "com.docker.compose.service": name}
		if host != "" {
			labels["fairway.host"] = host
		}
		id := project + "-" + name
		return &catalog.Service{ID: id + "@docker", Name: id, Source: "docker", Instances: []*catalog.Instance{{
			ID: id, Name: id + "-1", Source: "docker", Node: "docker", State: catalog.StateReady, Labels: labels,
			Addresses: []catalog.Address{{Host: "10.0.0.1", Port: 80, Reach: catalog.ReachFixed}},
		}}}
	}
	s := &catalog.Snapshot{Revision: 1, Nodes: []*catalog.Node{{ID: "docker", Name: "edge"}}, Services: []*catalog.Service{
		service("blog", "web", "www.example"), service("free", "web", "free.example"), service("shop", "api", "api.shop.example, shop.example"),
		service("shop", "db", ""), service("shop", "web", "www.example"),
	}}
	l := owners.New([]owners.Record{
		{Name: "shop", Projects: []string{"shop"}, Hosts: []string{"shop.example", "*.shop.example"}, TCPPorts: []string{"6379"}},
		{Name: "blog", Projects: []string{"blog"}, Nodes: []string{"edge"}, Hosts: []string{"www.example"}},
		{Name: "none", Projects: []string{"none"}},
	})
	return l, s, compile.New(compile.Settings{Owners: l}).Compile(s, nil)
}

func TestRecords(t *testing.T) {
	l, s, table := world()
	got := Records(l, s, table)
	want := []rights.OwnerRecord{
		{
			Name: "shop", Projects: []string{"shop"}, Hosts: []string{"shop.example", "*.shop.example"}, TCPPorts: []string{"6379"},
			Services: 2, Routes: 1, Refused: 1, Holds: []string{"api.shop.example", "shop.example"},
		},
		{Name: "blog", Projects: []string{"blog"}, Nodes: []string{"edge"}, Hosts: []string{"www.example"}, Services: 1, Routes: 1, Holds: []string{"www.example"}},
		{Name: "none", Projects: []string{"none"}, Holds: []string{}},
		{Services: 1, Routes: 1, Holds: []string{"free.example"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Records(nil, &catalog.Snapshot{}, &route.Table{}); len(got) != 0 {
		t.Errorf("nothing at all: %+v", got)
	}
}

func TestCheck(t *testing.T) {
	l, s, _ := world()
	for query, want := range map[string][]string{
		"service=blog-web&host=www.example":         {"blog-web@docker blog true: the record blog of owners allows the host www.example"},
		"service=blog-web-1":                        {"blog-web@docker blog true: the record blog of owners decides"},
		"service=free-web&host=x":                   {"free-web@docker  true: no record of owners fits, so everything is allowed"},
		"service=api&host=*.example":                {"shop-api@docker shop false: the record shop of owners does not allow the host *.example"},
		"project=shop&host=a.shop.example&path=/x/": {" shop true: the record shop of owners allows the host a.shop.example, the path /x"},
		"project=shop&port=6379":                    {" shop true: the record shop of owners allows the TCP port 6379"},
		"project=shop&port=6380&host=shop.example":  {" shop false: the record shop of owners does not allow the TCP port 6380"},
		"project=shop&priority=1":                   {" shop false: the record shop of owners does not allow the priority 1"},
		"project=shop&snippets=true":                {" shop false: the record shop of owners does not allow lines of HAProxy's configuration"},
		"project=blog&node=edge":                    {" blog true: the record blog of owners decides"},
		"label=com.docker.compose.project%3Dshop":   {"  true: no record of owners fits, so everything is allowed"},
		"host=www.example": {
			" shop false: the record shop of owners does not allow the host www.example", " blog true: the record blog of owners allows the host www.example",
			" none false: the record none of owners does not allow the host www.example", "  true: no record of owners fits, so everything is allowed",
		},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		found, err := Check(l, s, values)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		var got []string
		for _, a := range found {
			allowed := "false"
			if a.Allowed {
				allowed = "true"
			}
			if a.Allowed == (a.Hint != "") {
				t.Errorf("%s: the hint is %q", query, a.Hint)
			}
			got = append(got, a.Service+" "+a.Record+" "+allowed+": "+a.Text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
		// The client asks as it was asked.
		q, err := rights.Read(values)
		if again, readErr := rights.Read(q.Values()); err != nil || readErr != nil || cmp.Diff(q, again) != "" {
			t.Errorf("%s becomes %+v", query, again)
		}
	}
	for query, want := range map[string]string{
		"service=web-x&host=a": `there is no service "web-x"`, "host=a%2Fb": "a host is wanted", "path=x": `path "x"`, "priority=high": `priority "high": a number is wanted`,
		"port=70000": "write 1 to 65535", "label=x": `label "x": write KEY=VALUE`,
	} {
		values, _ := url.ParseQuery(query)
		_, err := Check(l, s, values)
		if refused, ok := err.(*api.Error); !ok || refused.Status < 400 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}
