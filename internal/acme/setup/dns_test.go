package setup_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"fairway/internal/acme/dns01/edit"
	"fairway/internal/acme/pebbletest"
	"fairway/internal/acme/setup"
	"fairway/internal/app"
	"fairway/internal/testkit"
)

// bind is a BIND with the zones test and elsewhere, which take updates that are signed.
type bind struct {
	address string
	key     string // file, as tsig-keygen writes it
}

func startBind(t *testing.T) *bind {
	t.Helper()
	named, err := exec.LookPath("named")
	if err != nil {
		if named = "/usr/sbin/named"; exec.Command(named, "-v").Run() != nil {
			t.Skip("no named: apt-get install bind9")
		}
	}
	dir, port := t.TempDir(), testkit.FreePort(t)
	b := &bind{address: "127.0.0.1:" + port, key: filepath.Join(dir, "fairway.key")}
	key := fmt.Sprintf("key \"fairway\" {\n\talgorithm hmac-sha512;\n\tsecret %q;\n};\n", base64.StdEncoding.EncodeToString([]byte("of the test, no secret")))
	write(t, b.key, []byte(key))
	const soa = "$TTL 5\n@ SOA ns.test. root.test. 1 3600 600 86400 5\n@ NS ns.test.\n"
	write(t, filepath.Join(dir, "test.zone"), []byte(soa+"* A 127.0.0.1\nns A 127.0.0.1\n_acme-challenge.c CNAME c.acme.elsewhere.\n"))
	write(t, filepath.Join(dir, "elsewhere.zone"), []byte(soa))
	zone := func(name string) string {
		return fmt.Sprintf("zone %q { type master; file \"%s.zone\"; allow-update { key fairway; }; };\n", name, name)
	}
	write(t, filepath.Join(dir, "named.conf"), fmt.Appendf(nil, `options { directory %q; listen-on port %s { 127.0.0.1; }; listen-on-v6 { none; };
		pid-file none; session-keyfile none; recursion yes; forwarders { 127.0.0.1 port 1; }; forward only; dnssec-validation no; notify no; };
		controls { };
		%s%s%s`, dir, port, key, zone("test"), zone("elsewhere")))
	pebbletest.Run(t, nil, named, "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
	testkit.Eventually(t, "BIND answers", func() bool { return len(b.texts("test.", dns.TypeSOA)) > 0 })
	return b
}

// texts are the records of a name.
func (b *bind) texts(name string, kind uint16) []dns.RR { return ask(b.address, name, kind) }

// ask asks a name server.
func ask(server, name string, kind uint16) []dns.RR {
	answer, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion(name, kind), server)
	if err != nil {
		return nil
	}
	return answer.Answer
}

// TestDNS01Bind: a host with a wildcard gets a certificate by updates that BIND takes, which
// serves the hosts below it; a host whose challenge is delegated gets one; and no record is
// left. The soak does the same with HAProxy.
func TestDNS01Bind(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, engine string) {
		if engine == app.EngineHAProxy {
			testkit.Soak(t)
		}
		b := startBind(t)
		p := startPebbleAsking(t, b.address)
		address := backend(t)
		began := time.Now()
		f := startFairway(t, p, "services:\n"+service("w", "*.apps.test", address)+service("s", "sub.apps.test", address)+service("c", "c.test", address), func(c *app.Config) {
			c.Engine, c.Listen = engine, app.Off
			c.ACME.DNS = setup.DNS{
				Provider: "rfc2136", Server: b.address, KeyFile: b.key, Resolvers: []string{b.address}, Servers: []string{b.address}, Timeout: 30 * time.Second,
			}
		})
		leaf := f.await(t, "any.apps.test")
		testkit.Figure(t, engine+": wildcard by dns-01", "%v from the start of Fairway", time.Since(began).Round(10*time.Millisecond))
		if !slices.Equal(leaf.DNSNames, []string{"*.apps.test"}) {
			t.Errorf("names %v", leaf.DNSNames)
		}
		if sub := f.await(t, "sub.apps.test"); sub.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
			t.Errorf("a host below the wildcard has a certificate for %v", sub.DNSNames)
		}
		f.await(t, "c.test")
		for id, key := range map[string]string{"fairway": "b3RoZXI=", "other": "b3RoZXI="} {
			wrong := edit.RFC2136{Server: b.address, KeyID: id, KeyFile: filepath.Join(t.TempDir(), "key")}
			write(t, wrong.KeyFile, []byte(key))
			if err := wrong.Add(t.Context(), edit.Record{Zone: "test.", Name: "a.test.", Text: "x"}); err == nil || !strings.Contains(err.Error(), "it does not know the key") {
				t.Errorf("a key that is wrong: %v", err)
			}
		}
		testkit.Eventually(t, "no record is left", func() bool {
			return len(b.texts("_acme-challenge.apps.test.", dns.TypeTXT))+len(b.texts("c.acme.elsewhere.", dns.TypeTXT)) == 0
		})
	})
}

