package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"strings"
	"unsafe"
)

// bbolt trusts its file: a page that refers to a wrong one makes it panic, walk in
// circles, or ask for all memory there is. So the tree is walked here before bbolt
// does, without trust. What is looked at is the pages; the values in them have
// sums of their own.
//
// The layout, in the byte order of the machine: a page begins with its number (8
// bytes), flags (2), count of elements (2) and of pages behind it (4); elements
// have 16 bytes. Two pages at the beginning say where the tree begins.
const (
	pageHeader  = 16
	element     = 16
	metaLength  = 64
	branchPage  = 0x01
	leafPage    = 0x02
	metaPage    = 0x04
	freePage    = 0x10
	bucketFlag  = 0x01
	metaMagic   = 0xED0CDAED
	manyFree    = 0xFFFF // the count of free pages is in the first element then
	maxPageSize = 64 << 10
)

// byteOrder is that of the machine.
func byteOrder() binary.ByteOrder {
	n := uint16(1)
	if *(*byte)(unsafe.Pointer(&n)) == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// checkPages looks at the pages of a bbolt file that nobody writes to. The error
// wraps ErrDamaged when they make no sense. doubt is set when one of the two
// places that say where the tree begins is damaged: then the other one counts,
// which may be older by one write.
func checkPages(path string) (doubt string, err error) {
	w, err := walkFile(path, nil)
	if err != nil {
		return "", err
	}
	if w.oneBeginning {
		doubt = "; one of its two beginnings is damaged: the newest write may be lost"
	}
	if w.fault != nil {
		return "", fmt.Errorf("%w: %w%s", ErrDamaged, w.fault, doubt)
	}
	return strings.TrimPrefix(doubt, "; "), nil
}

// walkFile goes through the tree in a file, past what is damaged. visit is called
// for every value in a bucket; nil for nothing.
func walkFile(path string, visit func(in bucket, key, value []byte)) (*walk, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	w := &walk{file: f, size: info.Size(), order: byteOrder(), seen: map[uint64]bool{}, visit: visit}
	w.all()
	return w, nil
}

// walk goes through a file.
type walk struct {
	file     io.ReaderAt
	size     int64
	order    binary.ByteOrder
	pageSize int64
	most     uint64          // number behind the last page
	seen     map[uint64]bool // pages of the tree
	visit    func(in bucket, key, value []byte)

	fault        error // the first that was found
	oneBeginning bool
}

// wrong notes a fault.
func (w *walk) wrong(format string, args ...any) {
	if w.fault == nil {
		w.fault = fmt.Errorf(format, args...)
	}
}

// meta is what one of the first two pages says.
type meta struct{ pageSize, root, free, most, write uint64 }

func (w *walk) all() {
	m, ok := w.meta(0)
	w.oneBeginning = !ok
	for size := int64(512); !ok && size <= maxPageSize; size *= 2 {
		m, ok = w.meta(size)
	}
	if !ok {
		w.wrong("it has no beginning")
		return
	}
	w.pageSize = int64(m.pageSize)
	if !w.oneBeginning {
		other, ok := w.meta(w.pageSize)
		w.oneBeginning = !ok
		if ok && other.write > m.write {
			m = other
		}
	}
	w.most = m.most
	if w.most > uint64(w.size/w.pageSize) {
		w.wrong("it has %d bytes, and %d pages of %d are in use", w.size, w.most, w.pageSize)
	}
	w.tree("", m.root, 0)
	w.free(m.free)
}

// meta reads one of the first two pages.
func (w *walk) meta(at int64) (m meta, ok bool) {
	b := make([]byte, pageHeader+metaLength)
	if _, err := w.file.ReadAt(b, at); err != nil {
		return m, false
	}
	number, flags := w.order.Uint64(b), w.order.Uint16(b[8:])
	b = b[pageHeader:]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaLength-8]) // it never fails
	if w.order.Uint32(b) != metaMagic || w.order.Uint64(b[metaLength-8:]) != sum.Sum64() {
		return m, false
	}
	m = meta{
		pageSize: uint64(w.order.Uint32(b[8:])),
		root:     w.order.Uint64(b[16:]), free: w.order.Uint64(b[32:]), most: w.order.Uint64(b[40:]), write: w.order.Uint64(b[48:]),
	}
	return m, m.pageSize >= 512 && m.pageSize <= maxPageSize && m.pageSize&(m.pageSize-1) == 0 &&
		flags == metaPage && number*m.pageSize == uint64(at)
}

// page reads a page with those behind it that belong to it; nil when it makes no
// sense.
func (w *walk) page(number uint64, flags ...uint16) (b []byte, count int) {
	header := make([]byte, pageHeader)
	at := int64(number) * w.pageSize
	if number < 2 || number >= w.most {
		w.wrong("page %d of %d", number, w.most)
		return nil, 0
	}
	if _, err := w.file.ReadAt(header, at); err != nil {
		w.wrong("page %d: %w", number, err)
		return nil, 0
	}
	pages := 1 + uint64(w.order.Uint32(header[12:]))
	if w.order.Uint64(header) != number || !slices.Contains(flags, w.order.Uint16(header[8:])) || pages > w.most-number {
		w.wrong("page %d is none", number)
		return nil, 0
	}
	b = make([]byte, min(int64(pages)*w.pageSize, w.size-at))
	if _, err := w.file.ReadAt(b, at); err != nil {
		w.wrong("page %d: %w", number, err)
		return nil, 0
	}
	return b, int(w.order.Uint16(header[10:]))
}

