package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/consul/consultest"
	"fairway/internal/testkit"
)

func client(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:8500": "http://127.0.0.1:8500", "http://localhost": "http://localhost:8500", "https://consul.example": "https://consul.example:8501",
		"https://10.0.0.1:9": "https://10.0.0.1:9", "http://[::1]:8500/": "http://[::1]:8500", "unix:///run/consul.sock": "http://socket-0",
		"http://10.0.0.1:8500": "", "10.0.0.1:8500": "", "ftp://127.0.0.1": "", "": "", "https://u:p@127.0.0.1": "", "https://127.0.0.1/v1": "", "unix://run": "", "http://127.0.0.1:x": "",
	} {
		c, err := New(Config{Addresses: []string{text}})
		if (err == nil) != (want != "") {
			t.Errorf("%q: %v", text, err)
		} else if err == nil && c.addresses[0].base != want {
			t.Errorf("%q is %s, want %s", text, c.addresses[0].base, want)
		}
	}
	if _, err := New(Config{Addresses: []string{"http://10.0.0.1:8500"}, Insecure: true}); err != nil {
		t.Error(err)
	}
	if c := client(t, Config{}); c.addresses[0].base != "http://127.0.0.1:8500" {
		t.Errorf("none is %s", c.addresses[0].base)
	}
}

// What cannot be reached is passed over, for writing too; a server without a leader for reading alone.
func TestNextAddress(t *testing.T) {
	closed := "127.0.0.1:" + testkit.FreePort(t)
	var writes int
	leaderless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			writes++
		}
		http.Error(w, "No cluster leader", http.StatusInternalServerError)
	}))
	defer leaderless.Close()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			fmt.Fprint(w, "true")
			return
		}
		fmt.Fprint(w, `[{"Key":"k","Value":"dg==","ModifyIndex":7}]`)
	}))
	defer good.Close()
	c := client(t, Config{Addresses: []string{closed, good.URL}})
	if err := c.Put(t.Context(), "k", nil, 0); err != nil {
		t.Errorf("writing beside an address that is closed: %v", err)
	}
	c = client(t, Config{Addresses: []string{leaderless.URL, good.URL}})
	var said *Error
	if err := c.Put(t.Context(), "k", nil, 0); !errors.As(err, &said) || said.Status != 500 || writes != 1 {
		t.Errorf("writing without a leader: %v, %d calls", err, writes)
	}
	if p, err := c.Get(t.Context(), "k"); err != nil || string(p.Value) != "v" {
		t.Errorf("reading beside one without a leader: %v, %v", p, err)
	}
	if err := c.Put(t.Context(), "k", nil, 0); err != nil {
		t.Errorf("the address that answered last is not asked first: %v", err)
	}
}

// An agent that hangs costs no lock while another answers, and what says neither yes nor no
// is an error.
func TestHungAgent(t *testing.T) {
	hung, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	var calls []string
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.URL.Path)
		fmt.Fprint(w, "true")
	}))
	defer good.Close()
	c := client(t, Config{Addresses: []string{hung.Addr().String(), good.URL}, Timeout: 50 * time.Millisecond})
	c.drop(t.Context(), "s") // is asked of both
	c.last.Store(0)
	if err := c.Put(t.Context(), "k", nil, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("writing at one that hangs: %v", err)
	}
	if err := c.Put(t.Context(), "k", nil, 0); err != nil {
		t.Errorf("the next call begins at the one that hangs: %v", err)
	}
	if got := strings.Join(calls, " "); got != "/v1/session/destroy/s /v1/kv/k" {
		t.Errorf("calls: %s", got)
	}
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotModified)
	}))
	defer moved.Close()
	var said *Error
	if _, err := client(t, Config{Addresses: []string{moved.URL}}).do(t.Context(), call{method: http.MethodPut, path: "/v1/x"}); !errors.As(err, &said) || said.Status != http.StatusNotModified {
		t.Errorf("an answer 304: %v", err)
	}
}

func TestNothingHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := client(t, Config{Addresses: []string{l.Addr().String()}, Timeout: 50 * time.Millisecond})
	if _, err := c.Get(t.Context(), "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a Consul that hangs: %v", err)
	}
}

