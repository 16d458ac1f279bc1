package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReadWaitsForNobody: what is no regular file is an error at once.
func TestReadWaitsForNobody(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/zero", "/dev/null", dir} {
		if _, err := Read(path, 10); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: %v, want %v", path, err, ErrNotRegular)
		}
	}
	if data, err := Read(write(t, filepath.Join(dir, "ten"), "0123456789"), 10); err != nil || len(data) != 10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if _, err := Read(write(t, filepath.Join(dir, "eleven"), "0123456789x"), 10); err == nil || !strings.Contains(err.Error(), "more than 10 bytes") {
		t.Errorf("eleven bytes: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "none"), 10); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// TestOpenBelow: neither dots nor links lead out of the directories.
func TestOpenBelow(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "inner")
	write(t, filepath.Join(in, "users"), "a")
	write(t, filepath.Join(in, "data", "users"), "b")
	secret := write(t, filepath.Join(out, "secret"), "c")
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	link("data/users", filepath.Join(in, "within"))
	link(secret, filepath.Join(in, "absolute"))
	link("../inner/secret", filepath.Join(in, "relative"))
	link(out, filepath.Join(in, "directory"))
	link(in, filepath.Join(dir, "alias"))
	if err := syscall.Mkfifo(filepath.Join(in, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"in/users": "a", "in/within": "b", "in/./data/../users": "a", "alias/users": "a",
		"in/absolute": "", "in/relative": "", "in/directory/secret": "", "in/fifo": "", "in/none": "", "in": "", "in/data": "",
		"inner/secret": "", "in/../inner/secret": "", "in/data/../../inner/secret": "",
	} {
		f, err := OpenBelow([]string{in, filepath.Join(dir, "alias") + "/"}, dir+"/"+path)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", path, err)
			} else if !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %q does not name the file", path, err)
			}
			continue
		}
		data, err := f.Read(10)
		if err != nil || string(data) != want {
			t.Errorf("%s: %q, %v, want %q", path, data, err, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, dirs := range [][]string{nil, {""}, {"."}, {in + "/data"}} {
		if _, err := OpenBelow(dirs, filepath.Join(in, "users")); !errors.Is(err, ErrOutside) {
			t.Errorf("below %q: %v", dirs, err)
		}
	}
	if !Below([]string{"/"}, "/etc/passwd") || Below([]string{"/run/secrets"}, "/run/secrets-of-others/x") {
		t.Error("what is below a directory is not judged by its path")
	}
}