// maxDepth is more than a tree in a file can have.
const maxDepth = 64

// tree walks the pages below one. in is the bucket they belong to; empty for the
// tree of buckets.
func (w *walk) tree(in bucket, number uint64, depth int) {
	if w.seen[number] || depth > maxDepth {
		w.wrong("page %d is there twice", number)
		return
	}
	b, count := w.page(number, branchPage, leafPage)
	if b == nil {
		return
	}
	for n := range uint64(int64(len(b)) / w.pageSize) {
		if w.seen[number+n] {
			w.wrong("page %d is there twice", number+n)
		}
		w.seen[number+n] = true
	}
	if w.order.Uint16(b[8:]) == branchPage {
		w.branch(in, number, b, count, depth)
	} else {
		w.leaf(in, number, b, count, depth)
	}
}

// cut returns a piece of a page that an element at refers to; nil when it is not
// in the page.
func cut(b []byte, at int, position uint64, length uint32) []byte {
	from := uint64(at) + position
	if to := from + uint64(length); to <= uint64(len(b)) {
		return b[from:to:to]
	}
	return nil
}

// elements bounds the count of elements by what fits into a page.
func (w *walk) elements(number uint64, b []byte, count int) int {
	if most := (len(b) - pageHeader) / element; count > most {
		w.wrong("page %d: %d elements", number, count)
		return most
	}
	return count
}

func (w *walk) branch(in bucket, number uint64, b []byte, count, depth int) {
	if count == 0 {
		w.wrong("page %d: no elements", number)
	}
	var last []byte
	for i := range w.elements(number, b, count) {
		at := pageHeader + i*element
		key := cut(b, at, uint64(w.order.Uint32(b[at:])), w.order.Uint32(b[at+4:]))
		if len(key) == 0 || i > 0 && bytes.Compare(key, last) <= 0 {
			w.wrong("page %d: the keys are in no order", number)
		}
		last = key
		w.tree(in, w.order.Uint64(b[at+8:]), depth+1)
	}
}

func (w *walk) leaf(in bucket, number uint64, b []byte, count, depth int) {
	var last []byte
	for i := range w.elements(number, b, count) {
		at := pageHeader + i*element
		position, keyLength := uint64(w.order.Uint32(b[at+4:])), w.order.Uint32(b[at+8:])
		key := cut(b, at, position, keyLength)
		if len(key) == 0 || i > 0 && bytes.Compare(key, last) <= 0 {
			w.wrong("page %d: the keys are in no order", number)
		}
		last = key
		value := cut(b, at, position+uint64(keyLength), w.order.Uint32(b[at+12:]))
		switch isBucket := w.order.Uint32(b[at:])&bucketFlag != 0; {
		case key == nil || value == nil:
			w.wrong("page %d: a value does not fit", number)
		case isBucket != (in == ""):
			w.wrong("page %d: a bucket is where a value should be, or a value where a bucket should", number)
		case isBucket:
			w.bucket(bucket(key), number, value, depth)
		case in != inStore && !belongs(in, key, value):
			w.wrong("page %d: a value is not where it belongs", number)
		case w.visit != nil:
			w.visit(in, key, value)
		}
	}
}

// bucket walks a bucket: the value says where its tree begins, or is followed by
// a leaf itself when that is small.
func (w *walk) bucket(name bucket, number uint64, value []byte, depth int) {
	if len(value) < 16 {
		w.wrong("page %d: bucket %q does not fit", number, name)
		return
	}
	if root := w.order.Uint64(value); root != 0 {
		w.tree(name, root, depth+1)
		return
	}
	inline := value[16:]
	if len(inline) < pageHeader || w.order.Uint16(inline[8:]) != leafPage || name == "" {
		w.wrong("page %d: bucket %q does not fit", number, name)
		return
	}
	w.leaf(name, number, inline, int(w.order.Uint16(inline[10:])), depth+1)
}

// free compares the list of free pages with the tree: a page that is both would be
// overwritten.
func (w *walk) free(number uint64) {
	b, count := w.page(number, freePage)
	if b == nil {
		return
	}
	list := b[pageHeader:]
	n := uint64(count)
	if count == manyFree {
		n = w.order.Uint64(list)
		list = list[8:]
	}
	if n > uint64(len(list)/8) {
		w.wrong("page %d: %d free pages", number, n)
		return
	}
	var last uint64
	for i := range n {
		page := w.order.Uint64(list[i*8:])
		if page < 2 || page >= w.most || page <= last || w.seen[page] || page == number {
			w.wrong("page %d is said to be free", page)
		}
		last = page
	}
}
