package dockerflow

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/catalog"
	"fairway/internal/testkit"
)

// The numbers are those of the acceptance cases of docs/docker-flow.md.
func TestAnswersOfReconfigure(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		code        int
		status      string
		posted      bool
	}{
		{"2 no name", "servicePath=/demo&port=8080", 400, "NOK", false},
		{"3 nothing but a name", "serviceName=go-demo", 409, "NOK", false},
		{"3 only for the monitor", "serviceName=go-demo&scrapePort=8080&distribute=false", 409, "NOK", false},
		{"4 no port", "serviceName=go-demo&servicePath=/demo", 400, "NOK", false},
		{"5 tcp without srcPort", "serviceName=redis&reqMode=tcp&port=6379", 400, "NOK", false},
		{"5 tcp without port", "serviceName=redis&reqMode=tcp&srcPort=6379", 400, "NOK", false},
		{"6 minimal", "serviceName=go-demo&servicePath=/demo&port=8080", 200, "OK", true},
		{"6 minimal tcp", "serviceName=redis&reqMode=TCP&srcPort=6379&port=6379", 200, "OK", true},
		{"6 only a domain", "serviceName=go-demo&serviceDomain=a.example&port=8080", 200, "OK", true},
		{"6 only httpsPort", "serviceName=go-demo&servicePath=/&httpsPort=8443", 200, "OK", true},
		{"7 more than is known", "serviceName=go-demo&servicePath=/demo&port=8080&alertIf=@x:0.8&scrapePort=1&letsencrypt.host=a", 200, "OK", true},
		{"27 only the second index", "serviceName=go-demo&servicePath.2=/demo&port.2=8080", 409, "NOK", false},
		{"62 no replicas", "serviceName=go-demo&servicePath=/demo&port=8080&replicas=0", 200, "OK", false},
		{"62 replicas", "serviceName=go-demo&servicePath=/demo&port=8080&replicas=1", 200, "OK", true},
		{"62 replicas that are no number", "serviceName=go-demo&servicePath=/demo&port=8080&replicas=x", 400, "NOK", false},
		{"64 refused by the compiler", "serviceName=go-demo&servicePath=/demo&port=8080&pathType=bad", 500, "NOK", false},
		{"a lost contest", "serviceName=go-demo&servicePath=/demo&port=8080&pathType=worse", 200, "OK", true},
		{"a name that is no name", "serviceName=a/b&servicePath=/demo&port=8080", 400, "NOK", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			got := ask(t, w.proxy(t, nil), "GET", proxyPath+"reconfigure?"+tt.query, "")
			if got.code != tt.code || got.Status != tt.status {
				t.Errorf("%d %s %q, want %d %s", got.code, got.Status, got.Message, tt.code, tt.status)
			}
			if posted := len(w.Services()) == 1; posted != tt.posted {
				t.Errorf("posted %v, want %v", posted, tt.posted)
			}
			if tt.status == "NOK" && got.Message == "" {
				t.Error("no reason")
			}
		})
	}
}