// The token goes to the configured address, from a file that may change, and into no error.
func TestToken(t *testing.T) {
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("redirected with %v", r.Header) }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("X-Consul-Token"))
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	c := client(t, Config{Addresses: []string{server.URL}, TokenFile: file})
	if _, err := c.Get(t.Context(), "k"); !errors.Is(err, fs.ErrNotExist) || len(seen) > 0 {
		t.Errorf("without its token file: %v, %v", err, seen)
	}
	for _, token := range []string{"canary-1", "canary-2\n"} {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), "k"); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("a redirect: %v", err)
		}
	}
	if strings.Join(seen, " ") != "canary-1 canary-2" {
		t.Errorf("tokens %q", seen)
	}
}

func TestBounds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 33 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
	}))
	defer server.Close()
	c := client(t, Config{Addresses: []string{server.URL}})
	if _, err := c.List(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "more than 32 MiB") {
		t.Errorf("an answer without end: %v", err)
	}
	if err := c.Put(t.Context(), "k", make([]byte, MaxValue+1), 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a value that is too large: %v", err)
	}
	if err := c.DeleteBelow(t.Context(), ""); err == nil {
		t.Error("everything can be deleted")
	}
}

func TestKeys(t *testing.T) {
	a := consultest.Start(t)
	c, ctx := client(t, Config{Addresses: []string{a.Address}}), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Get(ctx, "a/none"); !errors.Is(err, ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key that is not there: %v", err)
	}
	for _, key := range []string{"a/b", "a/c/d", "a/c/e", "a/ü ?#%x", "ab"} {
		must(c.Put(ctx, key, []byte("value of "+key), 9))
		if p, err := c.Get(ctx, key); err != nil || string(p.Value) != "value of "+key || p.Key != key || p.Flags != 9 {
			t.Errorf("%s is %+v, %v", key, p, err)
		}
	}
	for separator, want := range map[string]string{"/": "[a/b a/c/ a/ü ?#%x]", "": "[a/b a/c/d a/c/e a/ü ?#%x]"} {
		if keys, err := c.Keys(ctx, "a/", separator); err != nil || fmt.Sprint(keys) != want {
			t.Errorf("keys by %q: %v, %v", separator, keys, err)
		}
	}
	if all, err := c.List(ctx, "a/c/"); err != nil || len(all) != 2 || string(all[1].Value) != "value of a/c/e" {
		t.Errorf("list: %v, %v", all, err)
	}
	if none, err := c.List(ctx, "none/"); err != nil || len(none) > 0 {
		t.Errorf("list of none: %v, %v", none, err)
	}
	// Written only where nothing changed.
	was, err := c.Get(ctx, "a/b")
	must(err)
	for _, x := range []struct {
		key   string
		index uint64
		want  bool
	}{{"a/b", 0, false}, {"a/b", was.ModifyIndex, true}, {"a/b", was.ModifyIndex, false}, {"a/new", 0, true}} {
		if done, err := c.PutIf(ctx, x.key, []byte("changed"), 0, x.index); err != nil || done != x.want {
			t.Errorf("%+v: %t, %v", x, done, err)
		}
	}
	if done, err := c.DeleteIf(ctx, "a/b", was.ModifyIndex); err != nil || done {
		t.Errorf("deleted by an old index: %t, %v", done, err)
	}
	must(c.Delete(ctx, "a/none"))
	must(c.Delete(ctx, "a/new"))
	must(c.DeleteBelow(ctx, "a/c/"))
	if keys, err := c.Keys(ctx, "a", ""); err != nil || fmt.Sprint(keys) != "[a/b a/ü ?#%x ab]" {
		t.Errorf("left: %v, %v", keys, err)
	}
	// Held until it changes.
	_, index, err := c.Await(ctx, "a/b", 0, 0)
	must(err)
	changed := make(chan Pair)
	go func() {
		p, _, _ := c.Await(ctx, "a/b", index, time.Minute)
		changed <- p
	}()
	must(c.Put(ctx, "a/b", []byte("seen"), 0))
	if p := <-changed; string(p.Value) != "seen" {
		t.Errorf("awaited %q", p.Value)
	}
}

// brief is a lock whose times are short.
func brief() LockOptions {
	return LockOptions{TTL: 2 * time.Second, Delay: time.Millisecond}
}

