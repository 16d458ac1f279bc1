package haproxy

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // HAProxy names certificates by it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/engine/certs"
	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
)

// disk keeps the files that HAProxy reads, always those of one whole configuration. All
// that is new is written beside the old, where a full disk shows, and then renamed into
// place. It is guarded by the engine's mutex.
type disk struct {
	dir string
	// write makes a file with its content; tests of full disks have their own.
	write func(path string, data []byte, mode fs.FileMode) error
	// unflushed are files and directories that may not be on the disk yet.
	unflushed map[string]bool
	// sums are of the files as they were written; none at the start, when all are.
	sums map[string]uint64
	seed maphash.Seed
}

// fileGood holds the last configuration that HAProxy has taken, for people.
const (
	fileGood     = render.FileConfig + ".good"
	fileKept     = "fairway.json"
	fileSections = "sections.json"
	suffixNew    = ".new"
	suffixOld    = ".old"
)

// kept is what the next engine must know of this one. Sections, which change with every
// endpoint, are in a file of their own.
type kept struct {
	Config *render.Config            `json:"config"`
	Files  map[string]string         `json:"files,omitempty"` // target.Files
	Ports  map[string]netip.AddrPort `json:"ports,omitempty"`
}

func newDisk(dir string) (*disk, error) {
	d := &disk{dir: dir, write: writeFile, seed: maphash.MakeSeed(), unflushed: map[string]bool{}, sums: map[string]uint64{}}
	// 0700: keys are below it, and sockets that control HAProxy.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("haproxy: directory: %w", err)
	}
	return d, nil
}

const keyLength = 16

var keyForm = regexp.MustCompile(fmt.Sprintf("^[0-9A-Za-z]{%d}$", keyLength))

// key returns the key in a file, which is made when there is none.
func (d *disk) key(name string) (string, error) {
	path := filepath.Join(d.dir, name)
	if data, err := os.ReadFile(path); err == nil && keyForm.Match(data) {
		return string(data), nil
	}
	key := rand.Text()[:keyLength]
	if err := d.write(path, []byte(key), 0o600); err != nil {
		return "", fmt.Errorf("haproxy: key of the log: %w", err)
	}
	return key, nil
}

// load reads what the engine before has kept; nothing is not an error.
func (d *disk) load() (kept, error) {
	var k kept
	err := d.read(fileKept, &k)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil && k.Config != nil && k.Config.Sections == nil { // an earlier version has them in the same file
		err = d.read(fileSections, &k.Config.Sections)
	}
	if err != nil {
		return kept{}, err
	}
	return k, nil
}

// read reads a file of JSON.
func (d *disk) read(name string, into any) error {
	data, err := os.ReadFile(filepath.Join(d.dir, name))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("haproxy: %s: %w", name, err)
	}
	return nil
}

// configFile is the path of the configuration itself.
func (d *disk) configFile() string { return filepath.Join(d.dir, render.FileConfig) }

// files are the contents of what HAProxy must have, by path.
func (d *disk) files(t target, ports map[string]netip.AddrPort) (map[string][]byte, error) {
	files := map[string][]byte{d.configFile(): t.Config.Text}
	maps.Copy(files, t.contents)
	for name, data := range t.Config.Files {
		files[filepath.Join(d.dir, name)] = data
	}
	for _, m := range t.Config.Maps {
		files[m.Path] = mapFile(m)
	}
	for _, l := range t.Config.CertLists {
		if l.Fixed {
			continue // it is there
		}
		files[l.Path] = nil // a list without certificates is a file, too
		for _, c := range l.Certificates {
			files[l.Path] = fmt.Appendln(files[l.Path], strings.TrimSpace(c.Path+" "+c.Pair.Host))
		}
	}
	for path, p := range t.Pairs {
		files[path] = p.PEM
	}
	structure := *t.Config
	structure.Sections, structure.Marker = nil, ""
	for name, value := range map[string]any{
		fileKept:     kept{Config: &structure, Files: t.Files, Ports: ports},
		fileSections: t.Config.Sections,
	} {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("haproxy: %w", err)
		}
		files[filepath.Join(d.dir, name)] = data
	}
	return files, nil
}

