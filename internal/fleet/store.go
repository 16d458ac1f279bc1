package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

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

// Records keeps small values that outlive the process, each on the disk when the
// call returns. *history.Store does.
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

// maxEnded is how many rollouts of a document are remembered.
const maxEnded = 200

// store is what a fleet remembers, in the forms of this package. No other package
// writes its records, so that the steps are read from the disk once.
type store struct {
	records Records

	mu    sync.Mutex
	known map[targetKey]Step

	// keeping is held for reading from where something is kept to where a step
	// speaks of it.
	keeping sync.RWMutex
}

// load reads what the last run has left.
func (l *store) load() error {
	list, err := l.records.Records(kindStep)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range list {
		document, host, _ := strings.Cut(r.Name, "/")
		var one Step
		if err := json.Unmarshal(r.Data, &one); err != nil {
			return fmt.Errorf("%s %s: %w", kindStep, r.Name, err)
		}
		l.known[targetKey{host, document}] = one
	}
	return nil
}

func put[T any](l *store, kind, name string, value T) error {
	data, err := json.Marshal(value)
	if err == nil {
		err = l.records.PutRecord(kind, name, data)
	}
	return err
}

// get returns what is stored, and the zero value for nothing.
func get[T any](l *store, kind, name string) (T, error) {
	var value T
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

// released is the revision of a document that is out; zero for none.
func (l *store) released(document string) (uint64, error) {
	return get[uint64](l, kindReleased, document)
}

func (l *store) release(document string, revision uint64) error {
	return put(l, kindReleased, document, revision)
}

// rollout is the newest rollout of a document, with number zero when there is
// none.
func (l *store) rollout(document string) (Rollout, error) {
	return get[Rollout](l, kindRollout, document)
}

// rollouts are the newest rollouts of all documents.
func (l *store) rollouts() ([]Rollout, error) {
	list, err := l.records.Records(kindRollout)
	if err != nil {
		return nil, err
	}
	var all []Rollout
	for _, r := range list {
		var one Rollout
		if err := json.Unmarshal(r.Data, &one); err != nil {
			return nil, fmt.Errorf("%s %s: %w", kindRollout, r.Name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func (l *store) putRollout(r Rollout) error { return put(l, kindRollout, r.Document, r) }

// steps are the newest steps of all targets.
func (l *store) steps() map[targetKey]Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.known)
}

// step is the newest step of a target.
func (l *store) step(host, document string) Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[targetKey{host, document}]
}

func (l *store) putStep(document string, s Step) error {
	err := put(l, kindStep, document+"/"+s.Host, s)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.known[targetKey{s.Host, document}] = s
	}
	return err
}

// Ended is what is remembered of a rollout that has ended.
type Ended struct {
	Rollout
	// States counts the hosts by their last state.
	States map[StepState]int `json:"states"`
}

// putEnded remembers a rollout that has ended, and forgets one of long ago.
func (l *store) putEnded(e Ended) error {
	e.Hosts = nil
	if err := put(l, kindEnded, endedName(e.Document, e.Number), e); err != nil {
		return err
	}
	if e.Number <= maxEnded {
		return nil
	}
	err := l.records.DeleteRecord(kindEnded, endedName(e.Document, e.Number-maxEnded))
	if errors.Is(err, history.ErrNotFound) {
		return nil
	}
	return err
}

// ended are the rollouts of a document that have ended, the newest first.
func (l *store) ended(document string) ([]Ended, error) {
	list, err := l.records.Records(kindEnded)
	if err != nil {
		return nil, err
	}
	var all []Ended
	for _, r := range list {
		if !strings.HasPrefix(r.Name, document+"/") {
			continue
		}
		var one Ended
		if err := json.Unmarshal(r.Data, &one); err != nil {
			return nil, fmt.Errorf("%s %s: %w", kindEnded, r.Name, err)
		}
		all = append([]Ended{one}, all...)
	}
	return all, nil
}

// endedName sorts by number.
func endedName(document string, number uint64) string {
	return fmt.Sprintf("%s/%020d", document, number)
}

// intend stores a step, and with it what the host had when no revision says it, so
// that it can be given back after a crash.
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
	list, err := l.records.Records(kindContent)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, s := range l.steps() {
		wanted[s.Had], wanted[s.Pending] = true, true
	}
	for _, r := range list {
		if wanted[r.Name] {
			continue
		}
		if err := l.records.DeleteRecord(kindContent, r.Name); err != nil && !errors.Is(err, history.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (l *store) kept(digest string) ([]byte, error) {
	return l.records.Record(kindContent, digest)
}
