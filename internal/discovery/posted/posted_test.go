package posted

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"fairway/internal/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) *Source {
	t.Helper()
	s, err := New(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func service(name, port string) *catalog.Service {
	return &catalog.Service{ID: name + "@" + Name, Name: name, Source: Name, OwnLabels: true, Posted: true, Labels: map[string]string{"com.df.port": port}}
}

// ids lists the services with their ports.
func ids(s *Source) string {
	var list []string
	for _, service := range s.Services() {
		list = append(list, service.Name+":"+service.Labels["com.df.port"])
	}
	return strings.Join(list, " ")
}

func TestServicesSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "posted.json")
	s := open(t, path)
	for _, next := range []*catalog.Service{service("b", "1"), service("a", "1"), service("b", "2")} {
		if _, err := s.Put(next); err != nil {
			t.Fatal(err)
		}
	}
	if had, err := s.Remove("a@posted"); !had || err != nil {
		t.Errorf("Remove = %v, %v", had, err)
	}
	if had, err := s.Remove("a@posted"); had || err != nil {
		t.Errorf("second Remove = %v, %v", had, err)
	}
	again := open(t, path)
	if diff := cmp.Diff(s.Services(), again.Services()); diff != "" || ids(again) != "b:2" {
		t.Errorf("after the restart %q:\n%s", ids(again), diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A change that says nothing new keeps the pointer and the age, so that nothing
// is compiled for it.
func TestTheSameAgainIsTheSamePointer(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "posted.json"))
	if before, err := s.Put(service("a", "1")); before != nil || err != nil {
		t.Fatal(before, err)
	}
	first := s.Services()[0]
	if first.Created.IsZero() {
		t.Error("it has no age")
	}
	before, err := s.Put(service("a", "1"))
	if err != nil || before != first || s.Services()[0] != first {
		t.Error("another pointer for the same", err)
	}
	if _, err := s.Put(service("a", "2")); err != nil || !s.Services()[0].Created.Equal(first.Created) {
		t.Error("a change made it younger", err)
	}
}

// TestFileOfAnEarlierVersion: it does not say that its services were posted, and their
// labels count all the same.
func TestFileOfAnEarlierVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "posted.json")
	s := open(t, path)
	if _, err := s.Put(service("a", "1")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	earlier := regexp.MustCompile(`"(ownLabels|posted)": true,\s*`).ReplaceAll(data, nil)
	if bytes.Equal(data, earlier) || os.WriteFile(path, earlier, 0o600) != nil {
		t.Fatalf("the file cannot be made one of an earlier version: %s", data)
	}
	if list := open(t, path).Services(); len(list) != 1 || !list[0].Posted || !list[0].OwnLabels {
		t.Errorf("read: %+v", list)
	}
}

func TestDamagedFileIsMovedAside(t *testing.T) {
	for name, text := range map[string]string{
		"torn": `{"format":1,"services":[`, "foreign": `{"format":9}`, "hollow": `{"format":1,"services":[{}]}`, "empty": "",
		"null instance": `{"format":1,"services":[{"service":{"id":"a","instances":[null]}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "posted.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s, err := New(Options{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil || len(s.Services()) != 0 || !strings.Contains(log.String(), "level=ERROR") {
				t.Fatalf("New = %v, log %q", err, log.String())
			}
			if aside, err := os.ReadFile(path + ".damaged"); err != nil || string(aside) != text {
				t.Errorf("aside: %q, %v", aside, err)
			}
			if _, err := s.Put(service("a", "1")); err != nil || ids(open(t, path)) != "a:1" {
				t.Error("the source does not go on", err)
			}
		})
	}
}

// A service of a list goes when the list no longer has it; what was sent by
// hand, or is still in another list, stays.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "posted.json")
	s := open(t, path)
	list := func(names ...string) (services []*catalog.Service) {
		for _, name := range names {
			services = append(services, service(name, "1"))
		}
		return services
	}
	if _, err := s.Put(service("hand", "1")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		from    string
		names   []string
		want    string
		changed bool
	}{
		{"x", []string{"a", "b"}, "a:1 b:1 hand:1", true},
		{"x", []string{"a", "b"}, "a:1 b:1 hand:1", false},
		{"y", []string{"b", "c"}, "a:1 b:1 c:1 hand:1", true},
		{"x", nil, "b:1 c:1 hand:1", true}, // b is on the word of y by now
		{"y", []string{"c"}, "c:1 hand:1", true},
	} {
		changed, err := s.Replace(step.from, list(step.names...))
		if err != nil || changed != step.changed || ids(s) != step.want {
			t.Errorf("%s %v: %q, changed %v, %v; want %q, %v", step.from, step.names, ids(s), changed, err, step.want, step.changed)
		}
	}
	s = open(t, path)
	if _, err := s.Put(service("c", "2")); err != nil { // a call changes what is pulled, not whose it is
		t.Fatal(err)
	}
	if _, err := s.Replace("y", nil); err != nil || ids(s) != "hand:1" {
		t.Errorf("%q, %v", ids(s), err)
	}
}

func TestNothingChangesWhenTheDiskRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "posted.json"))
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(service("a", "1")); err == nil || ids(s) != "" {
		t.Errorf("Put = %v, services %q", err, ids(s))
	}
}

func TestRunAnswersAtOnceAndOnEachChange(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "posted.json"))
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(chan catalog.Answer), make(chan struct{})
	go func() { defer close(done); s.Run(ctx, out) }()
	if a := <-out; len(a.Services) != 0 || !a.Certain || a.Err != nil {
		t.Errorf("first answer %+v", a)
	}
	if _, err := s.Put(service("a", "1")); err != nil {
		t.Fatal(err)
	}
	if a := <-out; len(a.Services) != 1 {
		t.Errorf("second answer %+v", a)
	}
	cancel()
	<-done
}
