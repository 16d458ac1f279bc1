package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// sound makes a file with two buckets, one of which has pages of its own.
func sound(tb testing.TB) (image []byte) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "sound.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for round := range 3 { // each leaves free pages
		err = errors.Join(err, db.Update(func(tx *bbolt.Tx) error {
			small, err := tx.CreateBucketIfNotExists([]byte("small"))
			if err != nil {
				return err
			}
			large, err := tx.CreateBucketIfNotExists([]byte("large"))
			if err != nil {
				return err
			}
			err = small.Put([]byte("round"), fmt.Append(nil, round))
			for n := range 500 {
				err = errors.Join(err, large.Put(fmt.Appendf(nil, "key %03d", n), bytes.Repeat([]byte{byte(round)}, 100)))
			}
			return err
		}))
	}
	if err := errors.Join(err, db.Close()); err != nil {
		tb.Fatal(err)
	}
	if image, err = os.ReadFile(path); err != nil {
		tb.Fatal(err)
	}
	return image
}

// check checks an image, and reads all of it when it passes: nothing panics then.
func check(tb testing.TB, image []byte) (doubt string, err error) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "image.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		tb.Fatal(err)
	}
	if doubt, err = Check(path, time.Second); err != nil {
		return doubt, err
	}
	read := Guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return b.ForEach(func(_, _ []byte) error { return nil }) })
		})
	})
	if read != nil {
		tb.Errorf("it passes, and cannot be read: %v", read)
	}
	return doubt, nil
}

func TestCheck(t *testing.T) {
	image, page := sound(t), os.Getpagesize()
	if doubt, err := check(t, image); doubt != "" || err != nil {
		t.Errorf("a sound file: %q, %v", doubt, err)
	}
	for _, size := range []int{0, 1, page - 1, page, 2 * page, 3 * page, len(image) / 2} {
		if _, err := check(t, image[:size]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", size, err)
		}
	}
	for at := range 2 {
		half := bytes.Clone(image)
		half[at*page+40] ^= 1
		if doubt, err := check(t, half); doubt == "" || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("without beginning %d: %q, %v", at, doubt, err)
		}
	}
	if _, err := Check(filepath.Join(t.TempDir(), "none"), time.Second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzCheck: what passes can be read to the end.
func FuzzCheck(f *testing.F) {
	image := sound(f)
	f.Add(2*os.Getpagesize()+8, []byte{1})
	f.Add(3*os.Getpagesize()+10, []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		broken := bytes.Clone(image)
		if at >= 0 && at < len(broken) {
			copy(broken[at:], patch)
		}
		_, _ = check(t, broken)
	})
}

func TestMoveAsideFindsAFreeName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	for _, want := range []string{"f.db.damaged-1", "f.db.damaged-2"} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if name, err := MoveAside(path); err != nil || name != want {
			t.Errorf("%q, %v; want %q", name, err, want)
		}
	}
	if _, err := MoveAside(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestGuard(t *testing.T) {
	if err := Guard(func() error { panic("page 7") }); !Panicked(err) || !errors.Is(err, ErrDamaged) || err.Error() != "damaged on the disk: page 7" {
		t.Errorf("a panic: %v", err)
	}
	if err := Guard(func() error { return fs.ErrClosed }); err != fs.ErrClosed || Panicked(err) {
		t.Errorf("an error: %v", err)
	}
}
