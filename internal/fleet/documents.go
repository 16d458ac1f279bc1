package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aymanbagabas/go-udiff"

	"fairway/internal/fleet/driver"
	"fairway/internal/history"
)

// The errors that callers may ask for with errors.Is.
var (
	// ErrUnknown: there is no such document, revision, host or rollout.
	ErrUnknown = errors.New("not in the fleet")
	// ErrInvalid: what was asked for makes no sense.
	ErrInvalid = errors.New("not possible")
	// ErrMoved: another revision is out than the author knows of.
	ErrMoved = errors.New("another revision is out")
	// ErrBusy: a rollout of the document is under way.
	ErrBusy = errors.New("a rollout is under way")
	// ErrDrift: a host's configuration was edited by hand.
	ErrDrift = errors.New("edited by hand")
)

// unknownError is ErrUnknown with what is unknown.
type unknownError struct{ text string }

func unknown(format string, args ...any) error {
	return &unknownError{fmt.Sprintf(format, args...)}
}

// Error implements error.
func (e *unknownError) Error() string { return e.text }

// Is makes it an ErrUnknown.
func (e *unknownError) Is(target error) bool { return target == ErrUnknown }

// nothing is the error for a document without a revision.
func (f *Fleet) nothing(document string) error {
	if len(f.current().of(document)) > 0 {
		return unknown("document %s has no revision yet: fairway fleet put %s FILE makes the first", document, document)
	}
	return unknown("there is no document %s", document)
}

// empty reports whether a document is known to have no revision.
func (f *Fleet) empty(document string) bool {
	list, err := f.revisions(document)
	return err == nil && len(list) == 0
}

// index is what there is of revisions, without their contents. Only the fleet
// writes them, so that they are read once.
type index struct {
	mu    sync.Mutex
	known map[string][]history.Revision // newest first
}

// revisions are the revisions of a document without their contents, the newest
// first.
func (f *Fleet) revisions(document string) ([]history.Revision, error) {
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	return f.revisionsLocked(document)
}

func (f *Fleet) revisionsLocked(document string) ([]history.Revision, error) {
	if list, ok := f.index.known[document]; ok {
		return list, nil
	}
	list, err := f.o.Documents.Revisions(document, 0, 0)
	if err == nil {
		f.index.known[document] = list
	}
	return list, err
}

// Put appends a revision to a document. Its Expect is the revision that the
// author has worked on; when that is not the newest any more, the error is a
// *history.ConflictError. A document that no host has is out at once, and so is a
// first revision: there is nothing that a rollout could protect.
func (f *Fleet) Put(d history.Draft) (history.Revision, error) {
	if !IsDocument(d.Document) {
		return history.Revision{}, fmt.Errorf("%w: document %.100q: want an IP address, or letters, digits, dots, dashes and underscores", ErrInvalid, d.Document)
	}
	if len(d.Content) == 0 {
		return history.Revision{}, fmt.Errorf("%w: document %s: the configuration is empty", ErrInvalid, d.Document)
	}
	if len(d.Content) > driver.MaxContent {
		return history.Revision{}, fmt.Errorf("%w: document %s: more than %d MiB", ErrInvalid, d.Document, driver.MaxContent>>20)
	}
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	known, err := f.revisionsLocked(d.Document)
	if err != nil {
		return history.Revision{}, err
	}
	r, err := f.o.Documents.PutRevision(d)
	if err != nil {
		return r, err
	}
	listed := r
	listed.Content = nil
	f.index.known[d.Document] = append([]history.Revision{listed}, known...)
	if r.Number == 1 || len(f.current().of(d.Document)) == 0 {
		err = f.store.release(d.Document, r.Number)
	}
	f.changed()
	return r, err
}

// Revision returns a revision with its content; the newest for number zero.
func (f *Fleet) Revision(document string, number uint64) (history.Revision, error) {
	r, err := f.o.Documents.Revision(document, number)
	if errors.Is(err, history.ErrNotFound) {
		if number > 0 && !f.empty(document) {
			return r, unknown("document %s has no revision %d", document, number)
		}
		return r, f.nothing(document)
	}
	return r, err
}

// Document is a document as a whole.
type Document struct {
	// Newest is its newest revision, without contents; with number zero when
	// there is none and only the fleet file names it.
	Newest history.Revision
	// Released is the number of the revision that is out; zero for none.
	Released uint64
	Template bool
	// Hosts are those that have it, in the order of the fleet file.
	Hosts []string
	// Rollout is the newest one, with number zero when there is none.
	Rollout Rollout
}

// List returns all documents, sorted by name.
func (f *Fleet) List() ([]Document, error) {
	revisions, err := f.o.Documents.Documents()
	if err != nil {
		return nil, err
	}
	m := f.current()
	for _, p := range m.Targets {
		if !slices.ContainsFunc(revisions, func(r history.Revision) bool { return r.Document == p.Document }) {
			revisions = append(revisions, history.Revision{Document: p.Document})
		}
	}
	slices.SortFunc(revisions, func(a, b history.Revision) int { return strings.Compare(a.Document, b.Document) })
	var list []Document
	for _, r := range revisions {
		if r.Deleted {
			continue
		}
		d := Document{Newest: r, Template: m.Templates[r.Document]}
		for _, p := range m.of(r.Document) {
			d.Hosts = append(d.Hosts, p.Host)
		}
		if d.Released, err = f.store.released(r.Document); err != nil {
			return nil, err
		}
		if d.Rollout, err = f.store.rollout(r.Document); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// Revisions returns at most limit revisions of a document without contents, the
// newest first; zero for all.
func (f *Fleet) Revisions(document string, limit int) ([]history.Revision, error) {
	list, err := f.revisions(document)
	if err == nil && len(list) == 0 {
		err = f.nothing(document)
	}
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list, err
}

// Diff returns the difference between two revisions as a unified diff, empty when
// they are the same, and their numbers. Zero for from means the one before to,
// zero for to the newest.
func (f *Fleet) Diff(document string, from, to uint64) (uint64, uint64, string, error) {
	b, err := f.Revision(document, to)
	if err != nil {
		return from, to, "", err
	}
	if from == 0 {
		from = b.Number - 1
	}
	var a history.Revision
	if from > 0 {
		if a, err = f.Revision(document, from); err != nil {
			return from, b.Number, "", err
		}
	}
	return from, b.Number, Unified(fmt.Sprintf("%s@%d", document, from), fmt.Sprintf("%s@%d", document, b.Number), a.Content, b.Content), nil
}

// Unified is the difference between two texts as a unified diff, which patch and
// people read; empty when they are the same.
func Unified(oldName, newName string, old, updated []byte) string {
	return udiff.Unified(oldName, newName, string(old), string(updated))
}

// Released is the number of the revision of a document that is out; zero for none.
func (f *Fleet) Released(document string) (uint64, error) { return f.store.released(document) }

// released returns the revision of a document that is out, with its content; the
// zero value when none is.
func (f *Fleet) released(document string) (history.Revision, error) {
	number, err := f.store.released(document)
	if err != nil || number == 0 {
		return history.Revision{}, err
	}
	return f.Revision(document, number)
}
