// Package report is the form of what the agent prints, as JSON, and the fleet reads.
package report

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// MaxContent is the largest configuration taken, in bytes.
const MaxContent = 16 << 20

// The outcomes of a Result.
const (
	Updated = "updated" // the configuration is in place and runs; or would be taken, for a check
	Same    = "same"    // it was in place already
	Refused = "refused" // what was before is in place and runs
	Unknown = "unknown" // neither the new configuration nor the one before is known to run
)

// Result is the result of applying or checking a configuration.
type Result struct {
	Outcome string `json:"outcome"`
	// Reason is why it was refused, in HAProxy's words where it had some.
	Reason string `json:"reason,omitempty"`
	// Back is true when it had begun and was taken back.
	Back bool `json:"back,omitempty"`
	// Digest is the SHA-256 of the file that is in place now, in hexadecimal.
	Digest string `json:"digest,omitempty"`
}

// Status is what is in place and what runs.
type Status struct {
	Name string `json:"name"`
	// File is the configuration, Digest its SHA-256; empty for none. Content is optional.
	File    string `json:"file"`
	Digest  string `json:"digest"`
	Content []byte `json:"content,omitempty"`
	// Running is the digest of what the worker has read; empty when it does not say.
	Running string `json:"running"`
	// Worker is the process that serves, Uptime its age; Old finish what they have.
	Version string        `json:"version"`
	Worker  int           `json:"worker"`
	Uptime  time.Duration `json:"uptime"`
	Old     int           `json:"old"`
	// Trouble is why less is known than could be; empty usually.
	Trouble string `json:"trouble,omitempty"`
}

// Statistics is what HAProxy itself says on its runtime socket.
type Statistics struct {
	// Info is the answer to `show info`, Stat that to `show stat`.
	Info string `json:"info"`
	Stat string `json:"stat"`
}

// Digest is the SHA-256 of a configuration, in hexadecimal.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
