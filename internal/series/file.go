package series

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
)

// A file is a head, a directory entry for each place, and for each place two
// rings of rows: first the fine one, then the coarse one. Everything stands at a
// fixed position and carries a checksum:
//
//	head    magic, version, places, columns, checksum; padded to 4 KiB
//	entry   checksum, serial, newest row (to half an hour), length of the name, name; 256 bytes
//	row     checksum, step (since 1970, 0 for none), readings, values, buckets
//
// The checksum of a row takes in the serial of the entry, so that rows which the
// former owner of a place has left are not taken for those of the new one.
const (
	magic     = "FWSERIES"
	version   = 1
	headSize  = 4096
	entrySize = 256
	rowHead   = 12
)

var rings = []struct{ rows, per int64 }{
	{int64(fineSpan / fine), 1},
	{int64(coarseSpan / coarse), int64(coarse / fine)}, // per: fine steps
}

func rowSize(g Group) int64 { return rowHead + 4*int64(columns(g)) + int64(g.Buckets) }

// subjectSize is what one subject takes in the file.
func subjectSize(g Group) int64 {
	size := int64(entrySize)
	for _, r := range rings {
		size += r.rows * rowSize(g)
	}
	return size
}

// file is the file of a group.
type file struct {
	f      *os.File
	g      *group
	places map[string]*place
	free   []int
	serial uint32
}

// place is where a subject is in the file.
type place struct {
	index  int
	serial uint32
	newest int64 // fine step of the newest row; of an earlier run to half an hour
}

// openFile opens the file of a group, or makes it.
func openFile(dir string, g *group, log *slog.Logger) (*file, error) {
	path := filepath.Join(dir, g.Name+".series")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	made := &file{f: f, g: g, places: map[string]*place{}}
	if err := errors.Join(made.begin(log), made.readEntries()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return made, nil
}

// begin empties a file that is new, or of another shape.
func (f *file) begin(log *slog.Logger) error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	size, head := FileSize(f.g.Group), f.head()
	found := make([]byte, len(head))
	if _, err := f.f.ReadAt(found, 0); err == nil && bytes.Equal(head, found) && info.Size() == size {
		return nil
	}
	if info.Size() > 0 {
		log.Warn("readings on disk are of another shape than these; the file is begun anew", "file", f.f.Name())
	}
	if err := errors.Join(f.f.Truncate(0), f.f.Truncate(size)); err != nil {
		return err
	}
	_, err = f.f.WriteAt(head, 0)
	return err
}

// head is what a file of the group begins with.
func (f *file) head() []byte {
	b := append([]byte(magic), version)
	b = binary.BigEndian.AppendUint32(b, uint32(f.g.Subjects))
	b = binary.BigEndian.AppendUint32(b, uint32(f.g.columns))
	for _, field := range f.g.Fields {
		b = append(b, field.Name...)
		b = append(b, 0)
		if field.Peak {
			b = append(b, 1)
		}
	}
	if f.g.Buckets > 0 {
		b = binary.BigEndian.AppendUint32(b, uint32(f.g.Buckets))
	}
	return binary.BigEndian.AppendUint32(b, sum(b))
}

func sum(parts ...[]byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	var c uint32
	for _, p := range parts {
		c = crc32.Update(c, table, p)
	}
	return c
}

// readEntries reads who has which place. An entry that is damaged is free.
func (f *file) readEntries() error {
	entries := make([]byte, f.g.Subjects*entrySize)
	if _, err := f.f.ReadAt(entries, headSize); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for i := range f.g.Subjects {
		entry := entries[i*entrySize : (i+1)*entrySize]
		length := int(entry[16])
		sound := length > 0 && length <= MaxSubject && binary.BigEndian.Uint32(entry) == sum(entry[4:])
		if !sound || f.places[string(entry[17:17+length])] != nil {
			f.free = append(f.free, i)
			continue
		}
		p := &place{index: i, serial: binary.BigEndian.Uint32(entry[4:]), newest: int64(binary.BigEndian.Uint64(entry[8:]))}
		f.places[string(entry[17:17+length])] = p
		f.serial = max(f.serial, p.serial)
	}
	return nil
}

// writeEntry says who has a place.
func (f *file) writeEntry(name string, p *place) error {
	entry := make([]byte, entrySize)
	binary.BigEndian.PutUint32(entry[4:], p.serial)
	binary.BigEndian.PutUint64(entry[8:], uint64(p.newest))
	entry[16] = byte(len(name))
	copy(entry[17:], name)
	binary.BigEndian.PutUint32(entry, sum(entry[4:]))
	_, err := f.f.WriteAt(entry, headSize+int64(p.index)*entrySize)
	return err
}