// TestEcho pins the shape of an answer: the keys are a contract.
func TestEcho(t *testing.T) {
	p := newWorld().proxy(t, nil)
	got := ask(t, p, "GET", proxyPath+"reconfigure?serviceName=go-demo&servicePath=/demo,/x&port=8080&ACLNAME=q&users=ann:secret1%0Abob&usersPassEncrypted=true"+
		"&serviceCert=sound+secret2&serviceHeader=X-A:b:c&setReqHeader=Authorization+Basic+secret3,X-A+b&isDefaultBackend=on&replicas=3&httpsPort=8443", "")
	var body map[string]any
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.body, "secret") {
		t.Errorf("a secret is told: %s", got.body)
	}
	for key, want := range map[string]any{
		"Status": "OK", "Message": "", "ServiceName": "go-demo", "AclName": "q", "IsDefaultBackend": true, "Replicas": 3.0, "IsGlobal": false,
		"ServiceCert": "***", "SetReqHeader": []any{"***"},
		"Users": []any{
			map[string]any{"Username": "ann", "Password": masked, "PassEncrypted": true},
			map[string]any{"Username": "bob", "Password": masked, "PassEncrypted": true},
		},
	} {
		if diff := cmp.Diff(want, body[key]); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
	first := body["ServiceDest"].([]any)[0].(map[string]any)
	for key, want := range map[string]any{
		"Port": "8080", "ServicePath": []any{"/demo", "/x"}, "ReqMode": "http", "HttpsPort": 8443.0, "SrcPort": 80.0, "SrcHttpsPort": 443.0,
		"ServiceHeader": map[string]any{"X-A": "b:c"}, "Index": 0.0,
	} {
		if diff := cmp.Diff(want, first[key]); diff != "" {
			t.Errorf("ServiceDest.%s: %s", key, diff)
		}
	}
	const service = "AclName AddReqHeader AddResHeader BackendExtra CheckResolvers CompressionAlgo CompressionType ConnectionMode Debug DebugFormat " +
		"DelReqHeader DelResHeader DiscoveryType Distribute IsDefaultBackend ProxyInstanceName RedirectWhenHttpProto RedirectUnlessHttpsProto Replicas " +
		"ReqPathReplace ReqPathSearch ServiceCert ServiceDomainAlgo SessionType SetReqHeader SetResHeader TemplateBePath TemplateFePath UseGlobalUsers " +
		"Users ServicePort AclCondition IsGlobal LookupRetry LookupRetryInterval ServiceDest Tasks Status Message ServiceName"
	const dest = "AllowedMethods BalanceGroup CheckTCP Clitcpka DeniedMethods DenyHttp HttpsOnly HttpsPort HttpsRedirectCode IgnoreAuthorization " +
		"OutboundHostname PathType Port RedirectFromDomain ReqMode ReqModeFormatted ReqPathSearchReplace ServiceDomain ServiceGroup ServiceHeader " +
		"ServicePath ServicePathExclude SrcPort SrcHttpsPort SrcPortAcl SrcPortAclName SrcHttpsPortAcl SrcHttpsPortAclName SslVerifyNone TimeoutServer " +
		"TimeoutClient TimeoutTunnel VerifyClientSsl UserAgent UserDef Index ReqPathSearchReplaceFormatted IncludeSrcPortACL IncludeSrcHttpsPortACL"
	for what, pair := range map[string]struct {
		keys string
		has  map[string]any
	}{"service": {service, body}, "destination": {dest, first}} {
		for key := range strings.FieldsSeq(pair.keys) {
			if _, ok := pair.has[key]; !ok {
				t.Errorf("%s has no %s", what, key)
			}
			delete(pair.has, key)
		}
		if len(pair.has) > 0 {
			t.Errorf("%s has more: %v", what, pair.has)
		}
	}
}

// What goes into the catalogue is what the label would have said, and no secret
// that has a better place.
func TestPostedService(t *testing.T) {
	w := newWorld()
	ask(t, w.proxy(t, nil), "POST", proxyPath+"reconfigure?serviceName=go-demo&port.1=8080&servicePath.1=/a&SERVICEPATH.2=/b&debug=true&unknown=1&fairway.host=x"+
		"&reqPathSearch=/a/&reqPathReplace=&serviceCert=sound\\nkey&serviceDomain=*.a.example&checkResolvers=no&replicas=2", "aclName=01-a")
	two := 2
	want := &catalog.Service{
		ID: "go-demo@posted", Name: "go-demo", Source: "posted", OwnLabels: true, Posted: true, Replicas: &two,
		Labels: map[string]string{
			"com.df.port.1": "8080", "com.df.servicePath.1": "/a", "com.df.aclName": "01-a", "com.df.reqPathSearch": "/a/",
			"com.df.reqPathReplace": "", "com.df.serviceDomain": "*.a.example", "com.df.replicas": "2",
		},
		Instances: []*catalog.Instance{{
			ID: "go-demo", Name: "go-demo", Source: "posted", State: catalog.StateReady,
			Addresses: []catalog.Address{{Host: "go-demo", Reach: catalog.ReachFixed}},
		}},
	}
	if list := w.Services(); len(list) != 1 {
		t.Fatalf("%d services", len(list))
	} else if diff := cmp.Diff(want, list[0]); diff != "" {
		t.Error(diff)
	}
	if got := w.certs["a.example"]; got != "sound\nkey" {
		t.Errorf("certificate %q", got)
	}
}

