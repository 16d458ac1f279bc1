package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.cfg")
	for _, text := range []string{"one", "two", ""} {
		if err := replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := read(path)
		if err != nil || got == nil || string(got) != text || modeOf(path) != 0o640 {
			t.Errorf("%q, %v, mode %v", got, err, modeOf(path))
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := replace(filepath.Join(dir, "no", "x.cfg"), nil, 0o600); err == nil {
		t.Error("a directory that is not there is no error")
	}
	if got, err := read(filepath.Join(dir, "none")); got != nil || err != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
}

func TestByAge(t *testing.T) {
	want := []string{
		"a_2026-01-02-030405.cfg", "a_2026-01-02-030405-1.cfg", "a_2026-01-02-030405-2.cfg", "a_2026-01-02-030405-10.cfg", "a_2026-01-02-030406.cfg",
		"a_2026-11-02-030405.cfg", "a_2027-01-02-030405.cfg",
	}
	a := &Agent{o: Options{Name: "a", Dir: t.TempDir()}}
	if err := os.Mkdir(a.dir("backup"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range want {
		if err := os.WriteFile(filepath.Join(a.dir("backup"), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := a.copies()
	var got []string
	for _, c := range list {
		got = append(got, c.name)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

// Other names' copies and what is no copy at all stay.
func TestCopiesOfOthersStay(t *testing.T) {
	a := &Agent{o: Options{Name: "10.0.0.1", Dir: t.TempDir(), Keep: 1, Log: io.Discard}}
	dir := a.dir("backup")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"10.0.0.1_2026-01-02-030405.cfg", "10.0.0.1_2026-01-02-030406.cfg", "10.0.0.1_notes.cfg", "10.0.0.10_2026-01-02-030405.cfg", "10.0.0.1_2026-01-02-030405.txt",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.keep([]byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	if names, err := a.copies(); len(entries) != 4 || len(names) != 1 || names[0].stamp < "2026-01-03" {
		t.Errorf("left: %v, copies %v, %v", entries, names, err)
	}
}

func TestLock(t *testing.T) {
	a := &Agent{o: Options{Name: "x", Dir: t.TempDir()}}
	unlock, err := a.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second one: %v", err)
	}
	unlock()
	again, err := a.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}
