package setup

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairway/internal/catalog"
)

func TestComplete(t *testing.T) {
	env := map[string]string{
		"CONSUL_HTTP_ADDR": "consul.example:8501", "CONSUL_HTTP_SSL": "true", "CONSUL_HTTP_TOKEN_FILE": "token", "CONSUL_CACERT": "ca",
		"CONSUL_CLIENT_CERT": "cert", "CONSUL_CLIENT_KEY": "key", "CONSUL_TLS_SERVER_NAME": "name",
	}
	for _, x := range []struct {
		c    Config
		env  map[string]string
		want string
	}{
		{Config{}, env, "[]  {   }"}, // unused
		{Config{Source: []string{Local}}, nil, "[127.0.0.1:8500]  {   }"},
		{Config{Source: []string{Local}}, env, "[https://consul.example:8501] token {ca cert key name}"},
		{Config{Source: []string{Local}, Address: []string{"unix:///s"}, TokenFile: "mine", TLS: TLSConfig{CA: "other"}}, env, "[unix:///s] mine {other cert key name}"},
	} {
		x.c.Complete(x.env)
		if got := fmt.Sprint(x.c.Address, " ", x.c.TokenFile, " ", x.c.TLS); got != x.want {
			t.Errorf("%s, want %s", got, x.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, x := range []struct {
		c    Config
		want string
	}{
		{Config{Address: []string{"ftp://x"}}, ""}, // unused
		{Config{Source: []string{Local, "dc2"}}, ""},
		{Config{Source: []string{Local}, Address: []string{"10.0.0.1:8500"}}, "consul.address: consul: 10.0.0.1:8500 is plain http beyond this machine, and tokens and keys would be readable on the way: use https, or allow that with consul.insecure"},
		{Config{Source: []string{"dc2", "dc2"}}, "consul.source: given twice; each datacenter is read once"},
		{Config{Source: []string{Local}, Address: []string{"127.0.0.1:1", "127.0.0.1:2"}}, ""},
		{Config{Publish: PublishConfig{Services: "all"}, Address: []string{"127.0.0.1:1", "127.0.0.1:2"}}, "consul.address: entries are written to one agent: give one address, or no consul.publish.services"},
		{Config{Source: []string{"a b"}}, "consul.source: no name of a datacenter: letters, digits, - and _"},
	} {
		var faults []string
		x.c.Check(func(key, _, reason string) { faults = append(faults, key+": "+reason) })
		if got := strings.Join(faults, "\n"); got != x.want {
			t.Errorf("%+v: %s", x.c, got)
		}
	}
}

func TestWatches(t *testing.T) {
	for _, x := range []struct{ all, sources, want int }{{0, 1, 100}, {30, 1, 30}, {0, 2, 49}, {1, 2, 1}, {0, maxSources, 1}} {
		got := watches(x.all, x.sources)
		if got != x.want || x.sources*(got+2) > 110 {
			t.Errorf("%d of %d sources: %d", x.all, x.sources, got)
		}
	}
}

func TestSources(t *testing.T) {
	c := Config{Source: []string{Local, "dc2"}}
	parts := Parts{StateDir: t.TempDir(), Feed: &catalog.Feed{}, Logger: slog.New(slog.DiscardHandler)}
	all, err := c.Open(parts)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if len(all.Sources) != 2 || all.Sources[0].Name() != "consul" || all.Sources[1].Name() != "consul:dc2" || all.Publisher != nil {
		t.Errorf("%+v", all)
	}
	// The owner is made once, and a file that is none is not replaced.
	c.Publish.Services = "labelled"
	var owner string
	for range 2 {
		all, err := c.Open(parts)
		if err != nil {
			t.Fatal(err)
		}
		defer all.Close()
		if now := all.Publisher.State().Owner; len(now) != 32 || owner != "" && now != owner {
			t.Errorf("owner %q, then %q", owner, now)
		} else {
			owner = now
		}
	}
	if err := os.WriteFile(filepath.Join(parts.StateDir, "publish-owner"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(parts); err == nil || !strings.Contains(err.Error(), "is no ID of an owner") {
		t.Errorf("an empty file of the owner: %v", err)
	}
}
