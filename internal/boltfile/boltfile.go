// Package boltfile opens bbolt files that may be damaged. bbolt trusts its file: a page
// that refers to a wrong one makes it panic, fault, recurse without end, or ask for all
// memory there is, some of it in goroutines of its own where nothing can be caught (so
// does tx.Check). So Check walks the pages before bbolt does, and Guard catches what
// happens to a file while it is open.
package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"fairway/internal/atomicfile"
)

// ErrDamaged: the file is not what bbolt has written.
var ErrDamaged = errors.New("damaged on the disk")

// ErrTaken: another process has the file open.
var ErrTaken = errors.New("another process has it")

// errPanicked is the ErrDamaged of a panic.
var errPanicked = fmt.Errorf("%w", ErrDamaged)

// Guard makes an ErrDamaged of a panic of bbolt, or a fault in its memory map.
func Guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", errPanicked, v)
		}
	}()
	return do()
}

// Panicked reports whether a panic was the error. Such a database cannot be closed.
func Panicked(err error) bool { return errors.Is(err, errPanicked) }

// MoveAside renames a damaged file to path.damaged-1 and so on, and returns the base name.
func MoveAside(path string) (name string, _ error) {
	for n := 1; ; n++ {
		aside := path + ".damaged-" + strconv.Itoa(n)
		if _, err := os.Lstat(aside); err == nil {
			continue
		}
		return filepath.Base(aside), os.Rename(path, aside)
	}
}

// Key is the key of a number, in the order of numbers.
func Key(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// Number is the inverse of Key; zero for what is none.
func Number(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// Open opens a file that Check finds sound, with its doubt, or makes it, and has it read.
// fill works under another name, so that a new file is complete.
func Open(path string, timeout time.Duration, fill func(*bbolt.Tx) error, read func(*bbolt.DB) error) (db *bbolt.DB, doubt string, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, timeout, fill); err != nil {
			return nil, "", err
		}
	}
	if doubt, err = Check(path, timeout); err == nil {
		err = Guard(func() error {
			if db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: timeout, FreelistType: bbolt.FreelistMapType}); err != nil {
				return err
			}
			return read(db)
		})
	}
	switch {
	case err == nil:
		return db, doubt, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		err = ErrTaken
	case db != nil && !Panicked(err):
		_ = db.Close()
	}
	return nil, "", err
}

func create(path string, timeout time.Duration, fill func(*bbolt.Tx) error) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := Guard(func() error {
		db, err := bbolt.Open(temporary, 0o600, &bbolt.Options{Timeout: timeout})
		if err != nil {
			return err
		}
		return errors.Join(db.Update(fill), db.Sync(), db.Close())
	})
	if err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return atomicfile.Rename(temporary, path)
}

// Check walks the pages of a file while no other process writes to it. The error wraps
// ErrDamaged when they make no sense. With doubt one of the two beginnings is damaged: the
// other counts, which may be older by one write.
func Check(path string, timeout time.Duration) (doubt string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() == 0 {
		return "", fmt.Errorf("%w: it is empty", ErrDamaged) // bbolt would begin a new one in it
	}
	err = Guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: timeout, ReadOnly: true})
		if err != nil {
			return err
		}
		err = db.View(func(tx *bbolt.Tx) error {
			var err error
			doubt, err = checkTree(path, tx, info.Size(), int64(db.Info().PageSize))
			return err
		})
		return errors.Join(err, db.Close())
	})
	var system syscall.Errno
	if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, bolterrors.ErrTimeout) && !errors.As(err, &system) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err) // bbolt has no names for all that it finds
	}
	if err != nil && doubt != "" {
		err = fmt.Errorf("%w; %s", err, doubt)
	}
	return doubt, err
}

// The layout, in the byte order of the machine: a page begins with its number (8
// bytes), flags (2), count of elements (2) and of pages behind it (4); elements have 16
// bytes. The first two pages, the beginnings, say where the tree and the list of free
// pages are.
const (
	headerSize = 16
	element    = 16
	metaSize   = 64
	freeAt     = headerSize + 32 // of the number of the list of free pages
	branchPage = 0x01
	leafPage   = 0x02
	freePage   = 0x10
	bucketFlag = 0x01
	manyFree   = 0xFFFF // the count of free pages is in the first element then
	maxDepth   = 64     // more than a tree in a file can have
)

