package history

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"fairway/internal/boltfile"
	"fairway/internal/testkit"
)

// filled makes a store with a bit of everything and closes it.
func filled(t *testing.T, entries, revisions int) (dir string, file []byte) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(entries) {
		if _, err := s.Append(crashTable(n+1), time.Now(), Cause{Text: "filled"}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range uint64(revisions) {
		if _, err := s.PutRevision(Draft{Document: "demo", Expect: n, Author: "a", Content: crashContent(n + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		if err := s.PutRecord("rollout", fmt.Sprint(n), []byte("of "+fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteRecord("rollout", "0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, contentsOf(t, s.path)
}

// survives opens a damaged file and reads everything: whatever is answered is
// what was written, and afterwards the store takes writes. It returns how many
// entries, revisions and records were found.
func survives(t *testing.T, image []byte, entries, revisions int) (found [3]int, alarm string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), image, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range uint64(entries) {
		if r, err := s.Entry(n + 1); err == nil {
			found[0]++
			if r.Table.Hash != crashTable(n+1).Hash || r.Number != n+1 {
				t.Errorf("entry %d is another one", n+1)
			}
		}
	}
	for n := range uint64(revisions) {
		if v, err := s.Revision("demo", n+1); err == nil {
			found[1]++
			if !bytes.Equal(v.Content, crashContent(n+1)) {
				t.Errorf("revision %d is another one", n+1)
			}
		}
	}
	for n := range 5 {
		if data, err := s.Record("rollout", fmt.Sprint(n)); err == nil {
			found[2]++
			// The newest write of all may be lost with the page that says that it counts.
			if n == 0 && !strings.Contains(s.Status().Alarm, "newest write") || string(data) != "of "+fmt.Sprint(n) {
				t.Errorf("record %d is %q", n, data)
			}
		}
	}
	if _, err := s.Entries(0, 0); err != nil {
		t.Error(err)
	}
	if _, err := s.Documents(); err != nil && !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	e, err := s.Append(crashTable(999), time.Now(), Cause{Text: "afterwards"})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Entry(e.Number); err != nil || r.Table.Hash != crashTable(999).Hash {
		t.Error("what was written afterwards is another one:", err)
	}
	return found, s.Status().Alarm
}

func TestTruncatedFile(t *testing.T) {
	_, file := filled(t, 30, 30)
	best := [3]int{}
	for _, size := range []int{0, 1, 100, 4095, 4096, 8192, 8193, 16384, len(file) / 4, len(file) / 2, len(file) - 4096, len(file) - 1} {
		found, alarm := survives(t, file[:size], 30, 30)
		if alarm == "" && found != [3]int{30, 30, 4} {
			t.Errorf("%d of %d bytes: %v found, and no alarm", size, len(file), found)
		}
		for i := range found {
			best[i] = max(best[i], found[i])
		}
	}
	if best != [3]int{30, 30, 4} {
		t.Errorf("never more than %v found", best)
	}
}

// Pages that are torn, empty, of another page or random: nothing wrong is ever
// answered, nothing panics or goes on for ever, and what is lost is told.
func TestTornPages(t *testing.T) {
	t.Parallel()
	_, file := filled(t, 30, 30)
	page := os.Getpagesize()
	random := rand.New(rand.NewPCG(3, 4))
	rounds := 25
	switch {
	case testkit.Soaking():
		rounds = 3000
	case testing.Short():
		rounds = 15
	}
	silent, all, kept := 0, 0, 0
	for range rounds {
		image := bytes.Clone(file)
		for range 1 + random.IntN(3) {
			at := random.IntN(len(image)/page) * page
			switch random.IntN(5) {
			case 0: // half of it was never written
				clear(image[at+page/2 : at+page])
			case 1:
				clear(image[at : at+page])
			case 2: // another page is in its place
				other := random.IntN(len(image)/page) * page
				copy(image[at:at+page], file[other:other+page])
			case 3:
				for i := at; i < at+page; i++ {
					image[i] = byte(random.Uint32())
				}
			case 4: // some bits flipped in the part that bbolt itself uses
				for range 1 + random.IntN(4) {
					image[at+random.IntN(64)] ^= 1 << random.IntN(8)
				}
			}
		}
		found, alarm := survives(t, image, 30, 30)
		lost := found != [3]int{30, 30, 4}
		if lost && alarm == "" {
			silent++
		}
		if !lost {
			all++
		}
		kept += found[0] + found[1] + found[2]
		if t.Failed() {
			return
		}
	}
	if silent > 0 {
		t.Errorf("%d of %d damaged files lost something without an alarm", silent, rounds)
	}
	t.Logf("%d files: %d lost nothing, %d %% of all values were kept", rounds, all, 100*kept/(64*rounds))
}

// A value that was changed on the disk is told of and not answered, although
// bbolt cannot see it.
func TestChangedValue(t *testing.T) {
	dir, _ := filled(t, 3, 3)
	meddle(t, dir, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(inEntries))
		v := bytes.Clone(b.Get(boltfile.Key(2)))
		v[len(v)-1] ^= 1
		return b.Put(boltfile.Key(2), v)
	})
	s := open(t, Options{Dir: dir})
	if _, err := s.Entry(2); !errors.Is(err, ErrDamaged) {
		t.Errorf("entry 2: %v", err)
	}
	if s.Status().Alarm == "" {
		t.Error("no alarm")
	}
	if list, err := s.Entries(0, 0); err != nil || len(list) != 2 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

// A sound value in a wrong place is not what was written there.
func TestMisplacedValue(t *testing.T) {
	dir, _ := filled(t, 3, 3)
	meddle(t, dir, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(inRecords))
		return b.Put([]byte("rollout\x001"), bytes.Clone(b.Get([]byte("rollout\x002"))))
	})
	s := open(t, Options{Dir: dir})
	if data, err := s.Record("rollout", "1"); err == nil {
		t.Errorf("record 1 is %q", data)
	}
	if data, err := s.Record("rollout", "2"); err != nil || string(data) != "of 2" {
		t.Errorf("record 2 is %q, %v", data, err)
	}
	if s.Status().Alarm == "" || s.Status().Entries != 3 {
		t.Errorf("%+v", s.Status())
	}
}

// meddle writes to the file as nobody should.
func meddle(t *testing.T, dir string, do func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(do), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// The file is cut while it is in use: reading what is gone is an error and not
// the end of the process.
func TestFileIsCutWhileInUse(t *testing.T) {
	dir, file := filled(t, 30, 30)
	s := open(t, Options{Dir: dir})
	if err := os.Truncate(s.path, int64(len(file)/8)); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for n := range uint64(30) {
		if _, err := s.Entry(n + 1); err != nil {
			failed++
		}
	}
	if failed == 0 || s.Status().Alarm == "" {
		t.Errorf("%d reads failed, %+v", failed, s.Status())
	}
	if _, err := s.Append(crashTable(1), time.Now(), Cause{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// On a disk that is full writes say so and change nothing, reads go on, and when
// there is room again writes succeed, without anything having been lost.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip("no small file system here:", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ballast := filepath.Join(dir, "ballast")
	var acked uint64
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 8 {
		if err := os.WriteFile(ballast, make([]byte, 1<<20+random.IntN(800<<10)), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		var full error
		for n := 0; full == nil && n < 2000; n++ {
			// Random contents do not compress.
			content := make([]byte, 8<<10)
			for i := range content {
				content[i] = byte(random.Uint32())
			}
			v, err := s.PutRevision(Draft{Document: "demo", Expect: acked, Author: "a", Content: content})
			if full = err; err == nil {
				acked = v.Number
			}
		}
		if !errors.Is(full, ErrFull) {
			t.Fatalf("round %d: %v after %d revisions, want ErrFull", round, full, acked)
		}
		if s.Status().Alarm == "" {
			t.Error("no alarm")
		}
		if v, err := s.Revision("demo", 0); err != nil || v.Number != acked {
			t.Fatalf("reading on the full disk: %d, %v; want %d", v.Number, err, acked)
		}
		if err := os.Truncate(ballast, 0); err != nil {
			t.Fatal(err)
		}
		if v, err := s.PutRevision(Draft{Document: "demo", Expect: acked, Author: "a"}); err != nil {
			t.Fatalf("round %d: with room again: %v", round, err)
		} else if acked = v.Number; s.Status().Alarm != "" {
			t.Errorf("the alarm stays: %s", s.Status().Alarm)
		}
		if round%2 == 1 { // make room in the file, too
			s.options.MaxRevisions = 20
			if v, err := s.PutRevision(Draft{Document: "demo", Expect: acked, Author: "a"}); err != nil {
				t.Fatal(err)
			} else {
				acked = v.Number
			}
			if err := s.update(s.sweep); err != nil {
				t.Fatal(err)
			}
			s.options.MaxRevisions = defaultRevisions
		}
	}
	list, err := s.Revisions("demo", 0, 0)
	if err != nil || list[0].Number != acked {
		t.Fatal(len(list), err)
	}
	for i, v := range list {
		if v.Number != acked-uint64(i) {
			t.Errorf("revision %d is missing", acked-uint64(i))
		}
		if _, err := s.Revision("demo", v.Number); err != nil {
			t.Error(err)
		}
	}
}

// A limit on the size of files is like a full disk, for whoever is not root.
func TestFileSizeLimit(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `trap '' XFSZ; ulimit -f 256; exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), "FAIRWAY_HISTORY_FULL="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "full after") {
		t.Errorf("%v: %s", err, out)
	}
}

// fillUp writes until the disk is full, for TestFileSizeLimit.
func fillUp(dir string) error {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	var n uint64
	for ; err == nil && n < 1000; n++ {
		content := make([]byte, 4<<10)
		for i := range content {
			content[i] = byte(rand.Uint32())
		}
		_, err = s.PutRevision(Draft{Document: "demo", Expect: n, Author: "a", Content: content})
	}
	if !errors.Is(err, ErrFull) {
		return fmt.Errorf("after %d: %w", n, err)
	}
	v, err := s.Revision("demo", 0)
	if err != nil || v.Number != n-1 {
		return fmt.Errorf("newest %d of %d: %w", v.Number, n-1, err)
	}
	fmt.Println("full after", v.Number)
	return s.Close()
}

func FuzzPages(f *testing.F) {
	dir := f.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(s.PutRecord("a", "b", []byte("c")), s.Close()); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(8192, []byte("x"))
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		image := bytes.Clone(file)
		if at >= 0 && at < len(image) {
			copy(image[at:], patch)
		}
		path := filepath.Join(t.TempDir(), fileName)
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := boltfile.Check(path, lockTimeout); err != nil {
			return
		}
		// What passes can be opened and read to the end.
		s, err := Open(Options{Dir: filepath.Dir(path)})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Record("a", "b")
		_ = s.Close()
	})
}

// TestOtherFormat: the file of another version is left as it is, and the alarm says what
// to do.
func TestOtherFormat(t *testing.T) {
	dir, _ := filled(t, 2, 2)
	path := filepath.Join(dir, fileName)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(inStore)).Put([]byte("format"), []byte("2"))
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	before := contentsOf(t, path)
	s := open(t, Options{Dir: dir})
	if err := s.PutRecord("rollout", "x", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a write: %v, want ErrUnavailable", err)
	}
	if _, err := s.Entries(0, 0); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a read: %v, want ErrUnavailable", err)
	}
	const want = `it has format "2", and this program knows format "3": move the file away to begin a new history, or run the version that wrote it`
	if alarm := s.Status().Alarm; alarm != want {
		t.Errorf("the alarm is %q", alarm)
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) != 1 || !bytes.Equal(contentsOf(t, path), before) {
		t.Errorf("the file was changed or moved: %v, %v", found, err)
	}
}
