package access

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"fairway/internal/api"
)

const (
	auditFile = "audit.jsonl" // in Options.Dir; the one before it has .1 behind
	// maxAuditFile is the size from which on a new file is begun.
	maxAuditFile = 4 << 20
	// MaxEntries is how many entries can be asked for.
	MaxEntries = 1000
	// maxText bounds what an entry says, in bytes.
	maxText = 2 << 10
)

// Audit is who did what. What cannot be written is kept in memory, so that one can act.
type Audit struct {
	path string // empty: in memory only

	mu      sync.Mutex
	entries []api.AuditEntry // the oldest first, at most MaxEntries
	size    int64            // of the file
	torn    bool             // the file ends within a line
}

// openAudit reads the newest entries in dir. Lines that are torn are left out.
func openAudit(dir string) (*Audit, error) {
	a := &Audit{}
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
			var e api.AuditEntry
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				a.remember(e)
			}
		}
		a.size, a.torn = int64(len(data)), len(data) > 0 && data[len(data)-1] != '\n'
	}
	return a, nil
}

func (a *Audit) remember(e api.AuditEntry) {
	a.entries = append(a.entries, e)
	if len(a.entries) > MaxEntries {
		a.entries = slices.Clone(a.entries[len(a.entries)-MaxEntries:])
	}
}

// Record keeps an entry. The error is that of the disk.
func (a *Audit) Record(e api.AuditEntry) error {
	e.Operation, e.Text = cut(e.Operation), cut(e.Text)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(e)
	if a.path == "" {
		return nil
	}
	if err := a.write(e); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// write appends an entry to the file.
func (a *Audit) write(e api.AuditEntry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if a.torn {
		line = append([]byte{'\n'}, line...)
	}
	if a.size+int64(len(line)) > maxAuditFile {
		if err := os.Rename(a.path, a.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		a.size = 0
	}
	f, err := os.OpenFile(a.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := f.Write(line)
	a.size, a.torn = a.size+int64(n), n < len(line)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Newest returns the last n entries, the newest first.
func (a *Audit) Newest(n int) []api.AuditEntry {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := slices.Clone(a.entries[max(0, len(a.entries)-n):])
	slices.Reverse(found)
	return found
}

// cut bounds a text.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return text[:maxText] + "…"
}
