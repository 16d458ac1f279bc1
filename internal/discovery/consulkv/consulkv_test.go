package consulkv

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/consul"
	"fairway/internal/consul/consultest"
)

const web = "services:\n  - name: web\n    instances: [{address: '10.0.0.1:%d'}]\n"

func words(a catalog.Answer) string {
	if a.Err != nil {
		return "error: " + a.Err.Error()
	}
	var list []string
	for _, s := range a.Services {
		list = append(list, s.ID+" "+s.Instances[0].Name)
	}
	return strings.Join(list, ", ")
}

// Case 98: a document that is broken, mended and removed.
func TestDocuments(t *testing.T) {
	s, err := New(noKeys{}, "/fairway/services/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.prefix != "fairway/services/" {
		t.Errorf("prefix %q", s.prefix)
	}
	pair := func(key, value string) consul.Pair { return consul.Pair{Key: key, Value: []byte(value)} }
	for _, x := range []struct {
		pairs []consul.Pair
		want  string
		gone  bool
		fault string
	}{
		{nil, "", false, ""},
		{[]consul.Pair{pair("p/b", "services: [{name: api, instances: [{address: '10.0.0.2:80'}]}]"), pair("p/a", fmt.Sprintf(web, 80)), pair("p/", "")}, "web@consul-kv 10.0.0.1:80, api@consul-kv 10.0.0.2:80", false, ""},
		{[]consul.Pair{pair("p/a", "services:\n  - name: web\n    instances: [{address: x}]"), pair("p/b", "services: [{name: api, instances: [{address: '10.0.0.2:81'}]}]")}, "web@consul-kv 10.0.0.1:80, api@consul-kv 10.0.0.2:81", false, "consul key p/a: line 3"},
		{[]consul.Pair{pair("p/a", fmt.Sprintf(web, 82))}, "web@consul-kv 10.0.0.1:82", true, ""},
		{[]consul.Pair{pair("p/a", "")}, "web@consul-kv 10.0.0.1:82", false, "consul key p/a: "},
	} {
		services, _, gone, fault := s.take(x.pairs)
		if got := words(catalog.Answer{Services: services}); got != x.want || gone != x.gone || (fault == nil) != (x.fault == "") || fault != nil && !strings.Contains(fault.Error(), x.fault) {
			t.Errorf("%v: %s, gone %t, %v", x.pairs, got, gone, fault)
		}
	}
	if _, err := New(noKeys{}, "/", nil); err == nil {
		t.Error("every key is a document")
	}
}

// A fault that stands is one state of the source, not two in turn; a confirmation is still said.
func TestFaultStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := consul.Pair{Key: "p/bad", Value: []byte("services: {")}
		good := consul.Pair{Key: "p/good", Value: fmt.Appendf(nil, web, 80)}
		l := lists{{bad, good}, {bad, good}, {bad, good}, {bad}, {bad}, {bad}}
		s, err := New(&l, "p", nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		out, ended := make(chan catalog.Answer), make(chan struct{})
		go func() { defer close(ended); s.Run(ctx, out) }()
		var got []string
		for range 9 {
			text, _, _ := strings.Cut(words(<-out), ":")
			got = append(got, text)
		}
		cancel()
		<-ended
		if text := strings.Join(got, "|"); text != "web@consul-kv 10.0.0.1|error|error|error||error||error|error" {
			t.Errorf("answers %s", text)
		}
	})
}

// A Consul that asks to be left alone is.
func TestLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(busy{}, "p", nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		out, ended := make(chan catalog.Answer), make(chan struct{})
		go func() { defer close(ended); s.Run(ctx, out) }()
		<-out
		began := time.Now()
		<-out
		if took := time.Since(began); took < 40*time.Second {
			t.Errorf("asked again after %s", took)
		}
		cancel()
		<-ended
	})
}

type busy struct{}

func (busy) AwaitList(context.Context, string, uint64, time.Duration) ([]consul.Pair, uint64, error) {
	return nil, 0, &consul.Error{Status: 429, After: 40 * time.Second}
}

// lists are what is answered, one after the other.
type lists [][]consul.Pair

func (l *lists) AwaitList(ctx context.Context, _ string, _ uint64, _ time.Duration) ([]consul.Pair, uint64, error) {
	if len(*l) == 0 {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	next := (*l)[0]
	*l = (*l)[1:]
	return next, 1, nil
}

type noKeys struct{}

func (noKeys) AwaitList(context.Context, string, uint64, time.Duration) ([]consul.Pair, uint64, error) {
	return nil, 1, nil
}

func TestRealConsul(t *testing.T) {
	a := consultest.Start(t)
	c, err := consul.New(consul.Config{Addresses: []string{a.Address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s, err := New(c, "services", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(chan catalog.Answer), make(chan struct{})
	go func() { defer close(ended); s.Run(ctx, out) }()
	t.Cleanup(func() { cancel(); <-ended })
	await := func(want string) {
		t.Helper()
		for limit := time.After(20 * time.Second); ; {
			select {
			case a := <-out:
				if strings.HasPrefix(words(a), want) {
					return
				}
			case <-limit:
				t.Fatalf("no answer %q", want)
			}
		}
	}
	await("")
	for _, x := range []struct{ value, want string }{
		{fmt.Sprintf(web, 80), "web@consul-kv 10.0.0.1:80"},
		{"services: {", "error: consul key services/web: "},
		{fmt.Sprintf(web, 81), "web@consul-kv 10.0.0.1:81"},
	} {
		if err := c.Put(t.Context(), "services/web", []byte(x.value), 0); err != nil {
			t.Fatal(err)
		}
		await(x.want)
	}
	a.Kill()
	await("error: consul at " + a.Address)
}
