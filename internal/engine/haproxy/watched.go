package haproxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"os"

	"fairway/internal/route"
)

// watched holds the contents of the user's files that a configuration is made of:
// passwords, and authorities of clients. It is guarded by the engine's mutex.
type watched struct {
	log   *slog.Logger
	files map[string]*watchedFile
}

type watchedFile struct {
	stamp stamp
	data  []byte // of the last reading that went well
	err   error  // of the last
}

func newWatched(log *slog.Logger) *watched {
	return &watched{log: log, files: map[string]*watchedFile{}}
}

// get returns a file, which is read when it is not known yet.
func (w *watched) get(path string) *watchedFile {
	f := w.files[path]
	if f == nil {
		f = &watchedFile{stamp: stampOf(path)}
		f.data, f.err = os.ReadFile(path)
		w.files[path] = f
	}
	return f
}

// reread looks at the files again and says whether one has changed.
func (w *watched) reread() (changed bool) {
	for path, f := range w.files {
		now := stampOf(path)
		if f.stamp.holds(now) {
			continue
		}
		f.stamp = now
		data, err := os.ReadFile(path)
		changed = changed || (err == nil) != (f.err == nil) || err == nil && !bytes.Equal(data, f.data)
		if err != nil && f.err == nil {
			w.log.Error("file cannot be read any more", "file", path, "error", err)
		}
		if f.err = err; err == nil {
			f.data = data
		}
	}
	return changed
}

// keep forgets the files that a table does not name.
func (w *watched) keep(t *route.Table) {
	used := map[string]bool{}
	for _, path := range append(passwordFiles(t), authorityFiles(t)...) {
		used[path] = true
	}
	maps.DeleteFunc(w.files, func(path string, _ *watchedFile) bool { return !used[path] })
}

// passwords are the contents of the files of passwords that a table names, without
// those that cannot be read now.
func (w *watched) passwords(t *route.Table) map[string][]byte {
	contents := map[string][]byte{}
	for _, path := range passwordFiles(t) {
		if f := w.get(path); f.err == nil {
			contents[path] = f.data
		}
	}
	return contents
}

// authorities are the digests of the files of authorities that a table names. One
// that could never be read is an error; what cannot be read any more stays.
func (w *watched) authorities(t *route.Table) (map[string]string, error) {
	digests := map[string]string{}
	for _, path := range authorityFiles(t) {
		f := w.get(path)
		if f.data == nil {
			delete(w.files, path) // it is looked for anew the next time
			return nil, fmt.Errorf("authorities of clients: %w", f.err)
		}
		sum := sha256.Sum256(f.data)
		digests[path] = hex.EncodeToString(sum[:8])
	}
	return digests, nil
}

func passwordFiles(t *route.Table) (paths []string) {
	for _, r := range t.Routes {
		for _, f := range r.Filters {
			if f.BasicAuth != nil && f.BasicAuth.File != "" {
				paths = append(paths, f.BasicAuth.File)
			}
		}
	}
	return paths
}

func authorityFiles(t *route.Table) (paths []string) {
	for _, l := range t.Listeners {
		if l.TLS && l.ClientCAFile != "" {
			paths = append(paths, l.ClientCAFile)
		}
	}
	return paths
}