// mapFile is a map as HAProxy reads it.
func mapFile(m render.Map) []byte {
	var b bytes.Buffer
	for _, e := range m.Entries {
		b.WriteString(e.Key)
		b.WriteByte(' ')
		b.WriteString(e.Value)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// staged are files that are written beside their places.
type staged struct {
	disk  *disk
	paths []string // of what differs; the configuration is the last
	sums  map[string]uint64
	moved []string // those that are in their places
}

// stage writes what is new beside its place. After an error nothing has changed.
func (d *disk) stage(files map[string][]byte) (*staged, error) {
	s := &staged{disk: d, sums: map[string]uint64{}}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		sum := maphash.Bytes(d.seed, files[path])
		if was, ok := d.sums[path]; ok && was == sum {
			continue
		}
		s.sums[path] = sum
		s.paths = append(s.paths, path)
		if err := d.write(path+suffixNew, files[path], 0o600); err != nil {
			s.forget()
			return nil, fmt.Errorf("haproxy: the configuration cannot be written: %w", err)
		}
	}
	if i := slices.Index(s.paths, d.configFile()); i >= 0 {
		s.paths = append(slices.Delete(s.paths, i, i+1), d.configFile())
	}
	return s, nil
}

// commit puts what was staged in its place, and keeps what was there for revert. The
// configuration comes last: until then HAProxy can be started with the old one.
func (s *staged) commit() error {
	for _, path := range s.paths {
		old := path + suffixOld
		_ = os.Remove(old)
		if err := os.Link(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("haproxy: the configuration cannot be written: %w", err)
		}
		if err := os.Rename(path+suffixNew, path); err != nil {
			return fmt.Errorf("haproxy: the configuration cannot be written: %w", err)
		}
		s.disk.sums[path] = s.sums[path]
		s.moved = append(s.moved, path)
		s.disk.unflushed[path], s.disk.unflushed[filepath.Dir(path)] = true, true
	}
	return nil
}

// revert puts back what commit has replaced. It needs no room on the disk.
func (s *staged) revert() error {
	var failed []error
	for _, path := range s.moved {
		delete(s.disk.sums, path)
		err := os.Rename(path+suffixOld, path)
		if errors.Is(err, fs.ErrNotExist) { // there was none
			err = os.Remove(path)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("haproxy: the configuration before cannot be put back: %w", err))
		}
	}
	s.moved = nil
	return errors.Join(failed...)
}

// forget removes what is beside the files.
func (s *staged) forget() {
	for path := range s.sums {
		_ = os.Remove(path + suffixNew)
		_ = os.Remove(path + suffixOld)
	}
}

// good keeps a copy of the configuration that HAProxy has taken.
func (d *disk) good(c *render.Config) error {
	path := filepath.Join(d.dir, fileGood)
	if err := d.write(path+suffixNew, c.Text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+suffixNew, path)
}

// sweep removes pairs that a configuration has no use for any more.
func (d *disk) sweep(pairs map[string]*plan.Pair) {
	old, _ := filepath.Glob(filepath.Join(d.dir, render.DirCerts, "*"))
	for _, path := range old {
		if pairs[path] == nil {
			_ = os.Remove(path)
			delete(d.sums, path)
		}
	}
}

// maxOutput bounds the file into which HAProxy writes: a line for each server that
// comes and goes.
const maxOutput = 4 << 20

// trimOutput puts that file aside when it is large; HAProxy goes on at its beginning.
func (d *disk) trimOutput() error {
	path := filepath.Join(d.dir, fileOutput)
	info, err := os.Stat(path)
	if err != nil || info.Size() < maxOutput {
		return nil //nolint:nilerr // there is none to trim
	}
	data, err := os.ReadFile(path) //nolint:gosec // one of ours
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path+".1", data, 0o600), os.Truncate(path, 0))
}

// writeFile makes a file, in a directory that is made if need be.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// flush brings files to the disk, for a HAProxy that Fairway does not start: before it
// starts one itself it writes them anew. So no change waits for it.
func flush(paths map[string]bool) error {
	var failed []error
	for path := range paths {
		f, err := os.Open(path) //nolint:gosec // one of ours
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if !errors.Is(err, fs.ErrNotExist) { // it has gone meanwhile
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// pairsOf returns the pairs of lists by path, and takes those of labels that cannot be read
// off the lists. Those that were joined before stay the same.
func (e *Engine) pairsOf(lists []render.CertList) (map[string]*plan.Pair, error) {
	byPath, joined := map[string]*plan.Pair{}, map[*certs.Pair]*plan.Pair{}
	for i := range lists {
		l := &lists[i]
		all := l.Certificates
		l.Certificates = nil
		for _, c := range all {
			read, err := e.certs.Pairs([]route.Certificate{c.Pair})
			if err != nil {
				return nil, fmt.Errorf("listener %s: %w", l.Listener, err)
			}
			if read[0] == nil {
				continue
			}
			l.Certificates = append(l.Certificates, c)
			p := e.joined[read[0]]
			if p == nil {
				p = join(read[0])
			}
			byPath[c.Path], joined[read[0]] = p, p
		}
	}
	e.joined = joined
	return byPath, nil
}

// join makes one file of a pair.
func join(p *certs.Pair) *plan.Pair {
	text := bytes.TrimRight(p.CertPEM, "\n")
	if !bytes.Equal(p.CertPEM, p.KeyPEM) {
		text = slices.Concat(text, []byte("\n"), bytes.TrimRight(p.KeyPEM, "\n"))
	}
	text = append(slices.Clip(text), '\n')
	leaf, whole := sha1.Sum(p.Certificate.Certificate[0]), sha256.Sum256(text) //nolint:gosec // see the import
	return &plan.Pair{
		PEM: text, Names: p.Names,
		ID: strings.ToUpper(hex.EncodeToString(leaf[:])) + "/" + hex.EncodeToString(whole[:8]),
	}
}

// digest is short, for a name.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