// TestDNS01Contracts: a program and a webhook of one's own add the records, and remove them
// again also after the certificate authority has said no.
func TestDNS01Contracts(t *testing.T) {
	t.Parallel()
	p := startPebble(t)
	post := func(path, body string) error {
		resp, err := http.Post(p.DNS+path, "application/json", strings.NewReader(body))
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t0ken" {
			http.Error(w, "who are you, "+r.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		data := make([]byte, 1000)
		n, _ := r.Body.Read(data)
		body := strings.Replace(string(data[:n]), "fqdn", "host", 1)
		if err := post(map[string]string{"/present": "/set-txt", "/cleanup": "/clear-txt"}[r.URL.Path], body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	token, program, calls := filepath.Join(dir, "token"), filepath.Join(dir, "record"), filepath.Join(dir, "calls")
	write(t, token, []byte("t0ken\n"))
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl: apt-get install curl")
	}
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >>%s
case $1 in present) path=/set-txt ;; cleanup) path=/clear-txt ;; esac
[ $2 != _acme-challenge.no.test. ] || exit 0
curl -sS -d "{\"host\":\"$2\",\"value\":\"$3\"}" %s$path
`, calls, p.DNS)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for _, tt := range []setup.DNS{{Provider: "webhook", URL: hook.URL, TokenFile: token}, {Provider: "exec", Program: program}} {
		t.Run(tt.Provider, func(t *testing.T) {
			if tt.Provider == "webhook" {
				testkit.Soak(t) // its contract is a test of its own
			}
			t.Parallel()
			services := "services:\n" + service("w", "*."+tt.Provider+".test", backend(t))
			if tt.Provider == "exec" {
				services += service("n", "no.test", backend(t))
			}
			f := startFairway(t, p, services, func(c *app.Config) {
				c.ACME.DNS, c.ACME.DNS.Zone, c.ACME.DNS.Resolvers = tt, "test", []string{p.Server}
				c.ACME.DNS.Servers, c.ACME.DNS.Timeout = []string{"off"}, 30*time.Second
			})
			f.await(t, "a."+tt.Provider+".test")
			name := "_acme-challenge." + tt.Provider + ".test."
			testkit.Eventually(t, "no record is left", func() bool { return len(ask(p.Server, name, dns.TypeTXT)) == 0 })
			if tt.Provider == "exec" {
				testkit.Eventually(t, "the record of a host that is refused is removed", func() string {
					data, _ := os.ReadFile(calls)
					if strings.Contains(string(data), "cleanup _acme-challenge.no.test. ") {
						return ""
					}
					return string(data)
				})
			}
			if strings.Contains(f.log.String(), "t0ken") {
				t.Error("the token is in the log")
			}
		})
	}
}

// TestDNSKeys: what is wrong with the keys is said of the key that has it, with what to write.
func TestDNSKeys(t *testing.T) {
	dir := t.TempDir()
	plain, nonsense := filepath.Join(dir, "plain"), filepath.Join(dir, "nonsense")
	write(t, plain, []byte("c2VjcmV0\n"))
	write(t, nonsense, []byte("no key!\n"))
	for want, d := range map[string]setup.DNS{
		"": {},
		"acme.dns.server: needs acme.dns.provider: write acme.dns.provider: rfc2136":                                                   {Server: "ns1.example.com"},
		"acme.dns.server: acme.dns.provider rfc2136 needs it: write acme.dns.server: ns1.example.com":                                  {Provider: "rfc2136"},
		"acme.dns.program: acme.dns.provider exec needs it: write acme.dns.program: /usr/local/bin/dns-record":                         {Provider: "exec"},
		"acme.dns.url: acme.dns.provider webhook needs it: write acme.dns.url: https://dns.example.com/acme":                           {Provider: "webhook"},
		"acme.dns.server: acme.dns.provider webhook has no such key; it is for rfc2136":                                                {Provider: "webhook", URL: "https://x.example", Server: "ns1"},
		"acme.dns.url: write https://…, or http:// on this machine, without credentials, as https://dns.example.com/acme":              {Provider: "webhook", URL: "http://x.example"},
		"acme.dns.token-file: acme.dns.provider cloudflare needs it: write acme.dns.token-file: /run/secrets/dns":                      {Provider: "cloudflare"},
		"acme.dns.key-id: acme.dns.provider route53 needs it: write acme.dns.key-id: AKIA…":                                            {Provider: "route53", KeyFile: plain},
		"acme.dns.key-file: acme.dns.provider hetzner has no such key; it is for route53, rfc2136":                                     {Provider: "hetzner", TokenFile: plain, KeyFile: plain},
		"acme.dns.key-id: write the name that the server knows the key by":                                                             {Provider: "rfc2136", Server: "ns1", KeyFile: plain},
		"acme.dns.key-file: neither a secret in base64 nor a key as tsig-keygen writes it":                                             {Provider: "rfc2136", Server: "ns1", KeyID: "k", KeyFile: nonsense},
		"acme.dns.key-file: acme.dns.key-id needs it: write the path of the file with the key":                                         {Provider: "rfc2136", Server: "ns1", KeyID: "k"},
		"acme.dns.program: it cannot be run: permission denied":                                                                        {Provider: "exec", Program: plain},
		"acme.dns.resolvers: write HOST or HOST:PORT, as 192.0.2.1:53":                                                                 {Provider: "webhook", URL: "http://127.0.0.1:1", Resolvers: []string{"a:b:c"}},
		"acme.dns.servers: write HOST or HOST:PORT, as 192.0.2.1:53":                                                                   {Provider: "webhook", URL: "http://127.0.0.1:1", Servers: []string{"https://x"}},
		"acme.challenges: needs acme.dns.provider, which adds the records: write acme.dns.provider: rfc2136; acme.dns.zone: unchanged": {},
	} {
		cfg := setup.Config{Agree: true, CA: "https://ca.example/", Challenges: []string{"http-01"}, DNS: d}
		if strings.Contains(want, "acme.challenges") {
			want, _, _ = strings.Cut(want, "; acme.dns.zone")
			cfg.Challenges = []string{"dns-01"}
		}
		var said []string
		cfg.Check(false, true, true, func(key, _, reason string) { said = append(said, key+": "+reason) })
		if got := strings.Join(said, "; "); got != want {
			t.Errorf("%+v:\n%s\nwant\n%s", d, got, want)
		}
	}
}