func TestDestinations(t *testing.T) {
	for _, tt := range []struct {
		name   string
		s      Settings
		params map[string]string
		want   string // port, paths, domains, httpsOnly, index of each
	}{
		{"24 two", Settings{}, map[string]string{"port.1": "1", "servicePath.1": "/a", "port.2": "2", "servicePath.2": "/b"}, "1 [/a] [] false 1; 2 [/b] [] false 2"},
		{"25 a default", Settings{}, map[string]string{"serviceDomain": "x", "port.1": "1", "port.2": "2"}, "1 [/] [x] false 1; 2 [/] [x] false 2"},
		{"26 a gap", Settings{}, map[string]string{"port.1": "1", "port.3": "3"}, "1 [] [] false 1"},
		{"separator", Settings{Separator: "@"}, map[string]string{"port": "1", "servicePath": "/a,b@/c"}, "1 [/a,b /c] [] false 0"},
		{"httpsOnly cannot be undone", Settings{}, map[string]string{"httpsOnly": "true", "port.1": "1", "httpsOnly.1": "false"}, "1 [] [] true 1"},
		{"HTTPS_ONLY", Settings{HTTPSOnly: true}, map[string]string{"port": "1"}, "1 [] [] true 0"},
		{"nothing", Settings{}, nil, " [] [] false 0"},
	} {
		var got []string
		for _, d := range tt.s.destinations(tt.params) {
			text, _ := json.Marshal([]any{d.HttpsOnly, d.Index})
			got = append(got, d.Port+" ["+strings.Join(d.ServicePath, " ")+"] ["+strings.Join(d.ServiceDomain, " ")+"] "+
				strings.NewReplacer("[", "", "]", "", ",", " ").Replace(string(text)))
		}
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, strings.Join(got, "; "), tt.want)
		}
	}
}

// A service that is refused leaves what was there before as it was.
func TestRefusedServiceIsTakenBack(t *testing.T) {
	w := newWorld()
	p := w.proxy(t, nil)
	const good = proxyPath + "reconfigure?serviceName=a&servicePath=/a&port=1"
	ask(t, p, "GET", good, "")
	before := w.Services()
	if got := ask(t, p, "GET", good+"&pathType=bad", ""); got.code != 500 || !strings.Contains(got.Message, "com.df.pathType: no such type") {
		t.Errorf("%d %q", got.code, got.Message)
	}
	if after := w.Services(); !reflect.DeepEqual(before, after) {
		t.Errorf("services %v", after)
	}
}

func TestRemove(t *testing.T) {
	w := newWorld()
	p := w.proxy(t, nil)
	ask(t, p, "GET", proxyPath+"reconfigure?serviceName=a&servicePath=/a&port=1", "")
	changes := w.changes
	for _, tt := range []struct {
		name, query string
		code, left  int
		changed     bool
	}{
		{"9 no name", "", 400, 1, false},
		{"8 unknown", "serviceName=b", 200, 1, false},
		{"10 known", "serviceName=a", 200, 0, true},
	} {
		got := ask(t, p, "GET", proxyPath+"remove?"+tt.query, "")
		if got.code != tt.code || len(w.Services()) != tt.left || (w.changes != changes) != tt.changed {
			t.Errorf("%s: %d, %d services, %d changes", tt.name, got.code, len(w.Services()), w.changes-changes)
		}
	}
}

