package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.etcd.io/bbolt"

	"fairway/internal/boltfile"
)

// storedRevision is a revision as it is written.
type storedRevision struct {
	Revision
	Blob key `json:"blob"`
}

// Draft is a revision to be.
type Draft struct {
	// Document is the name, see Revision.
	Document string
	// Expect is the newest revision as the author knows it; zero for none.
	Expect          uint64
	Author, Message string
	// Content is at most 64 MiB. With Deleted there is none.
	Content []byte
	Deleted bool
}

// PutRevision appends a revision on disk; a *ConflictError when Expect is not the newest.
func (s *Store) PutRevision(d Draft) (Revision, error) {
	if err := d.check(); err != nil {
		return Revision{}, fmt.Errorf("history: %w", err)
	}
	sum := sha256.Sum256(d.Content)
	r := Revision{
		Document: d.Document, Author: d.Author, Message: d.Message, Time: time.Now().UTC(),
		Digest: hex.EncodeToString(sum[:]), Size: len(d.Content), Deleted: d.Deleted,
		Content: bytes.Clone(d.Content),
	}
	err := s.update(func(tx *bbolt.Tx) error {
		newest, err := s.newestRevision(tx, d.Document)
		if err != nil {
			return err
		}
		if newest.Number != d.Expect {
			return &ConflictError{
				Document: d.Document, Expected: d.Expect,
				Current: newest.Number, Author: newest.Author, Time: newest.Time,
			}
		}
		r.Number = newest.Number + 1
		blob, err := s.putBlob(tx, d.Content)
		if err != nil {
			return err
		}
		if err := s.putJSON(tx, inDocuments, revisionKey(r.Document, r.Number), storedRevision{r, blob}); err != nil {
			return err
		}
		return s.pruneRevisions(tx, r)
	})
	return r, about(err, "document %q", d.Document)
}

// check refuses what no revision can be.
func (d Draft) check() error {
	switch {
	case d.Document == "" || len(d.Document) > maxDocumentName || !utf8.ValidString(d.Document) || strings.ContainsFunc(d.Document, unicode.IsControl):
		return fmt.Errorf("document name %.250q: want 1 to %d bytes of UTF-8 without control characters", d.Document, maxDocumentName)
	case len(d.Content) > maxDocumentLength:
		return fmt.Errorf("document %q: %d bytes are too many", d.Document, len(d.Content))
	case d.Deleted && len(d.Content) > 0:
		return fmt.Errorf("document %q: a revision that ends it has no content", d.Document)
	}
	return nil
}

// pruneRevisions removes the oldest revisions of r's document beyond the limit.
func (s *Store) pruneRevisions(tx *bbolt.Tx, r Revision) error {
	if r.Number <= uint64(s.options.MaxRevisions) {
		return nil
	}
	c := tx.Bucket([]byte(inDocuments)).Cursor()
	first := revisionKey(r.Document, 0)
	last := revisionKey(r.Document, r.Number-uint64(s.options.MaxRevisions))
	for k, _ := c.Seek(first); k != nil && bytes.Compare(k, last) <= 0; k, _ = c.Seek(first) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil // their contents go with the next sweep
}

// revisionKey sorts by document, then number. A name has no zero byte.
func revisionKey(document string, number uint64) []byte {
	return append(append([]byte(document), 0), boltfile.Key(number)...)
}

// newestRevision returns the newest without its content; number zero for none.
func (s *Store) newestRevision(tx *bbolt.Tx, document string) (Revision, error) {
	for k, v := range backwards(tx, inDocuments, append([]byte(document), 0), 0) {
		r, err := decode[storedRevision](s, inDocuments, k, v)
		return r.Revision, err
	}
	return Revision{}, nil
}

// Revision returns a revision with its content; the newest one for number zero.
func (s *Store) Revision(document string, number uint64) (Revision, error) {
	var r Revision
	err := s.view(func(tx *bbolt.Tx) error {
		if number == 0 {
			newest, err := s.newestRevision(tx, document)
			if err != nil {
				return err
			}
			number = newest.Number
		}
		k := revisionKey(document, number)
		stored, err := decode[storedRevision](s, inDocuments, k, tx.Bucket([]byte(inDocuments)).Get(k))
		if err != nil {
			return err
		}
		r = stored.Revision
		r.Content, err = s.get(tx, inBlobs, stored.Blob[:])
		return err
	})
	return r, about(err, "document %q, revision %d", document, number)
}

// Revisions returns at most limit revisions below before (0: all), the newest first.
func (s *Store) Revisions(document string, before uint64, limit int) ([]Revision, error) {
	list := []Revision{}
	err := s.view(func(tx *bbolt.Tx) error {
		for k, v := range backwards(tx, inDocuments, append([]byte(document), 0), before) {
			r, err := decode[storedRevision](s, inDocuments, k, v)
			if err != nil {
				return err
			}
			if list = append(list, r.Revision); len(list) == limit {
				break
			}
		}
		return nil
	})
	return list, about(err, "document %q", document)
}

// Documents returns the newest revision of each, deleted or not, sorted by name.
func (s *Store) Documents() ([]Revision, error) {
	list := []Revision{}
	err := s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(inDocuments)).Cursor()
		for k, _ := c.First(); k != nil; {
			name, _, _ := bytes.Cut(k, []byte{0})
			newest, err := s.newestRevision(tx, string(name))
			if err != nil {
				return err
			}
			list = append(list, newest)
			k, _ = c.Seek(append(bytes.Clone(name), 1))
		}
		return nil
	})
	return list, about(err, "documents")
}
