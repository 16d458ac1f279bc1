package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nasty are words that a careless writer of commands would have executed, cut off
// or changed.
var nasty = []string{
	"plain", "a b", "a\tb", " a", "a ", "a#b", "#a", `"`, `a"b`, "'", "''", `a\`, `\\`, `a\ b`, `\n`, `\x41`, "${HOME}", "$HOME",
	"%[path]", "%[env(HOME)]", "{", "a;b", "a;show version", ";", "; show env", "<<", "a <<", "-f", "--", "-", "@1", "|cat", "`id`",
	"$(id)", "é", "日本", "\u202e", "\x1b[31m", "\x7f", "a,b", "a(b)c", ")", strings.Repeat("a", 1000), "\v", "\f", "a\\;b", "\\;",
	"10.0.0.1;show version", "/var/run/docker.sock", "unix@x", "!", "~", "*", "?",
}

// TestQuoting sends every nasty word as a value, and reads it back from HAProxy.
func TestQuoting(t *testing.T) {
	i := startHAProxy(t)
	s := i.open(t)
	for n, word := range nasty {
		key := fmt.Sprint("key", n)
		c, err := Cmd("add", "map", i.path("a.map"), key, word)
		if err != nil {
			t.Errorf("%q: %v", word, err)
			continue
		}
		must(t, s, c, nil)
		values, err := s.MapValues(t.Context(), i.path("a.map"), []string{key})
		if err != nil || values[key] != word {
			t.Errorf("%q arrives as %q, %v", word, values, err)
		}
	}
	entries, err := s.Map(t.Context(), i.path("a.map"))
	if err != nil || len(entries) != 2+len(nasty) {
		t.Errorf("the map has %d entries, want %d: %v", len(entries), 2+len(nasty), err)
	}
}

// TestRefusedWords: what no quoting can carry is an error.
func TestRefusedWords(t *testing.T) {
	for _, word := range []string{"", "a\nb", "a\rb", "a\x00b", "\n", "a\nshow env"} {
		if c, err := Cmd("add", "map", "m", "k", word); err == nil {
			t.Errorf("%q becomes %q", word, c)
		}
	}
	if _, err := Cmd("add", strings.Repeat("x", 5000)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a long command: %v", err)
	}
	if _, err := Cmd(); err == nil {
		t.Error("no words make a command")
	}
	for _, e := range []Entry{{"", "v"}, {"k", ""}, {"a b", "v"}, {"#k", "v"}, {"k", " v"}, {"k", "v "}, {"k", "a\nb"}, {"k\n", "v"}, {"k", "a\x00"}, {"k\t", "v"}} {
		if _, err := AddMap("m", []Entry{e}); err == nil {
			t.Errorf("entry %q is taken", e)
		}
		if _, err := SetMap("m", e.Key, e.Value); err == nil {
			t.Errorf("entry %q is taken", e)
		}
	}
	for _, name := range []string{"", "a/b", "a b", "a;b", "#1", "a\n"} {
		if _, err := ServerCommand(DelServer, "be", name); err == nil {
			t.Errorf("name %q is taken", name)
		}
		if _, err := ServerCommand(DelServer, name, "srv"); err == nil {
			t.Errorf("name %q is taken", name)
		}
	}
	for _, a := range []netip.AddrPort{{}, netip.MustParseAddrPort("10.0.0.1:0"), netip.MustParseAddrPort("[fe80::1%eth0]:80")} {
		if _, err := AddServer("be", "srv", a); err == nil {
			t.Errorf("address %s is taken", a)
		}
	}
	for _, weight := range []int{-1, 257} {
		if _, err := SetServerWeight("be", "srv", weight); err == nil {
			t.Errorf("weight %d is taken", weight)
		}
	}
}

// TestMaps adds, changes, deletes and replaces entries, more than one payload holds.
func TestMaps(t *testing.T) {
	i := startHAProxy(t)
	s := i.open(t)
	file := i.path("a.map")
	many := make([]Entry, 3000)
	for n := range many {
		many[n] = Entry{fmt.Sprintf("host-%d.example.com/", n), fmt.Sprintf("backend-%d|x y;z", n)}
	}
	commands, err := AddMap(file, many)
	if err != nil {
		t.Fatal(err)
	}
	if len(commands) < 2 {
		t.Errorf("%d commands: the payload of one would be too large", len(commands))
	}
	for _, c := range commands {
		must(t, s, c, nil)
	}
	set, err := SetMap(file, "one", "changed")
	must(t, s, set, err)
	del, err := DelMap(file, "two")
	must(t, s, del, err)
	got, err := s.Map(t.Context(), file)
	want := append([]Entry{{"one", "changed"}}, many...)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d entries, want %d: %v", len(got), len(want), err)
	}
	if _, err := s.Do(t.Context(), del); !Refused(err, "Key not found") {
		t.Errorf("a key that is not there: %v", err)
	}
	if err := s.ReplaceMap(t.Context(), file, many[:10]); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Map(t.Context(), file); err != nil || !slices.Equal(got, many[:10]) {
		t.Errorf("after the replacement: %d entries, %v", len(got), err)
	}
	if err := s.ReplaceMap(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Map(t.Context(), file); err != nil || len(got) != 0 {
		t.Errorf("after the replacement by nothing: %d entries, %v", len(got), err)
	}
	if values, err := s.MapValues(t.Context(), file, []string{"one", "two"}); len(values) > 0 || err != nil {
		t.Errorf("values of nothing: %q %v", values, err)
	}
	files, err := s.MapFiles(t.Context())
	if err != nil || !slices.Equal(files, []string{file}) {
		t.Errorf("maps %q, %v", files, err)
	}
	if err := s.ReplaceMap(t.Context(), i.path("no.map"), nil); !Refused(err, "Unknown map") {
		t.Errorf("a map that is not there: %v", err)
	}
}

// TestManyAtOnce sends more commands than HAProxy's buffer holds, with payloads
// among them, and gives each its answer.
func TestManyAtOnce(t *testing.T) {
	i := startHAProxy(t)
	s := i.open(t)
	file := i.path("a.map")
	var commands []Command
	add := func(c Command, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, c)
	}
	for n := range 500 {
		key := fmt.Sprint("key-", strings.Repeat("x", n%50), n)
		payload, err := AddMap(file, []Entry{{key, "before"}})
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, payload...)
		add(SetMap(file, key, fmt.Sprint("value ", n)))
		add(Cmd("get", "map", file, key))
		add(Cmd("show", "info"))
		add(Cmd("get", "var", "proc.word"))
	}
	answers, err := s.DoAll(t.Context(), commands)
	if err != nil || len(answers) != len(commands) {
		t.Fatalf("%d answers to %d commands: %v", len(answers), len(commands), err)
	}
	for n := range 500 {
		a := answers[5*n : 5*n+5]
		if a[0] != "" || a[1] != "" || !strings.Contains(a[2], fmt.Sprintf(`value="value %d"`, n)) ||
			!strings.HasPrefix(a[3], "Name: HAProxy") || !strings.HasPrefix(a[4], "proc.word: type=str") {
			t.Fatalf("command %d: %q", n, a)
		}
	}
	var refused []Command
	for _, key := range []string{"one", "none", "two"} {
		c, err := DelMap(file, key)
		if err != nil {
			t.Fatal(err)
		}
		refused = append(refused, c)
	}
	if _, err := s.DoAll(t.Context(), refused); !Refused(err, "Key not found") {
		t.Errorf("a key that is not there: %v", err)
	}
	if value, ok, err := s.GetVar(t.Context(), "proc.word"); value != "hello" || !ok || err != nil {
		t.Errorf("after a refusal the session says %q, %v, %v", value, ok, err)
	}
}

// TestServers adds, enables, weighs, stops and deletes a server.
func TestServers(t *testing.T) {
	i := startHAProxy(t)
	s := i.open(t)
	find := func(name string) (Server, bool) {
		t.Helper()
		all, err := s.Servers(t.Context(), "be")
		if err != nil {
			t.Fatal(err)
		}
		for _, sv := range all {
			if sv.Name == name {
				return sv, true
			}
		}
		return Server{}, false
	}
	if sv, _ := find("first"); sv.Weight != 7 || sv.State != StateReady || sv.Address != netip.MustParseAddrPort("127.0.0.1:1") {
		t.Errorf("the first server is %+v", sv)
	}
	address := netip.MustParseAddrPort("[::1]:8080")
	do := func(c Command, err error) { t.Helper(); must(t, s, c, err) }
	do(AddServer("be", "new", address, "weight", "3", "check", "inter", "1h"))
	if sv, ok := find("new"); !ok || sv.State != StateMaint || sv.Weight != 3 || sv.Address != address {
		t.Errorf("the new server is %+v", sv)
	}
	do(ServerCommand(EnableHealth, "be", "new"))
	do(ServerCommand(EnableServer, "be", "new"))
	do(SetServerWeight("be", "new", 256))
	if sv, _ := find("new"); sv.State != StateReady || sv.Weight != 256 || !sv.Checked {
		t.Errorf("the enabled server is %+v", sv)
	}
	do(SetServerState("be", "new", StateDrain))
	if sv, _ := find("new"); sv.State != StateDrain {
		t.Errorf("the draining server is %+v", sv)
	}
	del, err := ServerCommand(DelServer, "be", "new")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Do(t.Context(), del); !Refused(err, "maintenance") {
		t.Errorf("a server that is not in maintenance is deleted: %v", err)
	}
	do(SetServerState("be", "new", StateMaint))
	do(del, nil)
	if _, ok := find("new"); ok {
		t.Error("the deleted server is there")
	}
	if _, err := s.Do(t.Context(), del); !Refused(err, "No such server") {
		t.Errorf("it is deleted twice: %v", err)
	}
	c, err := AddServer("be", "bad", address, "nonsense;show version")
	if err != nil {
		t.Fatal(err)
	}
	var refused *CommandError
	if _, err := s.Do(t.Context(), c); !errors.As(err, &refused) {
		t.Errorf("an option of nonsense: %v", err)
	}
}

// TestCertificates puts pairs in, renews them and takes them out.
func TestCertificates(t *testing.T) {
	i := startHAProxy(t)
	s := i.open(t)
	ctx := t.Context()
	first, second, list := i.path("cert.pem"), i.path("second.pem"), i.path("list")
	fingerprint := func(file string) string {
		t.Helper()
		sum, err := s.Fingerprint(ctx, file)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	before := fingerprint(first)
	// An empty line between the blocks must not end the payload.
	renewed := strings.Replace(string(newPair(t, "a.example")), "-----BEGIN PRIVATE", "\n\ntext between\n\n-----BEGIN PRIVATE", 1)
	if err := s.SetCertificate(ctx, first, []byte(renewed)); err != nil {
		t.Fatal(err)
	}
	if fingerprint(first) == before {
		t.Error("the certificate is the old one")
	}
	if err := s.SetCertificate(ctx, second, newPair(t, "b.example")); err != nil {
		t.Fatal(err)
	}
	if err := s.AddCrtList(ctx, list, second, "bound.example"); err != nil {
		t.Fatal(err)
	}
	got, err := s.CrtList(ctx, list)
	if err != nil || !slices.Equal(got, []string{first, second}) {
		t.Errorf("the list is %q, %v", got, err)
	}
	if lists, err := s.CrtLists(ctx); err != nil || !slices.Equal(lists, []string{list}) {
		t.Errorf("the lists are %q, %v", lists, err)
	}
	if err := s.DelCrtList(ctx, list, first); !Refused(err, "default certificate") {
		t.Errorf("the first is taken out: %v", err)
	}
	if err := s.DelCrtList(ctx, list, second); err != nil {
		t.Error(err)
	}
	if err := s.DelCertificate(ctx, second); err != nil {
		t.Error(err)
	}

	// What another has left half done is in nobody's way.
	if err := s.certificate(ctx, "new", second); err != nil {
		t.Fatal(err)
	}
	lines, err := pemLines(newPair(t, "b.example"))
	if err != nil {
		t.Fatal(err)
	}
	half, err := command(lines, "set", "ssl", "cert", second)
	must(t, s, half, err)
	if sum, err := s.Fingerprint(ctx, second); err != nil || sum != "" {
		t.Errorf("a pair that was never committed is %q, %v", sum, err)
	}
	if err := s.AddCrtList(ctx, list, "a b", ""); err == nil {
		t.Error("a file with a blank is added to a list")
	}
	if err := s.SetCertificate(ctx, first, newPair(t, "a.example")); err != nil {
		t.Error(err)
	}
	if err := s.DelCertificate(ctx, second); err != nil {
		t.Error(err)
	}

	// A pair that does not fit together leaves everything as it was.
	before = fingerprint(first)
	one, other := newPair(t, "a.example"), newPair(t, "a.example")
	broken := string(one[:strings.Index(string(one), "-----BEGIN PRIVATE")]) + string(other[strings.Index(string(other), "-----BEGIN PRIVATE"):])
	for _, file := range []string{first, second} {
		err := s.SetCertificate(ctx, file, []byte(broken))
		if !Refused(err, "") {
			t.Errorf("a key of another certificate is taken: %v", err)
		} else if strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("the error tells too much: %v", err)
		}
	}
	if fingerprint(first) != before {
		t.Error("the certificate has changed")
	}
	if known, err := s.Certificates(ctx); err != nil || !slices.Equal(known, []string{first}) {
		t.Errorf("the pairs are %q, %v", known, err)
	}
	for _, bad := range []string{"", "nothing", "-----BEGIN CERTIFICATE-----\n"} {
		if err := s.SetCertificate(ctx, first, []byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if err := s.SetCertificate(ctx, first, append(newPair(t, "a.example"), strings.Repeat("-----BEGIN X-----\nabc\n-----END X-----\n", 1000)...)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large pair: %v", err)
	}
}

// TestShow reads what HAProxy says of itself.
func TestShow(t *testing.T) {
	i := startHAProxy(t)
	s := i.open(t)
	ctx := t.Context()
	stats, err := s.Stats(ctx, AllKinds)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for row := range stats.Rows() {
		names = append(names, row.Proxy()+"/"+row.Server())
		if row.Server() == "first" && (row.Number("weight") != 7 || row.Text("status") == "") {
			t.Errorf("the server has weight %s, status %q", row.Text("weight"), row.Text("status"))
		}
	}
	if want := []string{"in/FRONTEND", "tls/FRONTEND", "be/first", "be/BACKEND"}; !slices.Equal(names, want) {
		t.Errorf("rows %q, want %q", names, want)
	}
	some, err := s.Stats(ctx, Servers, "gone", "be", "in")
	if err != nil {
		t.Fatal(err)
	}
	names = nil
	for row := range some.Rows() {
		names = append(names, row.Proxy()+"/"+row.Server())
	}
	if want := []string{"be/first"}; !slices.Equal(names, want) {
		t.Errorf("servers of some sections: rows %q, want %q", names, want)
	}
	if value, ok, err := s.GetVar(ctx, "proc.word"); value != "hello" || !ok || err != nil {
		t.Errorf("proc.word is %q, %v, %v", value, ok, err)
	}
	if _, ok, err := s.GetVar(ctx, "proc.none"); ok || err != nil {
		t.Errorf("proc.none is there: %v, %v", ok, err)
	}
	all, err := i.master.Processes(ctx)
	if err != nil || len(all.Workers) != 1 || all.Workers[0].Version == "" || all.Failed != 0 || len(all.Old) != 0 {
		t.Fatalf("processes %+v, %v", all, err)
	}
	worker := all.Workers[0].PID
	if info, err := i.master.Show(ctx, worker, "info"); err != nil || !strings.Contains(info, fmt.Sprintf("\nPid: %d\n", worker)) {
		t.Errorf("info %q, %v", info, err)
	}
	if stopping, err := i.master.Stopping(ctx, worker); stopping || err != nil {
		t.Errorf("the worker is stopping: %v, %v", stopping, err)
	}
	if value, ok, err := i.master.WorkerVar(ctx, worker, "proc.word"); value != "hello" || !ok || err != nil {
		t.Errorf("by the master proc.word is %q, %v, %v", value, ok, err)
	}
	if _, _, err := i.master.WorkerVar(ctx, 1, "proc.word"); !Refused(err, "") {
		t.Errorf("a worker that is none: %v", err)
	}
	if _, err := i.master.Reload(ctx); err != nil {
		t.Error(err)
	}
	testkit.Eventually(t, "there is a new worker", func() string {
		now, err := i.master.Processes(t.Context())
		if err == nil && len(now.Workers) == 1 && now.Workers[0].PID != worker && now.Master.Reloads == 1 {
			return ""
		}
		return fmt.Sprintf("%+v, %v", now, err)
	})
}

// silent is a socket that takes everything and answers nothing.
func silent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fairway")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// TestDeadlines: nothing waits for longer than it may.
func TestDeadlines(t *testing.T) {
	path := silent(t)
	if _, err := New(path, 50*time.Millisecond).Open(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a session with one who is silent: %v", err)
	}
	if _, err := NewMaster(path, 50*time.Millisecond).Processes(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a master that is silent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := New(path, time.Minute).Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a session that is called off: %v", err)
	}
	if _, err := New(filepath.Join(t.TempDir(), "none"), 0).Open(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
}

// TestBrokenSession: a session that is out of step is not used any more.
func TestBrokenSession(t *testing.T) {
	i := startHAProxy(t)
	s := i.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := Cmd("show", "info")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Do(ctx, c); err == nil {
		t.Fatal("a command without time is answered")
	}
	if _, err := s.Do(t.Context(), c); err == nil {
		t.Error("the session goes on")
	}
}