func TestSmallAnswers(t *testing.T) {
	w := newWorld()
	p := w.proxy(t, func(o *ProxyOptions) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("fairway_build_info 1")) })
	})
	ask(t, p, "GET", proxyPath+"reconfigure?serviceName=a&servicePath=/a&port=1&users=ann:secret", "")
	for _, tt := range []struct {
		name, method, path string
		code               int
		has                string
	}{
		{"1 ping", "GET", "ping", 200, `"Status":"OK"`},
		{"1 ping with a slash", "GET", "ping/?x=1", 301, proxyPath + "ping?x=1"},
		{"13 config", "GET", "config", 200, ""},
		{"13 config as JSON", "GET", "config?type=json", 200, `{"a":{"ServiceName":"a","ServiceDest":[{`},
		{"14 reload", "GET", "reload?recreate=true", 200, `"Status":"OK"`},
		{"15 reload without listeners", "GET", "reload?fromListener=true", 500, `"Status":"NOK"`},
		{"16 nothing to wait for", "GET", "successfulinitreload", 200, ""},
		{"metrics", "GET", "metrics", 200, "# pxname,"},
		{"11 cert by GET", "GET", "cert?certName=a", 405, `"Status":"NOK"`},
		{"11 cert without a name", "PUT", "cert", 400, "certName"},
		{"11 cert without a body", "PUT", "cert?certName=a", 400, "mandatory"},
		{"Prometheus", "GET", "/metrics", 200, "fairway_build_info 1"},
		{"test", "GET", "/v2/test", 200, "v2"},
		{"unknown", "GET", "templates", 404, ""},
	} {
		path := tt.path
		if !strings.HasPrefix(path, "/") {
			path = proxyPath + path
		}
		if got := ask(t, p, tt.method, path, ""); got.code != tt.code || !strings.Contains(got.body, tt.has) || strings.Contains(got.body, "secret") {
			t.Errorf("%s: %d %s", tt.name, got.code, got.body)
		}
	}
}

