package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Encode writes the table as JSON, which Decode reads: each route and backend on
// a line of its own, one after the other, so that a large table is never in memory
// a second time.
func Encode(w io.Writer, t *Table) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	raw := func(text string) error {
		_, err := io.WriteString(w, text)
		return err
	}
	steps := []error{
		raw(`{"revision":`), e.Encode(t.Revision),
		raw(`,"hash":`), e.Encode(t.Hash),
		raw(`,"listeners":`), e.Encode(t.Listeners),
		raw(`,"routes":[`), elements(raw, e, t.Routes),
		raw(`],"backends":[`), elements(raw, e, t.Backends),
		raw(`],"problems":`), e.Encode(t.Problems),
		raw("}\n"),
	}
	if err := errors.Join(steps...); err != nil {
		return fmt.Errorf("encode table: %w", err)
	}
	return nil
}

func elements[T any](raw func(string) error, e *json.Encoder, list []*T) error {
	separator := ""
	for _, element := range list {
		if err := errors.Join(raw(separator), e.Encode(element)); err != nil {
			return err
		}
		separator = ","
	}
	return nil
}

// Decode reads a table that Encode wrote. It makes the table anew with New, which
// checks it, and fails when the hash is not the one that was written or when
// something follows the table.
func Decode(r io.Reader) (*Table, error) {
	d := json.NewDecoder(r)
	var read Table
	if err := d.Decode(&read); err != nil {
		return nil, fmt.Errorf("decode table: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode table: something follows the table")
	}
	t, err := New(read.Revision, read.Listeners, read.Routes, read.Backends, read.Problems)
	if err != nil {
		return nil, fmt.Errorf("decode table: %w", err)
	}
	if t.Hash != read.Hash {
		return nil, fmt.Errorf("decode table: its hash is %s, but the contents have %s", excerpt(read.Hash), t.Hash)
	}
	return t, nil
}
