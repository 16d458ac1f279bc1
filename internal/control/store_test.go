package control

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "state"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func lastGood(revision uint64, names ...string) *LastGood {
	return &LastGood{Table: tableOf(revision, names...), Snapshot: snapshotOf(revision, names...)}
}

func TestStoreRoundTrip(t *testing.T) {
	s := openStore(t)
	if lg, err := s.Load(); lg != nil || err != nil {
		t.Fatalf("empty store: %v, %v", lg, err)
	}
	want := lastGood(4, "a", "b")
	want.Compiled = tableOf(4, "b")
	if err := s.save(want); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got.Table.Text() != want.Table.Text() || got.Table.Hash != want.Table.Hash {
		t.Errorf("table changed on disk:\n%s", got.Table.Text())
	}
	if got.Compiled == nil || got.Compiled.Hash != want.Compiled.Hash {
		t.Errorf("what was compiled changed on disk: %v", got.Compiled)
	}
	if len(got.Snapshot.Services) != 2 || got.Snapshot.Revision != 4 {
		t.Errorf("snapshot changed on disk: %+v", got.Snapshot)
	}
	info, err := os.Stat(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file is readable by others: %v", info.Mode())
	}
}

// Every torn form of the file is noticed, moved aside and survived.
func TestStoreDamagedFile(t *testing.T) {
	s := openStore(t)
	if err := s.save(lastGood(1, "a")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][]byte{
		"empty":       {},
		"half":        whole[:len(whole)/2],
		"header only": whole[:headerSize],
		"one bit":     append(bytes.Clone(whole[:len(whole)-5]), whole[len(whole)-5]^1, whole[len(whole)-4], whole[len(whole)-3], whole[len(whole)-2], whole[len(whole)-1]),
		"zeroes":      make([]byte, len(whole)),
		"longer":      append(bytes.Clone(whole), '\n'),
		"foreign":     []byte(`{"table":{}}`),
	}
	for name, data := range damage {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(s.path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if lg, err := s.Load(); err == nil || lg != nil {
				t.Fatalf("Load = %v, %v; want an error", lg, err)
			}
			if _, err := os.Stat(s.path + ".damaged"); err != nil {
				t.Error("the damaged file was not kept aside:", err)
			}
			if lg, err := s.Load(); lg != nil || err != nil {
				t.Errorf("second Load = %v, %v; want nothing", lg, err)
			}
		})
	}
}

// A process that dies while it writes leaves a temporary file; the last complete
// one still loads.
func TestStoreUnfinishedWriteChangesNothing(t *testing.T) {
	s := openStore(t)
	if err := s.save(lastGood(1, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.path), "."+lastGoodFile+".123.tmp"), []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	lg, err := s.Load()
	if err != nil || lg.Table.Revision != 1 {
		t.Fatalf("Load = %v, %v", lg, err)
	}
	again, err := OpenStore(filepath.Dir(s.path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(again.path), ".*.tmp")); len(left) != 0 {
		t.Errorf("opening the store left %v behind", left)
	}
}

func TestStoreNewestWinsAndLastIsWrittenAtStop(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenStore(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		stop := s.start()
		for r := uint64(1); r <= 50; r++ {
			s.Put(lastGood(r, "a"))
			time.Sleep(time.Millisecond)
		}
		stop()
		lg, err := s.Load()
		if err != nil || lg.Table.Revision != 50 {
			t.Fatalf("Load = %v, %v; want revision 50", lg, err)
		}
	})
}

func TestStoreUnwritableDirectoryIsReportedNotFatal(t *testing.T) {
	s := openStore(t)
	if err := os.RemoveAll(filepath.Dir(s.path)); err != nil {
		t.Fatal(err)
	}
	if err := s.save(lastGood(1, "a")); err == nil {
		t.Fatal("saving into a directory that is gone succeeded")
	}
}

func FuzzLastGood(f *testing.F) {
	f.Add([]byte("fairway last-good 1 sha256:"))
	f.Add([]byte(`{"table":{},"snapshot":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if lg, err := decodeLastGood(data); err == nil && (lg == nil || lg.Table == nil) {
			t.Fatal("decoding succeeded without a table")
		}
	})
}
