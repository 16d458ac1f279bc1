package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"slices"
	"strings"
)

//go:embed assets/*.css assets/*.js assets/*.svg
var assetFiles embed.FS

// assets are files of pages, with a digest in their path: browsers keep them for good.
type assets struct {
	prefix string // "/assets/DIGEST/"
	files  map[string][]byte
}

func newAssets() (*assets, error) {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	a := &assets{files: map[string][]byte{}}
	sum := sha256.New()
	for _, e := range entries { // sorted by name
		data, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			return nil, err
		}
		a.files[e.Name()] = data
		_, _ = sum.Write(slices.Concat([]byte(e.Name()), []byte{0}, data))
	}
	a.prefix = "/assets/" + hex.EncodeToString(sum.Sum(nil))[:16] + "/"
	return a, nil
}

// serve answers a request for a file; false when it is for none. Files say nothing of what
// is served and need no token. An old digest will do, for pages that are still open after
// an upgrade.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, "/assets/")
	if !ok {
		return false
	}
	_, name, _ := strings.Cut(rest, "/")
	data, ok := a.files[name]
	if !ok {
		http.Error(w, "no such file", http.StatusNotFound)
		return true
	}
	kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(name)]
	w.Header().Set("Content-Type", kind)
	if r.URL.Path == a.prefix+name {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	_, _ = w.Write(data) // the client may have gone
	return true
}
