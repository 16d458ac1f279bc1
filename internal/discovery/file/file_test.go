package file

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/tools/txtar"

	"fairway/internal/catalog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestGolden reads each input of testdata/parse.txtar ("name.yml") and compares
// with what is beside it: "name.json" for services, "name.err" for faults.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "parse.txtar")
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".yml")
		if !ok {
			continue
		}
		out.Files = append(out.Files, f)
		result := txtar.File{Name: name + ".json"}
		services, err := Parse("file:x.yml", f.Data)
		if err != nil {
			result = txtar.File{Name: name + ".err", Data: []byte(err.Error() + "\n")}
		} else if result.Data, err = json.MarshalIndent(services, "", "  "); err != nil {
			t.Fatal(err)
		} else {
			result.Data = append(result.Data, '\n')
		}
		out.Files = append(out.Files, result)
		if diff := cmp.Diff(want[result.Name], string(result.Data)); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", result.Name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const one = `services: [{name: shop, labels: {fairway.host: a}, instances: [{address: "10.0.0.5:8080"}]}]`

// TestWatch changes the file in all the ways in which files change, and demands
// an answer though the file would not be read again for an hour.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "services.yml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	named := func(name string) string { return strings.Replace(one, "shop", name, 1) }
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	s, err := New(Options{Name: "file:services.yml", Path: path})
	do(err)
	s.every = time.Hour
	out := make(chan catalog.Answer)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx, out) })
	defer running.Wait()
	defer cancel()

	// next returns the first answer that differs from the one before. Writing in
	// place can be seen before it is done; that is an error, not an empty answer.
	before := ""
	next := func() string {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			select {
			case a := <-out:
				text := ""
				if a.Err != nil {
					text = "error: " + a.Err.Error()
				}
				for _, s := range a.Services {
					text += s.ID + " "
				}
				if text != before && !strings.Contains(text, "empty: ") {
					before = text
					return text
				}
			case <-deadline:
				t.Fatalf("no news after %q", before)
			}
		}
	}
	expect := func(want string) {
		t.Helper()
		if got := next(); !strings.Contains(got, want) {
			t.Errorf("answer %q, want %q", got, want)
		}
	}

	expect("error: services file: open " + path)
	write("services.yml", named("first"))
	expect("first@file:services.yml")
	write("other", named("second"))
	do(os.Rename(filepath.Join(dir, "other"), path))
	expect("second@file:services.yml")
	write("services.yml", "services: [{nmae: x}]")
	expect(`error: services file ` + path + `: line 1: a service has no key "nmae" (did you mean "name"?)`)
	write("services.yml", named("first"))
	expect("first@file:services.yml")
	write("services.yml", strings.Replace(one, "[{name: shop", "[{name: more}, {name: first", 1))
	expect("first@file:services.yml more@file:services.yml")
	do(os.Remove(path))
	expect("error: services file: open ")

	// The way of a ConfigMap: services.yml → ..data/services.yml, ..data → a
	// directory that is replaced.
	for i, name := range []string{"third", "fourth"} {
		version := fmt.Sprintf("..v%d", i)
		do(os.Mkdir(filepath.Join(dir, version), 0o755))
		write(version+"/services.yml", named(name))
		do(os.Symlink(version, filepath.Join(dir, "..tmp")))
		do(os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
		if i == 0 {
			do(os.Symlink("..data/services.yml", path))
		}
		expect(name + "@file:services.yml")
	}

	do(os.Remove(path))
	do(os.Mkdir(path, 0o755))
	for got := ""; !strings.Contains(got, "not a regular file"); got = next() {
	}
}

// TestReread sees a change without a notice, and answers again when there is
// none: the directory cannot be watched, since it does not exist at first.
func TestReread(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(dir, "services.yml")
	s, err := New(Options{Name: "file:x", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	s.every = 20 * time.Millisecond
	out := make(chan catalog.Answer)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx, out) })
	defer running.Wait()
	defer cancel()
	for range 3 {
		if a := <-out; a.Err == nil {
			t.Error("a missing file is no error")
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(one), 0o644); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		a := <-out
		if len(a.Services) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("answer %+v", a)
		}
	}
	first, second := <-out, <-out
	if first.Services[0] != second.Services[0] {
		t.Error("an unchanged service lost its pointer")
	}
}

// TestFilesThatStopNobody: a file without end, and one without a writer, are errors
// at once, also where they took the place of a regular one.
func TestFilesThatStopNobody(t *testing.T) {
	dir := t.TempDir()
	large, fifo := filepath.Join(dir, "large.yml"), filepath.Join(dir, "fifo.yml")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(maxSize + 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{large: "more than 16777216 bytes", fifo: "not a regular file", "/dev/zero": "not a regular file"} {
		s, err := New(Options{Name: "x", Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if a := s.answer(t.Context()); a.Err == nil || !strings.Contains(a.Err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, a.Err, want)
		}
	}
}

// TestNew refuses what cannot work.
func TestNew(t *testing.T) {
	for _, o := range []Options{{}, {Name: "x"}, {Path: "x"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// FuzzParse: nothing panics, and what is accepted holds what the catalogue
// promises.
func FuzzParse(f *testing.F) {
	archive, err := txtar.ParseFile(filepath.Join("testdata", "parse.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		if strings.HasSuffix(file.Name, ".yml") {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		services, err := Parse("file:x", data)
		if err != nil {
			if services != nil {
				t.Error("services beside an error")
			}
			return
		}
		last := ""
		for _, s := range services {
			if s.ID <= last || s.ID != s.Name+"@file:x" || strings.ContainsAny(s.Name, "@/ \n") {
				t.Errorf("service ID %q after %q", s.ID, last)
			}
			last = s.ID
			for _, i := range s.Instances {
				if a := i.Addresses[0]; a.Host == "" || a.Port == 0 || a.Reach != catalog.ReachFixed || i.State != catalog.StateReady {
					t.Errorf("instance %+v", i)
				}
			}
		}
	})
}
