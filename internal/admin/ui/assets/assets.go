// Package assets has the files that pages need: styles, scripts and pictures.
package assets

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"slices"
	"strings"
)

//go:embed *.css *.js *.svg
var assetFiles embed.FS

// Assets are files with a digest in their path: browsers keep them. They may be served
// from any goroutine.
type Assets struct {
	Prefix string            // "/assets/DIGEST/"
	Files  map[string][]byte // by name
}

// New reads the files.
func New() (*Assets, error) {
	entries, err := assetFiles.ReadDir(".")
	if err != nil {
		return nil, err
	}
	a := &Assets{Files: map[string][]byte{}}
	sum := sha256.New()
	for _, e := range entries { // sorted by name
		data, err := assetFiles.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		a.Files[e.Name()] = data
		_, _ = sum.Write(slices.Concat([]byte(e.Name()), []byte{0}, data))
	}
	a.Prefix = "/assets/" + hex.EncodeToString(sum.Sum(nil))[:16] + "/"
	return a, nil
}

// Serve answers a request for a file; false when it is for none. Files say nothing of what
// is served and need no token. An old digest will do, for pages that are still open after
// an upgrade.
func (a *Assets) Serve(w http.ResponseWriter, r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, "/assets/")
	if !ok {
		return false
	}
	_, name, _ := strings.Cut(rest, "/")
	data, ok := a.Files[name]
	if !ok {
		http.Error(w, "no such file", http.StatusNotFound)
		return true
	}
	kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(name)]
	w.Header().Set("Content-Type", kind)
	if r.URL.Path == a.Prefix+name {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	_, _ = w.Write(data) // the client may have gone
	return true
}
