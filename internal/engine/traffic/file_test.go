package traffic

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// After logrotate has moved the access log, lines go to a new file of its name.
func TestFileIsOpenedAnewAfterItWasMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	write := func(line string) {
		t.Helper()
		l.looked = time.Time{} // a second has passed
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	write("two\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("three\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write("four\n")
	for file, want := range map[string]string{path + ".1": "one\ntwo\n", path: "four\n"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", file, got, err, want)
		}
	}
}
