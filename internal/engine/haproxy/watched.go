package haproxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"

	"fairway/internal/files"
	"fairway/internal/route"
)

// watched holds the contents of the files with authorities of clients that a
// configuration is made of. It is guarded by the engine's mutex.
type watched struct {
	log   *slog.Logger
	files map[string]*watchedFile
}

type watchedFile struct {
	stamp files.Stamp
	check func([]byte) error
	data  []byte // of the last reading that went well
	err   error  // of the last
}

// maxAuthorities bounds the size of a file.
const maxAuthorities = 4 << 20

// read reads the file and says whether it is another one now.
func (f *watchedFile) read(path string) (changed bool) {
	data, err := files.Read(path, maxAuthorities)
	if err == nil {
		err = f.check(data)
	}
	changed = (err == nil) != (f.err == nil) || err == nil && !bytes.Equal(data, f.data)
	if f.err = err; err == nil {
		f.data = data
	}
	return changed
}

func newWatched(log *slog.Logger) *watched {
	return &watched{log: log, files: map[string]*watchedFile{}}
}

// get returns a file, which is read when it is not known yet.
func (w *watched) get(path string, check func([]byte) error) *watchedFile {
	f := w.files[path]
	if f == nil {
		f = &watchedFile{stamp: files.StampOf(path), check: check}
		f.read(path)
		w.files[path] = f
	}
	return f
}

// reread looks at the files again and says whether one has changed.
func (w *watched) reread() (changed bool) {
	for path, f := range w.files {
		now := files.StampOf(path)
		if f.stamp.Holds(now) {
			continue
		}
		f.stamp = now
		was := f.err
		changed = f.read(path) || changed
		if f.err != nil && was == nil {
			w.log.Error("file cannot be used any more", "file", path, "error", f.err)
		}
	}
	return changed
}

// keep forgets the files that a table does not name.
func (w *watched) keep(t *route.Table) {
	used := map[string]bool{}
	for _, path := range authorityFiles(t) {
		used[path] = true
	}
	maps.DeleteFunc(w.files, func(path string, _ *watchedFile) bool { return !used[path] })
}

// authorities returns the paths below dir of copies of the files of authorities that a
// table names, and what is in them by these paths. HAProxy reads the copies: a file
// that is broken later does not keep it from starting. One that could never be used
// is an error.
func (w *watched) authorities(t *route.Table, dir string) (copies map[string]string, contents map[string][]byte, err error) {
	copies, contents = map[string]string{}, map[string][]byte{}
	for _, l := range t.Listeners {
		if !l.TLS || l.ClientCAFile == "" {
			continue
		}
		f := w.get(l.ClientCAFile, checkAuthorities)
		if f.data == nil {
			delete(w.files, l.ClientCAFile) // it is looked for anew the next time
			return nil, nil, fmt.Errorf("listener %s: authorities of clients: %w", l.Name, f.err)
		}
		sum := sha256.Sum256([]byte(l.ClientCAFile))
		path := filepath.Join(dir, "authorities", hex.EncodeToString(sum[:8])+".pem")
		copies[l.ClientCAFile], contents[path] = path, f.data
	}
	return copies, contents, nil
}

// checkAuthorities refuses what holds no certificate.
func checkAuthorities(data []byte) error {
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return errors.New("there is no certificate in it")
	}
	return nil
}

func authorityFiles(t *route.Table) (paths []string) {
	for _, l := range t.Listeners {
		if l.TLS && l.ClientCAFile != "" {
			paths = append(paths, l.ClientCAFile)
		}
	}
	return paths
}
