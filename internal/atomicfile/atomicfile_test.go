package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteReplacesContentAndMode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	for _, c := range []struct {
		text string
		mode fs.FileMode
	}{{"first", 0o600}, {"the second", 0o644}, {"", 0o640}} {
		if err := Write(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(got) != c.text || info.Mode().Perm() != c.mode {
			t.Fatalf("%q, mode %v, %v, %v", got, info.Mode(), err, statErr)
		}
		if left := names(t, dir); !slices.Equal(left, []string{"state.json"}) {
			t.Fatalf("left behind: %q", left)
		}
	}
}

// A reader that has the old file open goes on with the old content.
func TestWriteDoesNotTouchTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Write(path, []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b [8]byte
	if n, _ := f.Read(b[:]); string(b[:n]) != "old" {
		t.Errorf("the old file has %q", b[:n])
	}
}

func TestFailedWriteLeavesTheOldFileAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	err := WriteFunc(path, 0o600, func(f *os.File) error {
		_, _ = f.WriteString("half")
		return full
	})
	if got, _ := os.ReadFile(path); !errors.Is(err, full) || string(got) != "old" {
		t.Errorf("%v, %q", err, got)
	}
	blocked := filepath.Join(dir, "directory")
	if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(blocked, nil, 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if left := names(t, dir); !slices.Equal(left, []string{"directory", "f"}) {
		t.Errorf("left behind: %q", left)
	}
	if err := Write(filepath.Join(dir, "none", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestSweepRemovesOnlyWhatWritesLeave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f*[.json") // no pattern
	for _, name := range []string{".f*[.json.123.tmp", ".f.123.tmp", "f*[.json", "other.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(path); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); !slices.Equal(left, []string{".f.123.tmp", "f*[.json", "other.tmp"}) {
		t.Errorf("left: %q", left)
	}
}