func TestLock(t *testing.T) {
	a := consultest.Start(t)
	c, ctx := client(t, Config{Addresses: []string{a.Address}}), t.Context()
	one, err := c.Lock(ctx, "lock", brief())
	if err != nil {
		t.Fatal(err)
	}
	if l, err := c.TryLock(ctx, "lock", brief()); l != nil || err != nil {
		t.Fatalf("two hold the lock: %v, %v", l, err)
	}
	waits, end := context.WithTimeout(ctx, 50*time.Millisecond)
	if _, err := c.Lock(waits, "lock", brief()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting ends with its context: %v", err)
	}
	end()
	got := make(chan *Lock)
	go func() {
		l, _ := c.Lock(ctx, "lock", brief())
		got <- l
	}()
	if err := one.Put(ctx, "guarded", []byte("one"), 0); err != nil {
		t.Error(err)
	}
	if err := one.Unlock(ctx); err != nil {
		t.Error(err)
	}
	two := <-got
	if err := one.Put(ctx, "guarded", []byte("late"), 0); err == nil {
		t.Error("one writes after its lock")
	}
	if err := two.Put(ctx, "guarded", []byte("two"), 0); err != nil {
		t.Error(err)
	}
	if err := two.Unlock(ctx); err != nil {
		t.Error(err)
	}
	if keys, err := c.Keys(ctx, "lock", ""); err != nil || len(keys) > 0 {
		t.Errorf("a lock that was given back leaves %v, %v", keys, err)
	}
	if p, err := c.Get(ctx, "guarded"); err != nil || string(p.Value) != "two" {
		t.Errorf("guarded is %q, %v", p.Value, err)
	}
}

// A holder whose session is over learns it, and Consul takes nothing from it in between.
func TestLockLost(t *testing.T) {
	a := consultest.Start(t)
	c, ctx := client(t, Config{Addresses: []string{a.Address}}), t.Context()
	one, err := c.TryLock(ctx, "lock", LockOptions{TTL: time.Minute, Delay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c.drop(ctx, one.session)
	two, err := c.Lock(ctx, "lock", brief())
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Put(ctx, "guarded", []byte("late"), 0); !errors.Is(err, ErrLost) {
		t.Errorf("one writes under the lock of two: %v", err)
	}
	if err := context.Cause(one.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("its context: %v", err)
	}
	if err := one.Extend(time.Hour); !errors.Is(err, ErrLost) {
		t.Errorf("extended: %v", err)
	}
	if err := one.Unlock(ctx); err != nil {
		t.Error(err)
	}
	if err := two.Put(ctx, "guarded", []byte("two"), 0); err != nil {
		t.Errorf("one gave back the lock of two: %v", err)
	}
	c.drop(ctx, two.session)
	<-two.Context().Done() // by its renewal
	if err := context.Cause(two.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("its context: %v", err)
	}
}

// A holder that cannot ask gives up before Consul does; one that hangs gives up, too.
func TestLockInDoubt(t *testing.T) {
	a := consultest.Start(t)
	c, ctx := client(t, Config{Addresses: []string{a.Address}}), t.Context()
	hangs := brief()
	hangs.Hold = 50 * time.Millisecond
	l, err := c.TryLock(ctx, "hangs", hangs)
	if err != nil {
		t.Fatal(err)
	}
	<-l.Context().Done()
	other, err := c.Lock(ctx, "hangs", brief())
	if err != nil {
		t.Errorf("held for ever: %v", err)
	}
	began := time.Now()
	a.Kill()
	<-other.Context().Done()
	if err := context.Cause(other.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("its context: %v", err)
	}
	t.Logf("in doubt after %s", time.Since(began).Round(time.Millisecond))
	if err := other.Unlock(ctx); err == nil {
		t.Error("given back without Consul")
	}
	short, end := context.WithTimeout(ctx, 200*time.Millisecond)
	defer end()
	if _, err := c.Lock(short, "lock", brief()); err == nil {
		t.Error("a lock without Consul")
	}
	if _, err := c.TryLock(ctx, "lock", brief()); err == nil {
		t.Error("a lock without Consul")
	}
}

// The names of what is sent are those that Consul knows.
func TestSessionBody(t *testing.T) {
	var body map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/session/create" {
			_ = json.NewDecoder(r.Body).Decode(&body)
		}
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer server.Close()
	c := client(t, Config{Addresses: []string{server.URL}})
	var said *Error
	if _, err := c.TryLock(t.Context(), "lock", LockOptions{}); !errors.As(err, &said) || said.Status != http.StatusForbidden || !strings.Contains(err.Error(), "may not") {
		t.Errorf("a token without the right: %v", err)
	}
	if got := fmt.Sprint(body); got != "map[Behavior:delete LockDelay:15s Name:fairway NodeChecks:[] TTL:15s]" {
		t.Errorf("session: %s", got)
	}
	if _, err := c.Lock(t.Context(), "lock", LockOptions{}); !errors.As(err, &said) {
		t.Errorf("it is asked for again: %v", err)
	}
}
