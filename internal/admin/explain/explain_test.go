package explain

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/condition"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
	"fairway/internal/route/tlsoption"
)

func TestReadExplain(t *testing.T) {
	tests := []struct {
		query string
		want  string // scheme host path query of what is read, or the error
	}{
		{"url=http://a.example", "http a.example / "},
		{"url=HTTPS://a.example:8443/x%2520y", "https a.example:8443 /x%20y "},
		{"url=http://a.example%3Fq%3D1", "http a.example / q=1"},
		{"url=http://a.example/%3Fq%3D/%23frag", "http a.example / q=/"},
		{"url=http://a/&header=Host:+b", "http b / "},
		{"url=http://[::1]:80/", "http [::1]:80 / "},
		{"", "400 url: want"},
		{"url=a.example/", "400 url: want"},
		{"url=ftp://a.example/", "400 url: want"},
		{"url=http:///x", "400 url: want a host"},
		{"url=http://u:p@a/", "400 url: want a host"},
		{"url=http://a/&method=GET+/", "400 method"},
		{"url=http://a/&header=nocolon", "400 header"},
		{"url=http://a/&header=a+b:+c", "400 header"},
		{"url=http://a/&header=a:+b%0d%0ac:d", "400 header"},
		{"url=http://a/&client=localhost", "400 client"},
		{"url=http://a/" + strings.Repeat("&header=a:b", maxHeaders+1), "400 more than"},
	}
	for _, tt := range tests {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		a, err := readRequest(q)
		got := strings.Join([]string{a.scheme, a.host, a.path, a.query}, " ")
		wanted := got == tt.want
		if e, failed := errors.AsType[*api.Error](err); failed {
			got = "400 " + e.Detail
			wanted = tt.want != "" && strings.HasPrefix(got, tt.want)
		}
		if !wanted {
			t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
		}
	}
}

func TestFiltered(t *testing.T) {
	inside, outside := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")
	allow := route.Filter{IPAllow: &route.IPAllow{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	tests := []struct {
		name   string
		filter route.Filter
		r      route.Request
		want   int
	}{
		{"allowed", allow, route.Request{Client: inside}, 0},
		{"allowed, mapped", allow, route.Request{Client: netip.AddrFrom16(inside.As16())}, 0},
		{"not allowed", allow, route.Request{Client: outside}, 403},
		{"unknown client", allow, route.Request{}, 403},
		{"https", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{}}, route.Request{TLS: true, Method: "GET"}, 0},
		{"http, by default", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{Obtained: true}}, route.Request{Method: "GET"}, 301},
		{"http GET", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{}}, route.Request{Method: "GET"}, 301},
		{"http POST", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{}}, route.Request{Method: "POST"}, 308},
		{"redirect", route.Filter{Redirect: &route.Redirect{Status: 302, Host: "b"}}, route.Request{}, 302},
		{"http with a status", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{Status: 302}}, route.Request{Method: "GET"}, 302},
		{"allowed method", route.Filter{Methods: &route.Methods{Allow: []string{"GET"}, Deny: []string{"PUT"}}}, route.Request{Method: "GET"}, 0},
		{"other method", route.Filter{Methods: &route.Methods{Allow: []string{"GET"}}}, route.Request{Method: "POST"}, 403},
		{"denied method", route.Filter{Methods: &route.Methods{Deny: []string{"PUT"}}}, route.Request{Method: "PUT"}, 403},
		{"TLS wanted", route.Filter{RequireTLS: &route.RequireTLS{}}, route.Request{}, 403},
		{"TLS", route.Filter{RequireTLS: &route.RequireTLS{}}, route.Request{TLS: true}, 0},
		{"certificate wanted", route.Filter{RequireClientCert: &route.RequireClientCert{}}, route.Request{TLS: true}, 403},
		{"nobody", route.Filter{BasicAuth: &route.BasicAuth{}}, route.Request{Header: http.Header{"Authorization": {"Basic x"}}}, 401},
		{"no password", route.Filter{BasicAuth: &route.BasicAuth{File: "f"}}, route.Request{Header: http.Header{}}, 401},
		{"some password", route.Filter{BasicAuth: &route.BasicAuth{File: "f"}}, route.Request{Header: http.Header{"Authorization": {"Basic x"}}}, 0},
		{"depends on more", route.Filter{RateLimit: &route.RateLimit{Requests: 1}}, route.Request{}, 0},
	}
	for _, tt := range tests {
		got, why := filtered(tt.filter, &tt.r)
		if got != tt.want || (why == "") != (tt.want == 0) {
			t.Errorf("%s: %d %q, want %d", tt.name, got, why, tt.want)
		}
		if f := tt.filter.RedirectHTTPS; f != nil && f.Obtained != strings.Contains(why, "by default") {
			t.Errorf("%s: %q", tt.name, why)
		}
	}
}

