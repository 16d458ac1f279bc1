package env

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairway/internal/dockerflow"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
)

var update = flag.Bool("update", false, "write docs/docker-flow-env.md anew")

// read reads an environment with secrets.
func read(env, secrets map[string]string, on Parts) (*Environment, error) {
	files := fstest.MapFS{}
	for name, text := range secrets {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Read(env, files, on)
}

// Case 73: every variable that the original reads from a secret is read from one
// here, and the secret wins, even when it is empty.
func TestSecretsGoBeforeVariables(t *testing.T) {
	e, err := read(map[string]string{"TIMEOUT_CONNECT": "9", "USERS": "a:b", "DEFAULT_PROTOCOL": "tcp"},
		map[string]string{"dfp_timeout_connect": "7\n", "dfp_users": "", "dfp_users_team": "ann:x,bob:y"}, Parts{Proxy: true})
	if err != nil {
		t.Fatal(err)
	}
	if e.Limits.DialTimeout != 7*time.Second || e.Labels.Users != nil || e.mode != "tcp" || len(e.Labels.Secrets["team"]) != 2 {
		t.Errorf("%+v", e)
	}
}

func TestProxyVariables(t *testing.T) {
	e, err := read(map[string]string{
		"MODE": "swarm", "SERVICE_NAME": "main_proxy", "LISTENER_ADDRESS": "one, two:81", "REPEAT_RELOAD": "true", "RELOAD_INTERVAL": "250",
		"HTTPS_ONLY": "true", "SEPARATOR": "@", "FILTER_PROXY_INSTANCE_NAME": "true", "PROXY_INSTANCE_NAME": "p1", "SKIP_ADDRESS_VALIDATION": "false",
		"BIND_PORTS": "8085,8443 accept-proxy:ssl", "DEFAULT_PORTS": "80,443:ssl", "CA_FILE": "/ca.pem", "USERS": "a:b", "SERVICE_DOMAIN_ALGO": "hdr_beg(host)",
		"STATS_USER": "admin", "PREFERRED_CERTIFICATE": "a*,b*", "DF_RETRY": "x", "CHECK_RESOLVERS": "false", "PORT": "8081",
		"DFP_SERVICE_SERVICE_NAME": "env", "DFP_SERVICE_PORT": "1", "DFP_SERVICE_SERVICE_PATH": "/env", "DFP_SERVICE_1_SERVICE_NAME": "bad",
	}, nil, Parts{Proxy: true})
	if err != nil {
		t.Fatal(err)
	}
	if e.ServiceName != "main_proxy" || !e.Repeat || e.PullInterval != 250*time.Millisecond || !e.CheckAddress || e.Port != "8081" ||
		!e.Labels.HTTPSOnly || e.Labels.Separator != "@" || !e.Labels.FilterInstance || e.Labels.Instance != "p1" || len(e.Labels.Users) != 1 ||
		e.Labels.DomainAlgo != "hdr_beg(host)" || len(e.Services) != 1 {
		t.Errorf("%+v", e)
	}
	if diff := cmp.Diff([]string{"one", "two:81"}, e.Listeners); diff != "" {
		t.Error(diff)
	}
	if len(e.Notices) != 2 || !strings.HasPrefix(e.Notices[0], "STATS_USER: ") || !strings.HasPrefix(e.Notices[1], "DFP_SERVICE: bad: ") {
		t.Errorf("notices %q", e.Notices)
	}
	configured := []route.Listener{{Name: "http", Address: ":8000"}, {Name: "https", Address: ":443", TLS: true}}
	want := []route.Listener{
		{Name: "http", Address: ":8000"},
		{Name: "https", Address: ":443", TLS: true, ClientCAFile: "/ca.pem"},
		{Name: "http-8085", Address: ":8085"},
		{Name: "https-8443", Address: ":8443", TLS: true, ProxyProtocol: true, ClientCAFile: "/ca.pem"},
	}
	if diff := cmp.Diff(want, e.ListenersOf(configured)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[uint16]string{80: "http", 443: "https"}, e.Labels.Ports); diff != "" {
		t.Error(diff)
	}
}

// Nothing but what cannot be honoured and protects something keeps Fairway from
// starting, and everything is reported at once.
func TestRefusedVariables(t *testing.T) {
	_, err := read(map[string]string{
		"EXTRA_FRONTEND": "http-request deny", "CRT_LIST_PATH": "/x", "TIMEOUT_CONNECT": "soon", "BIND_PORTS": "80 crt",
		"CFG_TEMPLATE_PATH": "/cfg/tmpl/haproxy.tmpl", "DF_NOTIFY_CREATE_NODE_URL": "proxy",
	}, nil, Parts{Proxy: true, Listener: true})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"EXTRA_FRONTEND", "CRT_LIST_PATH", "TIMEOUT_CONNECT", "BIND_PORTS", "DF_NOTIFY_CREATE_NODE_URL"} {
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "CFG_TEMPLATE_PATH") {
		t.Error("the default is refused")
	}
	if _, err := read(map[string]string{"EXTRA_FRONTEND": "x", "PORT": "x"}, nil, Parts{}); err != nil {
		t.Errorf("read without a face: %v", err)
	}
}