func checkTree(path string, tx *bbolt.Tx, size, pageSize int64) (doubt string, _ error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := &walk{file: f, size: size, pageSize: pageSize, pages: uint64(tx.Size() / pageSize), seen: map[uint64]bool{}}
	for at := range int64(2) {
		b := make([]byte, headerSize+metaSize)
		_, err := f.ReadAt(b, at*pageSize)
		sum := fnv.New64a()
		_, _ = sum.Write(b[headerSize : headerSize+metaSize-8]) // it never fails
		if err != nil || binary.NativeEndian.Uint64(b[headerSize+metaSize-8:]) != sum.Sum64() {
			doubt = "one of its two beginnings is damaged: the newest write may be lost"
		} else if at == int64(tx.ID()%2) {
			w.free = binary.NativeEndian.Uint64(b[freeAt:])
		}
	}
	if tx.Size() > size {
		return doubt, fmt.Errorf("%w: it has %d bytes, and %d are in use", ErrDamaged, size, tx.Size())
	}
	err = w.tree(uint64(tx.Cursor().Bucket().RootPage()), 0)
	if err == nil {
		err = w.checkFree()
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return doubt, err
}

// walk goes through the pages of a file.
type walk struct {
	file           io.ReaderAt
	size, pageSize int64
	pages          uint64          // number behind the last page
	free           uint64          // page of the list of free pages
	seen           map[uint64]bool // pages of the tree
}

// page reads a page of one of two kinds, with those behind it that belong to it.
func (w *walk) page(number uint64, either, or uint16) ([]byte, error) {
	if number < 2 || number >= w.pages {
		return nil, fmt.Errorf("page %d of %d", number, w.pages)
	}
	header := make([]byte, headerSize)
	at := int64(number) * w.pageSize
	if _, err := w.file.ReadAt(header, at); err != nil {
		return nil, fmt.Errorf("page %d: %w", number, err)
	}
	more := uint64(binary.NativeEndian.Uint32(header[12:]))
	flags := binary.NativeEndian.Uint16(header[8:])
	if binary.NativeEndian.Uint64(header) != number || flags != either && flags != or || more >= w.pages-number {
		return nil, fmt.Errorf("page %d is none", number)
	}
	b := make([]byte, int64(more+1)*w.pageSize)
	if _, err := w.file.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("page %d: %w", number, err)
	}
	return b, nil
}

// tree walks the pages below one.
func (w *walk) tree(number uint64, depth int) error {
	b, err := w.page(number, branchPage, leafPage)
	if err != nil {
		return err
	}
	for n := range uint64(int64(len(b)) / w.pageSize) {
		if w.seen[number+n] || depth > maxDepth {
			return fmt.Errorf("page %d is there twice", number+n)
		}
		w.seen[number+n] = true
	}
	if err := w.elements(b, depth); err != nil {
		return fmt.Errorf("page %d: %w", number, err)
	}
	return nil
}

// elements walks the elements of a page, and what is below them.
func (w *walk) elements(b []byte, depth int) error {
	leaf := binary.NativeEndian.Uint16(b[8:]) == leafPage
	count := int(binary.NativeEndian.Uint16(b[10:]))
	if count > (len(b)-headerSize)/element || count == 0 && !leaf {
		return fmt.Errorf("%d elements", count)
	}
	var last []byte
	for i := range count {
		at := headerSize + i*element
		field := func(n int) uint64 { return uint64(binary.NativeEndian.Uint32(b[at+4*n:])) }
		// A branch has position, key length and page; a leaf flags, position, two lengths.
		position, keySize, valueSize := field(0), field(1), uint64(0)
		if leaf {
			position, keySize, valueSize = field(1), field(2), field(3)
		}
		from := uint64(at) + position
		if from+keySize+valueSize > uint64(len(b)) {
			return errors.New("an element does not fit")
		}
		key, value := b[from:from+keySize], b[from+keySize:from+keySize+valueSize]
		if len(key) == 0 || i > 0 && bytes.Compare(key, last) <= 0 {
			return errors.New("the keys are in no order")
		}
		last = key
		var err error
		switch {
		case !leaf:
			err = w.tree(binary.NativeEndian.Uint64(b[at+8:]), depth+1)
		case field(0)&bucketFlag != 0:
			err = w.bucket(value, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket walks a bucket: the value says where its tree begins, or a small leaf follows it.
func (w *walk) bucket(value []byte, depth int) error {
	if len(value) < headerSize {
		return errors.New("a bucket does not fit")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.tree(root, depth+1)
	}
	inline := value[headerSize:]
	if len(inline) < headerSize || binary.NativeEndian.Uint16(inline[8:]) != leafPage || depth > maxDepth {
		return errors.New("a bucket does not fit")
	}
	return w.elements(inline, depth+1)
}

// checkFree compares the list of free pages with the tree, which they would overwrite.
func (w *walk) checkFree() error {
	b, err := w.page(w.free, freePage, freePage)
	if err != nil {
		return err
	}
	list := b[headerSize:]
	count := uint64(binary.NativeEndian.Uint16(b[10:]))
	if count == manyFree {
		count, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		return fmt.Errorf("page %d: %d free pages", w.free, count)
	}
	var last uint64
	for i := range count {
		page := binary.NativeEndian.Uint64(list[i*8:])
		if page < 2 || page >= w.pages || page <= last || w.seen[page] || page == w.free {
			return fmt.Errorf("page %d is in the list of free pages", page)
		}
		last = page
	}
	return nil
}
