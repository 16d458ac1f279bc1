package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aymanbagabas/go-udiff"

	"fairway/internal/fleet/driver"
	"fairway/internal/history"
)

// Documents keeps the documents with their revisions. *history.Store does.
type Documents interface {
	PutRevision(history.Draft) (history.Revision, error)
	Revision(document string, number uint64) (history.Revision, error)
	Revisions(document string, before uint64, limit int) ([]history.Revision, error)
	Documents() ([]history.Revision, error)
}

// Records keeps small values durably. *history.Store does.
type Records interface {
	PutRecord(kind, name string, data []byte) error
	Record(kind, name string) ([]byte, error)
	Records(kind string) ([]history.Record, error)
	DeleteRecord(kind, name string) error
}

// The kinds of records. Names of documents and hosts have no slash.
const (
	kindReleased = "fleet-released" // DOCUMENT → number of the revision that is out
	kindRollout  = "fleet-rollout"  // DOCUMENT → the newest rollout
	kindEnded    = "fleet-ended"    // DOCUMENT/NUMBER → a summary of a rollout that has ended
	kindStep     = "fleet-step"     // DOCUMENT/HOST → the newest step of that host
	kindContent  = "fleet-content"  // DIGEST → what a host had that is no revision
)

const maxEnded = 200

// store is what a fleet remembers. No other package writes it: steps and revisions are
// read from the disk once.
type store struct {
	documents Documents
	records   Records

	mu    sync.Mutex
	steps map[targetKey]Step

	// writing is held over a write of a revision, and for reading the list of them.
	writing sync.Mutex
	listed  map[string][]history.Revision // as read since the newest write

	// keeping is held for reading from where content is kept to where a step names it.
	keeping sync.RWMutex
}

// revisions are those of a document without contents, newest first.
func (l *store) revisions(document string) ([]history.Revision, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	list, ok := l.listed[document]
	if ok {
		return list, nil
	}
	list, err := l.documents.Revisions(document, 0, 0)
	if err == nil {
		l.listed[document] = list
	}
	return list, err
}

// putRevision appends a revision. A first one, and one without hosts, is out at once: there
// is nothing that a rollout could protect.
func (l *store) putRevision(d history.Draft, hosts bool) (history.Revision, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	delete(l.listed, d.Document)
	r, err := l.documents.PutRevision(d)
	if err == nil && (r.Number == 1 || !hosts) {
		err = l.release(d.Document, r.Number)
	}
	return r, err
}

func (l *store) load() error {
	steps, err := list[Step](l, kindStep)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range steps {
		document, host, _ := strings.Cut(one.name, "/")
		l.steps[targetKey{host, document}] = one.value
	}
	return nil
}

func put(l *store, kind, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return l.records.PutRecord(kind, name, data)
}

type named[T any] struct {
	name  string
	value T
}

// list returns what is stored of a kind, sorted by name.
func list[T any](l *store, kind string) ([]named[T], error) {
	records, err := l.records.Records(kind)
	if err != nil {
		return nil, err
	}
	all := make([]named[T], len(records))
	for i, r := range records {
		all[i].name = r.Name
		if err := json.Unmarshal(r.Data, &all[i].value); err != nil {
			return nil, fmt.Errorf("%s %s: %w", kind, r.Name, err)
		}
	}
	return all, nil
}

// get returns what is stored, and the zero value for nothing.
func get[T any](l *store, kind, name string) (value T, _ error) {
	data, err := l.records.Record(kind, name)
	if errors.Is(err, history.ErrNotFound) {
		return value, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		return value, fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return value, nil
}

func (l *store) released(document string) (uint64, error) {
	return get[uint64](l, kindReleased, document)
}

func (l *store) release(document string, revision uint64) error {
	return put(l, kindReleased, document, revision)
}

func (l *store) rollout(document string) (Rollout, error) {
	return get[Rollout](l, kindRollout, document)
}

func (l *store) putRollout(r Rollout) error { return put(l, kindRollout, r.Document, r) }

func (l *store) allSteps() map[targetKey]Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.steps)
}

func (l *store) step(host, document string) Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.steps[targetKey{host, document}]
}

func (l *store) putStep(document string, s Step) error {
	err := put(l, kindStep, document+"/"+s.Host, s)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.steps[targetKey{s.Host, document}] = s
	}
	return err
}

// Ended is what is remembered of a rollout that has ended.
type Ended struct {
	Rollout
	// States counts the hosts by their last state.
	States map[StepState]int `json:"states"`
}

func (l *store) putEnded(e Ended) error {
	e.Hosts = nil
	err := put(l, kindEnded, endedName(e.Document, e.Number), e)
	if err != nil || e.Number <= maxEnded {
		return err
	}
	return l.forget(kindEnded, endedName(e.Document, e.Number-maxEnded))
}

