package tlsoption

import (
	"strings"
	"testing"
)

// TestHosts: the name goes before the wildcard, which stands for one label, in any case of
// letters; what two hosts demand alike they share.
func TestHosts(t *testing.T) {
	hosts := NewHosts([]Host{
		{Host: "*.bank.example", ClientCAFile: "one", Require: true},
		{Host: "bank.example", ClientCAFile: "one", Require: true},
		{Host: "vip.bank.example", ClientCAFile: "two"},
		{Host: "free.bank.example"},
		{Host: "new.example", MinVersion: Version13},
	})
	for name, want := range map[string]string{
		"bank.example": "one", "x.bank.example": "one", "X.Bank.Example.": "one", "vip.bank.example": "two",
		"free.bank.example": "", "a.b.bank.example": "", "bank.example.com": "", "": "", "10.0.0.1": "", "::1": "",
	} {
		if got := hosts.Of(name).ClientCAFile; got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, tt := range []struct {
		serverName, host string
		want             bool
	}{
		{"bank.example", "x.bank.example", false},
		{"X.bank.example", "y.bank.example", false},
		{"bank.example", "vip.bank.example", true},
		{"", "bank.example", true},
		{"bank.example", "other.example", true},
		{"", "other.example", false},
		{"free.bank.example", "other.example", false},
		{"other.example", "new.example", true},
		{"new.example", "new.example", false},
	} {
		if got := hosts.Misdirected(tt.serverName, tt.host); got != tt.want {
			t.Errorf("%q on a connection for %q: %v", tt.host, tt.serverName, got)
		}
	}
	if none := NewHosts(nil); none.Misdirected("a", "b") || none.Of("a") != (Host{}) {
		t.Error("no hosts demand something")
	}
}

// TestConfig: a host with an authority demands certificates unless it says otherwise, and
// what means nothing is refused.
func TestConfig(t *testing.T) {
	yes, no := true, false
	c := Config{MinVersion: "1.2", ALPN: []string{"h2", "http/1.1"}, Hosts: []HostConfig{
		{Host: "*.Bank.example", ClientCA: "ca"},
		{Host: "a.example", ClientCA: "ca", Require: &no},
		{Host: "b.example", MinVersion: "1.3"},
		{Host: "bücher.example", ClientCA: "ca", Require: &yes},
	}}
	if o := c.Options(); !o.Equal(Options{}) {
		t.Errorf("what is usual is %+v", o)
	}
	want := []Host{
		{Host: "*.bank.example", ClientCAFile: "ca", Require: true},
		{Host: "a.example", ClientCAFile: "ca"},
		{Host: "b.example", MinVersion: "1.3"},
		{Host: "xn--bcher-kva.example", ClientCAFile: "ca", Require: true},
	}
	for i, h := range c.HostList() {
		if h != want[i] {
			t.Errorf("%+v, want %+v", h, want[i])
		}
	}
	c.Check(func(key, value, reason string) { t.Errorf("%s %s: %s", key, value, reason) })
	for want, wrong := range map[string]Config{
		"tls.curves: the curve":            {Curves: []string{"P-255"}},
		"tls.alpn: the protocol":           {ALPN: []string{"h3"}},
		"tls.hosts: host \"bank.example/x": {Hosts: []HostConfig{{Host: "bank.example/x"}}},
		"tls.hosts: a wildcard":            {Hosts: []HostConfig{{Host: "**.bank.example"}}},
		"tls.hosts: the version \"1.1\"":   {Hosts: []HostConfig{{Host: "a.example", MinVersion: "1.1"}}},
		"tls.hosts: the host is there":     {Hosts: []HostConfig{{Host: "a.example"}, {Host: "A.example"}}},
		"tls.hosts: it says":               {Hosts: []HostConfig{{Host: "a.example", Require: &yes}}},
		"tls.hosts: host \"::1\"":          {Hosts: []HostConfig{{Host: "[::1]:80"}}},
	} {
		var found []string
		wrong.Check(func(key, _, reason string) { found = append(found, key+": "+reason) })
		text := strings.Join(found, "\n")
		if !strings.HasPrefix(text, want) {
			t.Errorf("%s: %q", want, text)
		}
	}
}

// TestQUICConfig: HTTP/3 is off unless it is asked for, and refused where no client could
// use it.
func TestQUICConfig(t *testing.T) {
	for _, tt := range []struct {
		c                 QUICConfig
		engine, listenTLS string
		want              string
	}{
		{QUICConfig{ListenQUIC: "off", QUICPort: 443}, "haproxy", "off", ""},
		{QUICConfig{}, "embedded", "off", ""},
		{QUICConfig{ListenQUIC: ":443"}, "embedded", ":443", ""},
		{QUICConfig{ListenQUIC: ":443"}, "embedded", "off", "HTTP/3 is served beside listen-tls"},
		{QUICConfig{ListenQUIC: ":443"}, "haproxy", ":443", "Fairway serves HTTP/3 with engine: embedded alone"},
	} {
		got := ""
		tt.c.Check(tt.engine, tt.listenTLS, func(key, value, reason string) { got += reason })
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v with %s and %s: %q, want %q", tt.c, tt.engine, tt.listenTLS, got, tt.want)
		}
	}
	if address, port := (QUICConfig{ListenQUIC: "off", QUICPort: 443}).QUIC(); address != "" || port != 0 {
		t.Error("it is on")
	}
}
