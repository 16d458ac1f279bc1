// Package marks reads and writes what the name of a container says about a deploy: how far
// the replacement of that container is. The name is the one thing of a running container that
// can be changed in one call, lasts, and is seen by everything that reads the engine.
//
// The new instance has its final name from the beginning; the old one gets the marks:
//
//	web-1.fairway-old-0a1b2c3d      is being replaced, and still serves
//	web-1.fairway-leaving-9f8e7d6c  gets nothing new
//	web-1.fairway-kept-0a1b2c3d     stopped, for the way back
//	web-1.fairway-failed-0a1b2c3d   a new instance that did not get ready, stopped for a look
package marks

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"
)

// Kind is what a mark says.
type Kind string

// The kinds of marks. The zero value is that of a container without one.
const (
	None    Kind = ""
	Old     Kind = "old"
	Leaving Kind = "leaving"
	Kept    Kind = "kept"
	Failed  Kind = "failed"
)

// Mark is a mark with what makes it one of its own: 8 hexadecimal digits.
type Mark struct {
	Kind  Kind
	Token string
}

// The labels of containers that a deploy has made.
const (
	// LabelLock is on a container that is never started and stands for a deploy under way.
	LabelLock = "fairway-deploy.lock"
	// LabelAdmit is how long after its start a container without a health check gets its
	// first request, as a duration of Go.
	LabelAdmit = "fairway-deploy.admit-after"
)

// MaxAdmit bounds LabelAdmit.
const MaxAdmit = 10 * time.Minute

var marked = regexp.MustCompile(`^(.+)\.fairway-(old|leaving|kept|failed)-([0-9a-f]{8})$`)

// Read takes the mark off a name. A name without one is returned as it is.
func Read(name string) (base string, m Mark) {
	if !strings.Contains(name, ".fairway-") { // nearly all: an expression for each costs more than the rest of a list
		return name, Mark{}
	}
	if found := marked.FindStringSubmatch(name); found != nil {
		return found[1], Mark{Kind(found[2]), found[3]}
	}
	return name, Mark{}
}

// Of is a mark for a container with an ID.
func Of(kind Kind, id string) Mark {
	return Mark{kind, token("id " + id)}
}

// Gone is the mark of a container that leaves: it ends with the next start.
func Gone(started time.Time) Mark {
	return Mark{Leaving, token("started " + started.UTC().Format(time.RFC3339Nano))}
}

func token(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// On is a name with the mark.
func (m Mark) On(base string) string {
	if m.Kind == None {
		return base
	}
	return base + ".fairway-" + string(m.Kind) + "-" + m.Token
}

// IsLeaving reports whether a container that was started then gets nothing new. A zero time
// is one that is not known, and counts as the one that the mark is about.
func (m Mark) IsLeaving(started time.Time) bool {
	return m.Kind == Leaving && (started.IsZero() || m == Gone(started))
}

// Admit is how long a container with these labels waits for its first request; zero for not
// at all.
func Admit(labels map[string]string) time.Duration {
	d, err := time.ParseDuration(labels[LabelAdmit])
	if err != nil || d < 0 {
		return 0
	}
	return min(d, MaxAdmit)
}