// rowAt is where the row of a step in a ring of a place is.
func (f *file) rowAt(p *place, ring int, step int64) int64 {
	at := headSize + int64(f.g.Subjects)*entrySize + int64(p.index)*(subjectSize(f.g.Group)-entrySize)
	if ring == 1 {
		at += rings[0].rows * rowSize(f.g.Group)
	}
	return at + step%rings[ring].rows*rowSize(f.g.Group)
}

// take finds the place of a subject, or gives it a free one, or the oldest not followed.
func (f *file) take(name string) (*place, error) {
	if p := f.places[name]; p != nil {
		return p, nil
	}
	f.serial++
	p := &place{serial: f.serial}
	if len(f.free) > 0 {
		p.index, f.free = f.free[0], f.free[1:]
	} else {
		oldest := ""
		for other, at := range f.places {
			if f.g.subjects[other] == nil && (oldest == "" || at.newest < f.places[oldest].newest || at.newest == f.places[oldest].newest && other < oldest) {
				oldest = other
			}
		}
		if oldest == "" {
			return nil, errors.New("no place is free") // there are as many as subjects in memory
		}
		p.index = f.places[oldest].index
		delete(f.places, oldest)
	}
	if err := f.writeEntry(name, p); err != nil {
		f.free = append(f.free, p.index)
		return nil, err
	}
	f.places[name] = p
	return p, nil
}

// write puts the row of a fine step, with what is there of it from before a restart,
// into the fine ring, and the coarse row that it belongs to, as far as that is known.
func (f *file) write(name string, step int64, m *mean) error {
	p, err := f.take(name)
	if err != nil {
		return err
	}
	if err := f.mergeInto(m, p, step); err != nil {
		return err
	}
	if err := f.put(p, 0, step, m); err != nil {
		return err
	}
	per := rings[1].per
	later := step/per > p.newest/per
	p.newest = max(p.newest, step)
	if later {
		if err := f.writeEntry(name, p); err != nil {
			return err
		}
	}
	over := newMean(f.g)
	for i := step / per * per; i <= step; i++ {
		if err := f.mergeInto(over, p, i); err != nil {
			return err
		}
	}
	return f.put(p, 1, step/per, over)
}

// put writes a row.
func (f *file) put(p *place, ring int, step int64, m *mean) error {
	b := make([]byte, rowSize(f.g.Group))
	binary.BigEndian.PutUint32(b[4:], uint32(step))
	binary.BigEndian.PutUint32(b[8:], m.n)
	for i, v := range m.values {
		binary.BigEndian.PutUint32(b[rowHead+4*i:], math.Float32bits(v))
	}
	for i, rate := range m.rates() {
		b[rowHead+4*len(m.values)+i] = packOne(rate)
	}
	binary.BigEndian.PutUint32(b, f.rowSum(p, ring, b))
	_, err := f.f.WriteAt(b, f.rowAt(p, ring, step))
	return err
}

func (f *file) rowSum(p *place, ring int, row []byte) uint32 {
	return sum(binary.BigEndian.AppendUint32([]byte{byte(ring)}, p.serial), row[4:])
}

// mergeInto adds the row of a fine step, if there is one.
func (f *file) mergeInto(m *mean, p *place, step int64) error {
	row := make([]byte, rowSize(f.g.Group))
	if _, err := f.f.ReadAt(row, f.rowAt(p, 0, step)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if at, n, found := f.decode(p, 0, row); at == step {
		m.merge(n, found)
	}
	return nil
}

// decode takes a row apart; step is 0 for one that is empty, torn or another's.
func (f *file) decode(p *place, ring int, row []byte) (step int64, n uint32, found cells) {
	step, n = int64(binary.BigEndian.Uint32(row[4:])), binary.BigEndian.Uint32(row[8:])
	if step == 0 || n == 0 || binary.BigEndian.Uint32(row) != f.rowSum(p, ring, row) {
		return 0, 0, cells{}
	}
	values := make([]float32, f.g.columns)
	for i := range values {
		values[i] = math.Float32frombits(binary.BigEndian.Uint32(row[rowHead+4*i:]))
	}
	return step, n, cells{values, row[rowHead+4*len(values):]}
}

// each reads the rows of a ring, in no order.
func (f *file) each(p *place, ring int, do func(step int64, n uint32, found cells)) error {
	size := rowSize(f.g.Group)
	all := make([]byte, rings[ring].rows*size)
	if _, err := f.f.ReadAt(all, f.rowAt(p, ring, 0)); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", f.f.Name(), err)
	}
	for at := int64(0); at < int64(len(all)); at += size {
		if step, n, found := f.decode(p, ring, all[at:at+size]); step != 0 {
			do(step, n, found)
		}
	}
	return nil
}