func (l *store) forget(kind, name string) error {
	err := l.records.DeleteRecord(kind, name)
	if errors.Is(err, history.ErrNotFound) {
		return nil
	}
	return err
}

func (l *store) ended(document string) ([]Ended, error) {
	rollouts, err := list[Ended](l, kindEnded)
	var all []Ended
	for _, one := range rollouts {
		if strings.HasPrefix(one.name, document+"/") {
			all = append([]Ended{one.value}, all...)
		}
	}
	return all, err
}

func endedName(document string, number uint64) string {
	return fmt.Sprintf("%s/%020d", document, number) // sorted by number
}

// intend stores a step, and what the host had unless that is a revision.
func (l *store) intend(document string, s Step, content []byte) error {
	l.keeping.RLock()
	defer l.keeping.RUnlock()
	if content != nil {
		if err := l.records.PutRecord(kindContent, driver.Digest(content), content); err != nil {
			return err
		}
	}
	return l.putStep(document, s)
}

// sweep forgets what was kept and no step speaks of any more.
func (l *store) sweep() error {
	l.keeping.Lock()
	defer l.keeping.Unlock()
	kept, err := l.records.Records(kindContent)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, s := range l.allSteps() {
		wanted[s.Had], wanted[s.Pending] = true, true
	}
	for _, r := range kept {
		if !wanted[r.Name] {
			if err := l.forget(kindContent, r.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// The errors for errors.Is.
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

// unknownError is an ErrUnknown that says what is unknown.
type unknownError string

func unknown(format string, args ...any) error { return unknownError(fmt.Sprintf(format, args...)) }

// Error implements error.
func (e unknownError) Error() string { return string(e) }

// Is makes it an ErrUnknown.
func (e unknownError) Is(target error) bool { return target == ErrUnknown }

func (f *Fleet) nothing(document string) error {
	if len(f.current().of(document)) > 0 {
		return unknown("document %s has no revision yet: fairway fleet put %s FILE makes the first", document, document)
	}
	return unknown("there is no document %s", document)
}

// Put appends a revision to a document. When there is a newer one than Expect, the error is
// a *history.ConflictError.
func (f *Fleet) Put(d history.Draft) (history.Revision, error) {
	if !IsDocument(d.Document) {
		return history.Revision{}, fmt.Errorf("%w: document %.100q: want "+documentRule, ErrInvalid, d.Document)
	}
	if len(d.Content) == 0 {
		return history.Revision{}, fmt.Errorf("%w: document %s: the configuration is empty", ErrInvalid, d.Document)
	}
	if len(d.Content) > driver.MaxContent {
		return history.Revision{}, fmt.Errorf("%w: document %s: more than %d MiB", ErrInvalid, d.Document, driver.MaxContent>>20)
	}
	r, err := f.store.putRevision(d, len(f.current().of(d.Document)) > 0)
	f.changed()
	return r, err
}

// Revision returns a revision with its content; the newest for number zero.
func (f *Fleet) Revision(document string, number uint64) (history.Revision, error) {
	r, err := f.o.Documents.Revision(document, number)
	if !errors.Is(err, history.ErrNotFound) {
		return r, err
	}
	if list, err := f.store.revisions(document); number > 0 && (err != nil || len(list) > 0) {
		return r, unknown("document %s has no revision %d", document, number)
	}
	return r, f.nothing(document)
}

// Document is a document with its hosts.
type Document struct {
	// Newest is its newest revision, without contents; with number zero for none.
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

// Revisions returns at most limit revisions without contents, newest first; zero for all.
func (f *Fleet) Revisions(document string, limit int) ([]history.Revision, error) {
	list, err := f.store.revisions(document)
	if err == nil && len(list) == 0 {
		err = f.nothing(document)
	}
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list, err
}

// Diff returns the numbers of two revisions and their unified diff, empty for none. Zero
// for from means the one before to, zero for to the newest.
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
	return from, b.Number, unified(revisionName(document, from), revisionName(document, b.Number), a.Content, b.Content), nil
}

func revisionName(document string, number uint64) string {
	return fmt.Sprintf("%s@%d", document, number)
}

func unified(oldName, newName string, old, updated []byte) string {
	return udiff.Unified(oldName, newName, string(old), string(updated))
}

// Released is the number of the revision of a document that is out; zero for none.
func (f *Fleet) Released(document string) (uint64, error) { return f.store.released(document) }

// released returns the revision that is out with its content; the zero value for none.
func (f *Fleet) released(document string) (history.Revision, error) {
	number, err := f.store.released(document)
	if err != nil || number == 0 {
		return history.Revision{}, err
	}
	return f.Revision(document, number)
}