func TestCertificates(t *testing.T) {
	w := newWorld()
	p := w.proxy(t, nil)
	if got := ask(t, p, "PUT", proxyPath+"cert?certName=a.pem", "sound secret"); got.code != 200 || got.body != `{"Status":"OK","Message":"","Certs":null}`+"\n" {
		t.Errorf("%d %s", got.code, got.body)
	}
	for name, body := range map[string]string{"b.pem": "broken", "..%2Fb.pem": "sound"} {
		if got := ask(t, p, "PUT", proxyPath+"cert?certName="+name, body); got.code != 400 || got.Status != "NOK" {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	want := `{"Status":"OK","Message":"","Certs":[{"ServicePort":"","ProxyServiceName":"a.pem","CertsDir":"","CertContent":"*****"}]}` + "\n"
	if got := ask(t, p, "GET", proxyPath+"certs", ""); got.body != want {
		t.Error(got.body)
	}
	if got := ask(t, newWorld().proxy(t, nil), "GET", proxyPath+"certs", ""); !strings.Contains(got.body, `"Certs":[]`) {
		t.Error(got.body)
	}
}

// Keys go to other replicas, and to nobody else.
func TestOnlyReplicasGetKeys(t *testing.T) {
	w := newWorld()
	w.certs["a.pem"] = "sound secret"
	p := w.proxy(t, func(o *ProxyOptions) {
		o.Lookup = func(_ context.Context, host string) ([]string, error) {
			if host != "tasks.proxy" {
				return nil, errors.New("no such host")
			}
			return []string{"192.0.2.7"}, nil
		}
	})
	for _, tt := range []struct {
		name, peer, header string
		want               bool
	}{
		{"replica", "192.0.2.7:3333", "", true},
		{"somebody", "192.0.2.8:3333", "", false},
		{"somebody behind the replica", "192.0.2.7:3333", "192.0.2.8", false},
	} {
		r := httptest.NewRequest("GET", proxyPath+"certs", nil)
		r.RemoteAddr = tt.peer
		if tt.header != "" {
			r.Header.Set("X-Forwarded-For", tt.header)
		}
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, r)
		if got := strings.Contains(rec.Body.String(), "secret"); got != tt.want {
			t.Errorf("%s: told %v", tt.name, got)
		}
	}
}

// Case 67: everybody gets the call once, and whoever could not is named.
func TestDistribute(t *testing.T) {
	other := newReceiver(t, nil)
	broken := newReceiver(t, func(int, *http.Request) int { return 500 })
	hanging := newReceiver(t, func(_ int, r *http.Request) int { <-r.Context().Done(); return 200 })
	host := func(r *receiver) string { return strings.TrimPrefix(r.URL, "http://") }
	for _, tt := range []struct {
		name     string
		replicas []string
		code     int
		named    []string
	}{
		{"all", []string{"127.0.0.1:1", host(other)}, 200, nil},
		{"one is down", []string{"127.0.0.1:1", host(other), host(broken), host(hanging)}, 500, []string{host(broken), host(hanging)}},
		{"none is known", nil, 500, []string{"tasks.main_proxy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			p := w.proxy(t, func(o *ProxyOptions) {
				o.ServiceName = "main_proxy"
				o.Deadline = 200 * time.Millisecond
				o.Lookup = func(_ context.Context, name string) ([]string, error) { return tt.replicas, nil }
				o.Own = func(address string) bool { return address == "127.0.0.1:1" }
			})
			before := len(other.got())
			got := ask(t, p, "POST", proxyPath+"reconfigure?serviceName=a&servicePath=/a&port=1&Distribute=true", "distribute=true")
			if got.code != tt.code {
				t.Errorf("%d %s", got.code, got.body)
			}
			for _, name := range tt.named {
				if !strings.Contains(got.Message, name) {
					t.Errorf("%q does not name %s", got.Message, name)
				}
			}
			if len(w.Services()) != 1 {
				t.Error("not carried out here")
			}
			if calls := other.got()[before:]; len(tt.replicas) > 0 {
				want := []string{"POST " + proxyPath + "reconfigure?distribute=false&port=1&serviceName=a&servicePath=%2Fadistribute=true"}
				if diff := cmp.Diff(want, calls); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	// A call that was passed on is not passed on again, whatever its body says.
	p := newWorld().proxy(t, func(o *ProxyOptions) {
		o.Lookup = func(context.Context, string) ([]string, error) { t.Error("asked for replicas"); return nil, nil }
	})
	r := httptest.NewRequest("POST", proxyPath+"reconfigure?serviceName=a&servicePath=/a&port=1&distribute=false", strings.NewReader("distribute=true"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.ServeHTTP(httptest.NewRecorder(), r)
}

// Case 71.
func TestOtherInstances(t *testing.T) {
	w := newWorld()
	p := w.proxy(t, func(o *ProxyOptions) { o.Settings = Settings{Instance: "Docker-Flow", FilterInstance: true} })
	for query, posted := range map[string]int{"": 0, "&proxyInstanceName=other": 0, "&proxyInstanceName=docker-flow": 1} {
		got := ask(t, p, "GET", proxyPath+"reconfigure?serviceName=a&servicePath=/a&port=1"+query, "")
		if got.code != 200 || got.Status != "OK" || len(w.Services()) != posted {
			t.Errorf("%q: %d, %d services", query, got.code, len(w.Services()))
		}
		_, _ = w.Remove("a@posted")
	}
}

func TestAddressIsChecked(t *testing.T) {
	w := newWorld()
	p := w.proxy(t, func(o *ProxyOptions) {
		o.CheckAddress = true
		o.Lookup = func(_ context.Context, host string) ([]string, error) {
			if host == "known" {
				return []string{"10.0.0.1"}, nil
			}
			return nil, errors.New("no such host")
		}
	})
	for query, code := range map[string]int{"serviceName=a": 500, "serviceName=known": 200, "serviceName=a&outboundHostname=known": 200} {
		if got := ask(t, p, "GET", proxyPath+"reconfigure?servicePath=/a&port=1&"+query, ""); got.code != code {
			t.Errorf("%s: %d", query, got.code)
		}
	}
}

// Case 72.
func TestEnvironmentServices(t *testing.T) {
	env := map[string]string{
		"DFP_SERVICE_SERVICE_NAME": "a", "DFP_SERVICE_PORT": "80", "DFP_SERVICE_SERVICE_DOMAIN": "a.example", "DFP_SERVICE_HTTPS_ONLY": "true",
		"DFP_SERVICE_1_SERVICE_NAME": "b", "DFP_SERVICE_1_PORT_1": "1", "DFP_SERVICE_1_SERVICE_PATH_1": "/1", "DFP_SERVICE_1_PORT_2": "2", "DFP_SERVICE_1_SERVICE_PATH_2": "/2",
		"DFP_SERVICE_1_DISCOVERYTYPE": "DNS", "DFP_SERVICE_1_SET_REQ_HEADER": "X-A b",
		"DFP_SERVICE_2_SERVICE_NAME": "c", "DFP_SERVICE_2_PORT": "1",
		"DFP_SERVICE_4_SERVICE_NAME": "beyond the gap", "DFP_SERVICE_4_PORT": "1",
	}
	services, refused := Settings{}.EnvironmentServices(env, "")
	got := map[string]map[string]string{}
	for _, s := range services {
		got[s.ID] = s.Labels
	}
	want := map[string]map[string]string{
		"a@posted": {"com.df.port": "80", "com.df.serviceDomain": "a.example", "com.df.httpsOnly": "true"},
		"b@posted": {
			"com.df.port.1": "1", "com.df.servicePath.1": "/1", "com.df.port.2": "2", "com.df.servicePath.2": "/2",
			"com.df.discoveryType": "DNS", "com.df.setReqHeader": "X-A b",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(refused) != 1 || !strings.HasPrefix(refused[0], "c: ") {
		t.Errorf("refused %q", refused)
	}
	services, _ = Settings{}.EnvironmentServices(map[string]string{"DFP_SERVICE_SERVICE_NAME": "r", "DFP_SERVICE_PORT": "1", "DFP_SERVICE_SRC_PORT": "1"}, "tcp")
	if len(services) != 1 || services[0].Labels["com.df.reqMode"] != "tcp" {
		t.Errorf("mode: %v", services)
	}
}

// Cases 16, 69 and 70.
func TestPull(t *testing.T) {
	lists := map[string]string{}
	world := newWorld()
	listener := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			world.mu.Lock()
			text := lists[name]
			world.mu.Unlock()
			if r.URL.Path != listenerPath+"get-services" || text == "" {
				w.WriteHeader(500)
				return
			}
			_, _ = w.Write([]byte(text))
		}))
		t.Cleanup(s.Close)
		return s
	}
	set := func(name, text string) { world.mu.Lock(); lists[name] = text; world.mu.Unlock() }
	one, two := listener("one"), listener("two")
	p := world.proxy(t, func(o *ProxyOptions) {
		o.Listeners = []string{one.URL, strings.TrimPrefix(two.URL, "http://")}
		o.PullInterval, o.Repeat = 5*time.Millisecond, true
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	names := func() string {
		var list []string
		for _, s := range world.Services() {
			list = append(list, s.Name)
		}
		return strings.Join(list, " ")
	}
	if got := ask(t, p, "GET", proxyPath+"successfulinitreload", ""); got.code != 500 {
		t.Errorf("before the first list: %d", got.code)
	}
	set("one", `[{"serviceName":"a","servicePath":"/a","port":"1","distribute":"true"},{"serviceName":"monitor"},{"serviceName":"zero","servicePath":"/z","port":"1","replicas":"0"}]`)
	set("two", `[{"serviceName":"b","servicePath":"/b","port":"1"}]`)
	testkit.Eventually(t, "both lists", func() bool { return names() == "a b" })
	if got := ask(t, p, "GET", proxyPath+"successfulinitreload", ""); got.code != 200 {
		t.Errorf("after the first list: %d", got.code)
	}
	set("one", "[]")
	set("two", "") // away
	testkit.Eventually(t, "a vanishes, b stays", func() bool { return names() == "b" })
	if got := ask(t, p, "GET", proxyPath+"successfulinitreload", ""); got.code != 200 {
		t.Errorf("with one listener away: %d", got.code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Case 15.
func TestReloadFromListener(t *testing.T) {
	good, bad := newReceiver(t, nil), newReceiver(t, func(int, *http.Request) int { return 500 })
	for _, tt := range []struct {
		listeners []string
		code      int
		status    string
	}{{[]string{good.URL}, 200, "OK"}, {[]string{good.URL, bad.URL}, 500, "NOK"}} {
		p := newWorld().proxy(t, func(o *ProxyOptions) { o.Listeners = tt.listeners })
		if got := ask(t, p, "GET", proxyPath+"reload?fromListener=true", ""); got.code != tt.code || got.Status != tt.status {
			t.Errorf("%d %s", got.code, got.body)
		}
	}
	for _, call := range good.got() {
		if call != "GET "+listenerPath+"notify-services" {
			t.Error(call)
		}
	}
	if len(good.got()) != 2 {
		t.Error(good.got())
	}
}

// Case 68, its half about certificates.
func TestCertificatesOfOtherReplicas(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, certReply{Status: statusOK, Certs: []certEcho{
			{ProxyServiceName: "new.pem", CertContent: "sound"},
			{ProxyServiceName: "have.pem", CertContent: "sound, but theirs"},
			{ProxyServiceName: "masked.pem", CertContent: masked},
		}})
	}))
	defer other.Close()
	w := newWorld()
	w.certs["have.pem"] = "sound, and ours"
	p := w.proxy(t, func(o *ProxyOptions) {
		o.Lookup = func(context.Context, string) ([]string, error) {
			return []string{strings.TrimPrefix(other.URL, "http://")}, nil
		}
	})
	if err := p.adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"new.pem": "sound", "have.pem": "sound, and ours"}, w.certs); diff != "" {
		t.Error(diff)
	}
}

// Case 65, its half about calls: none of many at once is lost.
func TestManyCallsAtOnce(t *testing.T) {
	w := newWorld()
	p := w.proxy(t, nil)
	codes := make(chan int)
	for i := range 50 {
		go func() {
			codes <- ask(t, p, "GET", proxyPath+"reconfigure?serviceName=s"+string(rune('A'+i%26))+string(rune('a'+i/26))+"&servicePath=/a&port=1", "").code
		}()
	}
	for range 50 {
		if code := <-codes; code != 200 {
			t.Error(code)
		}
	}
	if n := len(w.Services()); n != 50 {
		t.Errorf("%d services", n)
	}
}

func TestListenerURL(t *testing.T) {
	for in, want := range map[string]string{
		"swarm-listener": "http://swarm-listener:8080", "l:81": "http://l:81", "http://l": "http://l:8080",
		"https://l:1/": "https://l:1", "::1": "http://[::1]:8080",
	} {
		if got := listenerURL(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// Whatever the query holds, there is an answer, and what is posted came from the
// vocabulary.
func FuzzReconfigure(f *testing.F) {
	f.Add("serviceName=a&servicePath=/a&port=1", "")
	f.Add("serviceName=a&port.1=1&reqMode.1=tcp&srcPort=2;x=%zz", "users=a:b")
	f.Fuzz(func(t *testing.T, query, body string) {
		w := newWorld()
		p := w.proxy(t, nil)
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.URL.Path, r.URL.RawQuery = proxyPath+"reconfigure", query
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, r)
		if !json.Valid(rec.Body.Bytes()) {
			t.Errorf("no JSON: %q", rec.Body.String())
		}
		for _, s := range w.Services() {
			for key := range s.Labels {
				if !strings.HasPrefix(key, LabelPrefix) {
					t.Errorf("label %q", key)
				}
			}
		}
	})
}