func TestEligible(t *testing.T) {
	b := &route.Backend{ID: "b", Endpoints: []route.Endpoint{
		{ID: "draining", Weight: 1, State: route.EndpointDraining},
		{ID: "one", Weight: 1, State: route.EndpointReady},
		{ID: "three", Weight: 1, State: route.EndpointReady},
		{ID: "two", Weight: 1, State: route.EndpointReady},
		{ID: "waiting", Weight: 1, State: route.EndpointWaiting},
		{ID: "weightless", Weight: 0, State: route.EndpointReady},
	}}
	out := &api.EndpointLive{}
	ejected := &api.EndpointLive{InRotation: true, Ejected: true}
	tests := []struct {
		name string
		live map[string]*api.EndpointLive
		want []string
	}{
		{"nothing known", nil, []string{"one", "three", "two"}},
		{"one fails its checks", map[string]*api.EndpointLive{"one": out}, []string{"three", "two"}},
		{"all fail their checks", map[string]*api.EndpointLive{"one": out, "two": out, "three": out}, nil},
		{"one is ejected", map[string]*api.EndpointLive{"two": ejected}, []string{"one", "three"}},
		{"most are ejected: all are tried", map[string]*api.EndpointLive{"one": ejected, "two": ejected}, []string{"one", "three", "two"}},
		{"one out, one ejected", map[string]*api.EndpointLive{"one": out, "two": ejected}, []string{"three"}},
	}
	for _, tt := range tests {
		live := show.Live{}
		for id, e := range tt.live {
			live[[2]string{"b", id}] = e
		}
		if diff := cmp.Diff(tt.want, eligible(b, live)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// The matcher sees the headers that an engine would show it.
func TestArriveHeaders(t *testing.T) {
	a := asked{
		method: "GET", scheme: "https", host: "A.example:8443", path: "/", client: netip.MustParseAddr("192.0.2.1"),
		header: http.Header{
			"X-Kept": {"1", "2"}, "X-Forwarded-For": {"10.0.0.1"}, "X_forwarded_proto": {"http"}, "X-Original-Url": {"/admin"},
			"Connection": {"close, x-listed"}, "X-Listed": {"1"}, "Upgrade": {"h2c"},
		},
	}
	r, refused := a.arrive()
	if refused != nil {
		t.Fatal(refused)
	}
	want := http.Header{
		"X-Kept": {"1", "2"}, "X-Forwarded-For": {"192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host": {"a.example:8443"}, "X-Forwarded-Port": {"8443"}, "X-Request-Id": {"00000000000000000000000000000000"},
	}
	if diff := cmp.Diff(want, r.Header); diff != "" {
		t.Error(diff)
	}
	for _, method := range []string{"CONNECT", "TRACE"} {
		a.method = method
		if _, refused := a.arrive(); refused == nil || refused.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %v", method, refused)
		}
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("http://shop.example.com/demo", "GET", "X-Api-Key: a", "10.0.0.1")
	f.Add("https://[::1]:1/%2e%2e/?q#f", "", "Host: \x00", "::1%eth0")
	f.Fuzz(func(t *testing.T, u, method, header, client string) {
		a, err := readRequest(url.Values{"url": {u}, "method": {method}, "header": {header}, "client": {client}})
		if err != nil {
			return
		}
		r, refused := a.arrive()
		if refused != nil {
			return
		}
		if host, err := canonical.Host(r.Host); err != nil || host != r.Host {
			t.Errorf("host %q is not canonical", r.Host)
		}
		if path, err := canonical.Path(r.Path); err != nil || path != r.Path {
			t.Errorf("path %q is not canonical", r.Path)
		}
	})
}

// The listener is the one that is named, else the one that the scheme suggests.
func TestArriveListener(t *testing.T) {
	for _, tt := range []struct{ url, listener, want string }{
		{"http://a.example/", "", "http"},
		{"https://a.example/", "", "https"},
		{"http://a.example/", "internal", "internal"},
	} {
		a, err := readRequest(url.Values{"url": {tt.url}, "listener": {tt.listener}})
		if err != nil {
			t.Fatal(err)
		}
		r, refused := a.arrive()
		if refused != nil || r.Listener != tt.want {
			t.Errorf("%s by %q: %+v, %v; want %s", tt.url, tt.listener, r, refused, tt.want)
		}
	}
}

// A host that owners do not allow is no riddle.
func TestMeantByAnOwner(t *testing.T) {
	table := &route.Table{Problems: []route.Problem{
		{Code: route.CodeConflict, Service: "a", Text: "the record x of owners does not allow the host shop.example"},
		{Code: route.CodeNotAllowed, Service: "blog@docker", Text: "the record blog of owners does not allow the host shop.example"},
	}}
	v := show.New(nil, table, nil)
	if got, want := meant(v, "shop.example"), "; service blog@docker asks for it: the record blog of owners does not allow the host shop.example"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := meant(v, "hop.example"); got != "" {
		t.Errorf("another host: %q", got)
	}
}

// What is demanded of handshakes is said where it is missed: 421 on a connection for another
// host, 403 without TLS.
func TestDemandedOfHandshakes(t *testing.T) {
	all := route.Match{Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}
	hosts := []tlsoption.Host{{Host: "bank.example", ClientCAFile: "/ca.pem", Require: true}, {Host: "new.example", MinVersion: tlsoption.Version13}}
	table, err := route.New(1, []route.Listener{{Name: "http"}, {Name: "https", TLS: true, Hosts: hosts}}, []*route.Route{{ID: "all", Service: "all", Matches: []route.Match{all}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := show.New(nil, table, nil)
	for _, tt := range []struct {
		url, host string
		status    int
		text      string
	}{
		{"https://open.example/", "", 503, ""},
		{"https://open.example/", "other.example", 503, ""},
		{"https://bank.example:8443/", "BANK.example.", 503, ""},
		{"https://open.example/", "bank.example", 421, "made for open.example, which demands nothing in the handshake, and bank.example demands a client certificate of /ca.pem"},
		{"https://192.0.2.1/", "new.example", 421, "new.example demands TLS 1.3 at least"},
		{"https://bank.example/", "open.example", 421, "which demands a client certificate of /ca.pem"},
		{"http://bank.example/", "", 403, "the request came without TLS, and its host demands a client certificate of /ca.pem"},
		{"http://new.example/", "", 503, ""},
	} {
		q := url.Values{"url": {tt.url}}
		if tt.host != "" {
			q["header"] = []string{"Host: " + tt.host}
		}
		x, err := Answer(v, nil, &condition.Report{}, q)
		if err != nil || x.Status != tt.status || !strings.Contains(x.Text, tt.text) {
			t.Errorf("%s, host %q: %d %s, %v", tt.url, tt.host, x.Status, x.Text, err)
		}
	}
}
