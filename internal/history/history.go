// Package history is the record: every table that went live with its cause,
// documents with their revisions, and small records that must outlive the
// process, all in one bbolt file.
//
// What is acknowledged is on the disk: each write is one transaction that is
// synced before the call returns. Numbers are counters, never clocks, and are not
// given twice.
//
// The file is not trusted: every value carries its own SHA-256, and every transaction
// runs behind a guard (package boltfile). A file that is damaged as a whole is moved
// aside, and the history begins anew. Nothing here is needed to serve.
package history

import (
	"errors"
	"fmt"
	"time"

	"fairway/internal/api"
	"fairway/internal/boltfile"
	"fairway/internal/route"
)

// The errors that callers may ask for with errors.Is.
var (
	// ErrNotFound: there is no entry, revision or record of that name or number.
	ErrNotFound = errors.New("not found")
	// ErrFull: the disk has no room. Nothing was changed; the call may succeed later.
	ErrFull = errors.New("the disk is full")
	// ErrDamaged: what is stored is not what was written.
	ErrDamaged = boltfile.ErrDamaged
	// ErrUnavailable: the file cannot be opened, which each write tries, or is closed.
	ErrUnavailable = errors.New("the history cannot be used")
)

// ConflictError: a write was made for another revision of a document than the newest.
type ConflictError struct {
	Document string
	// Expected is what the writer took for the newest, Current the newest; zero is none.
	Expected, Current uint64
	// Author and Time are those of the newest revision.
	Author string
	Time   time.Time
}

// Error implements error.
func (e *ConflictError) Error() string {
	if e.Current == 0 {
		return fmt.Sprintf("document %q: revision %d was expected, but there is none", e.Document, e.Expected)
	}
	return fmt.Sprintf("document %q: revision %d was expected, but the newest is %d, by %s", e.Document, e.Expected, e.Current, e.Author)
}

// Entry is a line of the history: a table that went live, and why.
type Entry struct {
	// Number counts entries, from 1, without gaps.
	Number uint64 `json:"number"`
	// Time is when the table went live, for people: the order is that of the numbers.
	Time  time.Time `json:"time"`
	Cause Cause     `json:"cause"`
	// Revision and Hash are those of the table.
	Revision uint64 `json:"revision"`
	Hash     string `json:"hash"`
	// Routes and Backends say what the table changed against the entry before;
	// the first entry counts everything as added.
	Routes   Counts `json:"routes"`
	Backends Counts `json:"backends"`
}

// Cause is why there is a table: an operator, the sources, or both. It holds no secret.
type Cause struct {
	// Operator is the author of the command; empty when there is none.
	Operator string `json:"operator,omitempty"`
	// Command is what was asked for, as one writes it: "rollback 12".
	Command string `json:"command,omitempty"`
	// Message is the operator's reason.
	Message string `json:"message,omitempty"`
	// Changes is what the sources saw, the most telling first, without Omitted more.
	Changes []Change `json:"changes,omitempty"`
	Omitted int      `json:"omitted,omitempty"`
	// Text is the cause in one sentence, always there.
	Text string `json:"text"`
}

// ChangeKind says what was seen.
type ChangeKind = string

// The kinds of change.
const (
	LabelChanged    ChangeKind = "label"            // a label was added, changed or removed
	ServiceAdded    ChangeKind = "service-added"    // a service came
	ServiceRemoved  ChangeKind = "service-removed"  // a service went
	InstanceAdded   ChangeKind = "instance-added"   // an instance came
	InstanceRemoved ChangeKind = "instance-removed" // an instance went
	InstanceState   ChangeKind = "instance-state"   // an instance is in another state
	InstanceAddress ChangeKind = "instance-address" // an instance has other addresses or ports
	SourceState     ChangeKind = "source"           // a source became stale, or answers again
	CommandChanged  ChangeKind = "command"          // an operator's command came, changed or ended
	DefaultChanged  ChangeKind = "default"          // a default of the configuration, that routes have in the place of labels
	OtherChanged    ChangeKind = "other"            // something else that a table depends on
)

// Change is one thing that a source saw, as the admin API shows it.
type Change = api.Seen

// Counts are numbers of elements, as the admin API shows them.
type Counts = api.Counts

// Revision is one state of a document, which never changes again.
type Revision struct {
	// Document is the name: 1 to 200 bytes of UTF-8 without control characters.
	Document string `json:"document"`
	// Number counts the revisions of the document, from 1, without gaps.
	Number uint64 `json:"number"`
	// Time is when it was written, for people: the order is that of the numbers.
	Time    time.Time `json:"time"`
	Author  string    `json:"author"`
	Message string    `json:"message,omitempty"`
	// Digest is the SHA-256 of Content, hexadecimal, and Size its length.
	Digest string `json:"digest"`
	Size   int    `json:"size"`
	// Deleted ends the document, without content. A later revision begins it anew.
	Deleted bool `json:"deleted,omitempty"`
	// Content is the text as it was given, byte by byte. Lists leave it out.
	Content []byte `json:"-"`
}

// Record is a small value under a kind and a name.
type Record struct {
	Kind, Name string
	Data       []byte
}

// Recorded is a table together with its entry.
type Recorded struct {
	Entry
	Table *route.Table
}
