package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Encode writes the table as one line of JSON, which Decode reads.
func Encode(w io.Writer, t *Table) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(t); err != nil {
		return fmt.Errorf("encode table: %w", err)
	}
	return nil
}

// Decode reads a table that Encode wrote. It makes the table anew with New, which
// checks it, and fails when the hash is not the one that was written or when
// something follows the table.
func Decode(r io.Reader) (*Table, error) {
	d := json.NewDecoder(r)
	var raw Table
	if err := d.Decode(&raw); err != nil {
		return nil, fmt.Errorf("decode table: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode table: something follows the table")
	}
	t, err := New(raw.Revision, raw.Listeners, raw.Routes, raw.Backends, raw.Problems)
	if err != nil {
		return nil, fmt.Errorf("decode table: %w", err)
	}
	if t.Hash != raw.Hash {
		return nil, fmt.Errorf("decode table: its hash is %s, but the contents have %s", excerpt(raw.Hash), t.Hash)
	}
	return t, nil
}
