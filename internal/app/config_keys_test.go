package app

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var comparePrefixes = cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}

// apart are keys that do not go with others of fullFiles, with a file that has them.
var apart = map[string]string{
	"acme.dns.server acme.dns.key-id acme.dns.key-file": "acme: {agree: true, dns: {provider: rfc2136, server: ns1.example.com:5353, key-id: id, key-file: token}}",
	"acme.dns.program": "acme: {agree: true, dns: {provider: exec, program: run}}",
	"acme.on-demand.ask acme.on-demand.hosts acme.on-demand.names acme.on-demand.per-hour": "acme: {agree: true, on-demand: {ask: \"http://127.0.0.1:9000/allowed\", hosts: [\"*.shops.example\"], names: 10, per-hour: 5}}",
}

// Keys that do not go with others are the same from the file, the environment and flags.
func TestKeysApart(t *testing.T) {
	for keys, text := range apart {
		files := fullFiles()
		files["fairway.yml"], files["run"], files["token"] = text+"\n", "#!/bin/sh\n", "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
		inDir(t, files)
		if err := os.Chmod("run", 0o700); err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for key := range strings.FieldsSeq(keys) {
			if !strings.HasPrefix(loaded.Origins[key], "fairway.yml:") {
				t.Errorf("%s comes from %q", key, loaded.Origins[key])
			}
		}
		if err := os.Remove("fairway.yml"); err != nil {
			t.Fatal(err)
		}
		environ, flags := asText(loaded)
		for name, o := range map[string]LoadOptions{"env ": {Environ: environ}, "flag ": {Flags: flags}} {
			got, err := Load(o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(loaded.Config, got.Config, comparePrefixes); diff != "" {
				t.Errorf("%s%s: %s", name, keys, diff)
			}
			for key := range strings.FieldsSeq(keys) {
				if !strings.HasPrefix(got.Origins[key], name) {
					t.Errorf("%s comes from %q", key, got.Origins[key])
				}
			}
		}
	}
}

// isApart reports whether a key is one of apart.
func isApart(key string) bool {
	for keys := range apart {
		if slices.Contains(strings.Fields(keys), key) {
			return true
		}
	}
	return false
}

func TestEveryKeyInTheFile(t *testing.T) {
	inDir(t, fullFiles())
	got, err := Load(LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullWant(), got.Config, comparePrefixes); diff != "" {
		t.Error(diff)
	}
	for _, f := range Fields(&got.Config) {
		if !strings.HasPrefix(got.Origins[f.Name], "fairway.yml:") && !isApart(f.Name) {
			t.Errorf("%s comes from %q", f.Name, got.Origins[f.Name])
		}
	}
}

// asText is what a file says, as variables and as flags.
func asText(loaded *Loaded) (environ []string, flags map[string][]string) {
	flags = map[string][]string{}
	values := loaded.Values()
	for i, f := range Fields(&loaded.Config) {
		if !strings.HasPrefix(loaded.Origins[f.Name], "fairway.yml:") {
			continue
		}
		if strings.HasPrefix(f.Name, "defaults.headers.request.") { // their values are not shown
			values[i].Value = f.Value(func(v any) any { return v })
		}
		var text string
		switch v := values[i].Value.(type) {
		case []string:
			for i := range v { // what is shown has no path of a webhook's URL
				v[i] = strings.ReplaceAll(v[i], "https://hook.example.com/***", "https://hook.example.com/x")
			}
			text = strings.Join(v, f.Sep)
			flags[f.Name] = v
		case bool:
			text = "true"
		case int:
			text = strconv.Itoa(v)
		case string:
			text = v
		}
		environ = append(environ, f.Env+"="+text)
		if flags[f.Name] == nil {
			flags[f.Name] = []string{text}
		}
	}
	return environ, flags
}

// Whatever a value is, its text in the environment and as a flag means the same
// as in the file.
func TestEveryKeyInTheEnvironmentAndAsFlag(t *testing.T) {
	inDir(t, fullFiles())
	loaded, err := Load(LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("fairway.yml"); err != nil {
		t.Fatal(err)
	}
	environ, flags := asText(loaded)
	for name, o := range map[string]LoadOptions{"env ": {Environ: environ}, "flag ": {Flags: flags}} {
		got, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fullWant(), got.Config, comparePrefixes); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for key, origin := range got.Origins {
			if !strings.HasPrefix(origin, name) && !isApart(key) {
				t.Errorf("%s comes from %q", key, origin)
			}
		}
	}
}
