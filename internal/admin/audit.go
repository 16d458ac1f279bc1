package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"fairway/internal/api"
)

const (
	auditFile = "audit.jsonl" // in Options.StateDir; the one before it has .1 behind
	// maxAuditFile is the size from which on a new file is begun.
	maxAuditFile = 4 << 20
	// maxDeeds is how many deeds can be asked for.
	maxDeeds = 1000
	// maxDeedText bounds what a deed says, in bytes.
	maxDeedText = 2 << 10
)

// audit is the record of who did what. What cannot be written to disk is kept in
// memory and logged: who has to act on a machine whose disk is full must be able
// to.
type audit struct {
	path string // empty: in memory only

	mu    sync.Mutex
	deeds []api.Deed // the oldest first, at most maxDeeds
	size  int64      // of the file
	torn  bool       // the file ends within a line
}

// openAudit reads the newest deeds in dir. Lines that are torn are left out.
func openAudit(dir string) (*audit, error) {
	a := &audit{}
	if dir == "" {
		return a, nil
	}
	a.path = filepath.Join(dir, auditFile)
	var err error
	for _, path := range []string{a.path + ".1", a.path} {
		var data []byte
		if data, err = os.ReadFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a, fmt.Errorf("audit: %w", err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, maxAuditFile)
		for lines.Scan() {
			var d api.Deed
			if json.Unmarshal(lines.Bytes(), &d) == nil {
				a.remember(d)
			}
		}
		a.size, a.torn = int64(len(data)), len(data) > 0 && data[len(data)-1] != '\n'
	}
	return a, nil
}

func (a *audit) remember(d api.Deed) {
	a.deeds = append(a.deeds, d)
	if len(a.deeds) > maxDeeds {
		a.deeds = slices.Clone(a.deeds[len(a.deeds)-maxDeeds:])
	}
}

// record keeps a deed. The error is that of the disk.
func (a *audit) record(d api.Deed) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(d)
	if a.path == "" {
		return nil
	}
	line, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	line = append(line, '\n')
	if a.torn {
		line = append([]byte{'\n'}, line...)
	}
	if a.size+int64(len(line)) > maxAuditFile {
		if err := os.Rename(a.path, a.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("audit: %w", err)
		}
		a.size = 0
	}
	f, err := os.OpenFile(a.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	n, err := f.Write(line)
	a.size, a.torn = a.size+int64(n), n < len(line)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// newest returns the last n deeds, the newest first.
func (a *audit) newest(n int) []api.Deed {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := slices.Clone(a.deeds[max(0, len(a.deeds)-n):])
	slices.Reverse(found)
	return found
}

type remarkKey struct{}

// remark says in words what an operation did, for the audit. It holds no secret.
func remark(ctx context.Context, text string) {
	if d, ok := ctx.Value(remarkKey{}).(*api.Deed); ok {
		d.Text = text
	}
}

// audited answers an operation that changes something and records it.
func (s *Server) audited(w http.ResponseWriter, r *http.Request, who api.Identity, serve func(http.ResponseWriter, *http.Request) error) error {
	d := &api.Deed{
		At: time.Now().UTC().Truncate(time.Millisecond), Who: who.Name, Role: who.Role, By: who.By,
		From: remoteHost(r), Operation: cut(r.Method + " " + r.URL.RequestURI()),
	}
	rec := &recorder{ResponseWriter: w}
	err := serve(rec, r.WithContext(context.WithValue(r.Context(), remarkKey{}, d)))
	d.Status = rec.code()
	if err != nil {
		e := asError(err)
		d.Status = e.Status
		if d.Text = e.Detail; d.Text == "" {
			d.Text = e.Title
		}
	}
	d.Text = cut(d.Text)
	s.log.Info("admin operation", "who", d.Who, "role", d.Role, "by", d.By, "from", d.From,
		"operation", d.Operation, "status", d.Status, "text", d.Text)
	if failed := s.audit.record(*d); failed != nil {
		s.log.Error("the audit log cannot be written; the line before is all that is kept", "error", failed)
	}
	return err
}

// cut bounds a text.
func cut(text string) string {
	if len(text) <= maxDeedText {
		return text
	}
	return text[:maxDeedText] + "…"
}

// remoteHost is the address a request came from, without its port. Headers that
// tell another one are not believed.
func remoteHost(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

func (s *Server) listDeeds(w http.ResponseWriter, r *http.Request) error {
	limit := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxDeeds {
			return status(http.StatusBadRequest, fmt.Sprintf("limit: want 1 to %d", maxDeeds))
		}
		limit = n
	}
	return answer(w, list(s.view(), s.audit.newest(limit)))
}

// done answers that something was done, and says so to the audit.
func done(w http.ResponseWriter, r *http.Request, text string) error {
	remark(r.Context(), text)
	return answer(w, api.Done{Text: text})
}
