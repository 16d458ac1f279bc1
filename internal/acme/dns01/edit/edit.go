// Package edit adds and removes TXT records at the servers and services that keep zones. What
// is secret is read from its file for each change, and is in no error.
package edit

import (
	"cmp"
	"fmt"
	"strings"

	"fairway/internal/files"
)

// Record is a TXT record.
type Record struct {
	// Zone and Name are in canonical form, with a dot at their end; Name is in Zone, or is it.
	Zone, Name string
	// Text is what it says: base64url, of 255 bytes at most.
	Text string
}

// atOr is the name within the zone, or what stands for the zone itself.
func (r Record) atOr(self string) string {
	return cmp.Or(strings.TrimSuffix(strings.TrimSuffix(r.Name, r.Zone), "."), self)
}

// TTL is how long others may keep a record, in seconds.
const TTL = 60

// maxSaid bounds the words of others in errors, in bytes.
const maxSaid = 300

// words are what a program or a service said, in one line, without a secret.
func words(said, secret string) string {
	if secret != "" {
		said = strings.ReplaceAll(said, secret, "…")
	}
	said = strings.Join(strings.Fields(strings.ToValidUTF8(said, "")), " ")
	if len(said) > maxSaid {
		said = strings.ToValidUTF8(said[:maxSaid], "") + "…"
	}
	return said
}

// secret reads a file; key is the key that names it.
func secret(key, file string) (string, error) {
	text, err := files.Secret(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return text, nil
}
