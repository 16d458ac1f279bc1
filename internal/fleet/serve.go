package fleet

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/fleet/driver"
)

const maxWait = 60 * time.Second

// Handler serves documents to the HAProxies that fetch theirs:
//
//	GET /haproxy/DOCUMENT              what is out, as a plain text
//	GET /hosts/HOST/haproxy/DOCUMENT   what is meant for a host now, also in a rollout
//
// The answer has an ETag; with If-None-Match it is 304 when it is the same, and with
// ?wait=60s it comes when it is another, or after that time.
func (f *Fleet) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /haproxy/{document}", f.serveDocument)
	mux.HandleFunc("GET /hosts/{host}/haproxy/{document}", f.serveDocument)
	return mux
}

func (f *Fleet) serveDocument(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "private, no-cache")
	host, document := r.PathValue("host"), r.PathValue("document")
	known, may := f.current().mayRead(r, document)
	switch {
	case !known:
		w.Header().Set("WWW-Authenticate", `Basic realm="fairway"`)
		http.Error(w, "a token or a client certificate is needed", http.StatusUnauthorized)
		return
	case !may:
		// The same for a document that does not exist: a reader must not learn which do.
		http.Error(w, "not yours to read", http.StatusForbidden)
		return
	}
	wait, err := waitOf(r.URL.Query().Get("wait"))
	if err != nil {
		http.Error(w, "wait: want a duration such as 60s", http.StatusBadRequest)
		return
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		// Asked for before the answer is made, so that no change is missed.
		news := f.news.Changed()
		content, revision, err := f.meant(host, document)
		if err != nil {
			f.log.Error("a document cannot be served", "document", document, "error", err)
			http.Error(w, "the document cannot be read", http.StatusServiceUnavailable)
			return
		}
		if revision == 0 {
			http.Error(w, "no such document", http.StatusNotFound)
			return
		}
		tag := `"` + driver.Digest(content) + `"`
		if !matches(r.Header.Get("If-None-Match"), tag) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Fairway-Revision", strconv.FormatUint(revision, 10))
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content) // the client has gone
			return
		}
		select {
		case <-news:
			continue
		case <-deadline.C:
		case <-r.Context().Done():
		}
		w.Header().Set("ETag", tag)
		w.WriteHeader(http.StatusNotModified)
		return
	}
}

func waitOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = strconv.ErrRange
	}
	return min(d, maxWait), err
}

func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == tag || part == "*" {
			return true
		}
	}
	return false
}

func (m *Map) mayRead(r *http.Request, document string) (known, may bool) {
	scheme, token, given := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		_, token, given = r.BasicAuth()
	}
	sum := sha256.Sum256([]byte(token))
	for _, reader := range m.Readers {
		is := false
		switch {
		case reader.Token != nil:
			is = given && subtle.ConstantTimeCompare(reader.Token[:], sum[:]) == 1
		case r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
			leaf := r.TLS.VerifiedChains[0][0]
			is = slices.Contains(leaf.DNSNames, reader.Certificate) || leaf.Subject.CommonName == reader.Certificate
		}
		if is {
			known = true
			may = may || reader.reads(document)
		}
	}
	return known, may
}

// meant is what a host is meant to have now, or without a host what is out, else the newest
// revision; with its number, zero for nothing.
func (f *Fleet) meant(host, document string) ([]byte, uint64, error) {
	var t *target
	if host != "" {
		if t = f.target(host, document); t == nil {
			return nil, 0, nil
		}
	}
	revision, err := f.released(document)
	if err != nil {
		return nil, 0, err
	}
	if r := f.runOf(document); r != nil && t != nil {
		if step, ok := r.step(host); ok && (step.State == Applying || step.State == Applied || step.State == Already) {
			revision = r.revision // the rollout has given it to the host, or is giving it
		}
	}
	if revision.Number == 0 {
		revision, err = f.Revision(document, 0)
		if errors.Is(err, ErrUnknown) {
			return nil, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if t == nil {
		return revision.Content, revision.Number, nil
	}
	content, err := f.content(t.Target, revision)
	return content, revision.Number, err
}