// Case 83: old names win, secrets come on top, methods go by position.
func TestListenerVariables(t *testing.T) {
	e, err := read(map[string]string{
		"DF_NOTIFICATION_URL": "http://oldest", "DF_NOTIFY_CREATE_SERVICE_URL": "http://new", "DF_NOTIF_CREATE_SERVICE_URL": "http://old/a?x=1,http://old/b",
		"DF_NOTIFY_CREATE_SERVICE_METHOD": "PUT,POST", "DF_RETRY": "0", "DF_RETRY_INTERVAL": "0", "DF_NOTIFY_LABEL": "com.df.tell",
		"DF_USE_DOCKER_SERVICE_EVENTS": "false", "DF_INCLUDE_NODE_IP_INFO": "true", "DF_SERVICE_NAME_PREFIX": "dev",
	}, map[string]string{"df_notify_create_service_url": "http://secret\n"}, Parts{Listener: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []dockerflow.Receiver{{URL: "http://old/a?x=1", Method: "PUT"}, {URL: "http://old/b", Method: "POST"}, {URL: "http://secret", Method: "POST"}}
	if diff := cmp.Diff(want, e.CreateService); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]dockerflow.Receiver{{URL: "http://oldest"}}, e.RemoveService); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(dockerflow.Announcing{Label: "com.df.tell", NamePrefix: "dev", NodeInfo: true}, e.Announcing); diff != "" {
		t.Error(diff)
	}
	if e.Retries != -1 || e.RetryInterval != time.Second || len(e.Notices) != 1 {
		t.Errorf("%+v", e)
	}
}

// TestVariableReference holds docs/docker-flow-env.md to the tables.
func TestVariableReference(t *testing.T) {
	const path = "../../../docs/docker-flow-env.md"
	want := variableReference()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not current (run with -update to write it):\n%s", path, diff)
	}
}

func variableReference() string {
	var b strings.Builder
	b.WriteString(`# The environment of Docker Flow

<!-- Printed from the tables in internal/dockerflow/env/variables.go with -update. -->

What Docker Flow Proxy and Docker Flow Swarm Listener read from their environment, and what Fairway makes of it. Fairway
reads the proxy's variables when ` + "`dockerflow.proxy.listen` or `dockerflow.labels`" + ` is set, the listener's when
` + "`dockerflow.listener.listen`" + ` is; otherwise they mean nothing to it.

- **kept**: it does what it did, or what is said here.
- **ignored**: it has nothing to do here; the log says so once, unless the value means what holds anyway.
- **refused**: Fairway does not start with it, since less would be protected than before.

Where *secret* says yes, the Docker secret ` + "`/run/secrets/dfp_<name in lower case>`" + ` is read as well, and wins, even
when it is empty. *On top* means that the URLs in the secret ` + "`/run/secrets/<name in lower case>`" + ` are added.

Docker Flow's port for both APIs, 8080, is that of Fairway's own admin API: give ` + "`admin.listen`" + ` another one, or
turn it off, to use it. The APIs ask for no credentials: publish them nowhere, and put Fairway and its callers on a network of their own.
Passwords and private keys are never shown, with one exception: another replica of the proxy, an address that Docker's DNS
lists under ` + "`tasks.<SERVICE_NAME>`" + `, gets the certificates that were sent by PUT, keys included, when it starts.
`)
	for _, part := range []struct {
		title     string
		variables []variable
	}{{"Docker Flow Proxy", proxyVariables()}, {"Docker Flow Swarm Listener", listenerVariables()}} {
		fmt.Fprintf(&b, "\n## %s\n\n| variable | secret | | what becomes of it |\n|---|---|---|---|\n", part.title)
		for _, v := range part.variables {
			secret := ""
			if v.secret {
				secret = "yes"
			}
			if v.appended {
				secret = "on top"
			}
			meaning := v.meaning
			if v.status != kept {
				meaning = strings.ToUpper(meaning[:1]) + meaning[1:] + "."
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.name, secret, v.status, meaning)
		}
	}
	b.WriteString(`
### With HAProxy as the engine

These are kept with ` + "`engine: haproxy`" + `, in place of what is said above.

| variable | what becomes of it |
|---|---|
`)
	for _, v := range haproxyVariables() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, v.meaning)
	}
	b.WriteString(`
Services in ` + "`DFP_SERVICE_*` and `DFP_SERVICE_<n>_*`" + ` are kept, with every parameter of a call in upper case with underscores
(` + "`DFP_SERVICE_1_SERVICE_PATH_2`" + `); the rules are those of a call. Users of secrets ` + "`dfp_users_<name>`" + ` are those of the label
` + "`usersSecret`" + `. Certificates are found in ` + "`/certs`, in secrets whose names begin with `cert-` or `cert_`, and in `dockerflow.proxy.certificates`" + `,
to which those go that are sent by PUT.
`)
	return b.String()
}

// Case 74: who may see the page of statistics, and where. Nobody, unless somebody
// says so.
func TestStatisticsVariables(t *testing.T) {
	for name, tt := range map[string]struct {
		env, secrets map[string]string
		want         *render.Statistics
		notices      int
		fails        bool
	}{
		"nothing":           {},
		"both":              {env: map[string]string{"STATS_USER": "ann", "STATS_PASS": "p:w"}, want: &render.Statistics{URI: "/admin?stats", User: "ann", Password: "p:w"}},
		"none":              {env: map[string]string{"STATS_USER": "none", "STATS_PASS": "none"}, want: &render.Statistics{URI: "/admin?stats"}},
		"half none":         {env: map[string]string{"STATS_USER": "ann", "STATS_PASS": "none"}, notices: 1},
		"no password":       {env: map[string]string{"STATS_USER": "ann"}, notices: 1},
		"where without who": {env: map[string]string{"STATS_URI": "/s", "STATS_PORT": "9999"}, notices: 1},
		"a port of its own": {
			env:  map[string]string{"STATS_USER": "a", "STATS_PASS": "b", "STATS_PORT": "9999", "STATS_URI": "/s"},
			want: &render.Statistics{URI: "/s", User: "a", Password: "b", Address: netip.MustParseAddrPort("[::]:9999")},
		},
		"port 80":    {env: map[string]string{"STATS_USER": "a", "STATS_PASS": "b", "STATS_PORT": "80"}, want: &render.Statistics{URI: "/admin?stats", User: "a", Password: "b"}},
		"other name": {env: map[string]string{"STATS_USER_ENV": "ME", "ME": "me", "STATS_PASS": "b"}, want: &render.Statistics{URI: "/admin?stats", User: "me", Password: "b"}},
		"secrets":    {env: map[string]string{"STATS_USER": "a", "STATS_PASS": "b"}, secrets: map[string]string{"dfp_stats_pass": "s\n"}, want: &render.Statistics{URI: "/admin?stats", User: "a", Password: "s"}},
		"colon":      {env: map[string]string{"STATS_USER": "a:b", "STATS_PASS": "b"}, fails: true},
		"no path":    {env: map[string]string{"STATS_USER": "a", "STATS_PASS": "b", "STATS_URI": "stats"}, fails: true},
		"no port":    {env: map[string]string{"STATS_USER": "a", "STATS_PASS": "b", "STATS_PORT": "x"}, fails: true},
	} {
		e, err := read(tt.env, tt.secrets, Parts{Proxy: true, HAProxy: true})
		if tt.fails {
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, e.HAProxy.Extra.Statistics, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || len(e.Notices) != tt.notices {
			t.Errorf("%s: notices %q (-want +got)\n%s", name, e.Notices, diff)
		}
	}
}

// Case 76, and the timeouts: with HAProxy as the engine these are kept.
func TestHAProxyVariables(t *testing.T) {
	env := map[string]string{
		"EXTRA_GLOBAL": "tune.bufsize 32768, ,maxcompcpuusage 90", "EXTRA_FRONTEND": "http-request deny if { path /x }",
		"CAPTURE_REQUEST_HEADER": "User-Agent:20,X-A:3", "TIMEOUT_CLIENT": "7", "TIMEOUT_TUNNEL": "8", "DEBUG": "true",
	}
	e, err := read(env, nil, Parts{Proxy: true, HAProxy: true})
	if err != nil {
		t.Fatal(err)
	}
	want := HAProxy{
		Extra: render.Extra{
			Global: []string{"tune.bufsize 32768", "maxcompcpuusage 90"}, Frontend: []string{"http-request deny if { path /x }"},
			Captures: []render.Capture{{Name: "User-Agent", Length: 20}, {Name: "X-A", Length: 3}},
		},
		ClientTimeout: 7 * time.Second, TunnelTimeout: 8 * time.Second,
	}
	if diff := cmp.Diff(want, e.HAProxy, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || len(e.Notices) > 0 || !e.Debug {
		t.Errorf("notices %q (-want +got)\n%s", e.Notices, diff)
	}
	for _, wrong := range []string{"User-Agent", "User-Agent:0", ":3", "A:x", "A b:3"} {
		if _, err := read(map[string]string{"CAPTURE_REQUEST_HEADER": wrong}, nil, Parts{Proxy: true, HAProxy: true}); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
	for _, v := range haproxyVariables() {
		found := false
		for _, all := range proxyVariables() {
			found = found || all.name == v.name && all.secret == v.secret
		}
		if !found {
			t.Errorf("%s is no variable of Docker Flow Proxy, or not a secret of it alike", v.name)
		}
	}
}
