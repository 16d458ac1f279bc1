// Package trust puts the root of Fairway's own authority into the stores of this machine, and
// takes it out again: that of the system, and those of Chromium and Firefox.
package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Machine is where the stores are.
type Machine struct {
	// Root is the directory of the system: "/". Home is that of the person whose browsers
	// are meant; Sudo says that root runs the command for that person.
	Root, Home string
	Sudo       bool
	// Run runs a program and returns what it printed; with a program that is not there, the
	// error is exec.ErrNotFound. Nil runs it on this machine.
	Run func(ctx context.Context, name string, args ...string) (string, error)
}

// Outcome is what became of one store.
type Outcome struct {
	// Store is the directory, and Of who reads it.
	Store string `json:"store"`
	Of    string `json:"of"`
	// Result is one of the constants below; Text says why, where it failed, and Hint what to
	// do then.
	Result string `json:"result"`
	Text   string `json:"text,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// The results.
const (
	Trusted   = "trusted"
	Already   = "already trusted"
	Untrusted = "no longer trusted"
	Nothing   = "nothing to remove"
	Failed    = "failed"
)

// root is what is trusted.
type root struct {
	pem  []byte
	name string // unique, with the fingerprint
	file string // of the system's store

	subject, fingerprint string // as it says, and its SHA-256
	until                time.Time
}

// short is how many bytes of the fingerprint a file is named by.
const short = 8

// parse takes nothing but one root that holds now.
func parse(text string, now time.Time) (*root, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("the answer is not one certificate in PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer is no certificate: %w", err)
	case !c.IsCA || c.CheckSignatureFrom(c) != nil || !strings.HasPrefix(c.Subject.CommonName, ours):
		return nil, errors.New("the certificate is not the root of Fairway's own authority")
	case now.After(c.NotAfter):
		return nil, fmt.Errorf("the root has ended on %s", c.NotAfter.Format(time.DateOnly))
	}
	sum := sha256.Sum256(c.Raw)
	id := hex.EncodeToString(sum[:short])
	return &root{
		pem: pem.EncodeToMemory(block), name: c.Subject.CommonName + " " + id, file: "fairway-" + id + ".crt",
		subject: c.Subject.CommonName, fingerprint: hex.EncodeToString(sum[:]), until: c.NotAfter,
	}, nil
}

// ours begins the names of all roots of Fairway.
const ours = "Fairway root "

// systems are the stores of systems that are known: a directory, and the program that
// takes over what is in it.
func systems() []struct{ dir, update string } {
	return []struct{ dir, update string }{
		{"usr/local/share/ca-certificates", "update-ca-certificates"},   // Debian, Ubuntu, Alpine
		{"etc/pki/ca-trust/source/anchors", "update-ca-trust"},          // Fedora, Red Hat
		{"etc/pki/trust/anchors", "update-ca-certificates"},             // SUSE
		{"etc/ca-certificates/trust-source/anchors", "update-ca-trust"}, // Arch
	}
}

// Install has the root trusted by every store that is there.
func (m Machine) install(ctx context.Context, r *root) []Outcome {
	all := []Outcome{m.system(func(dir, update string) (string, error) {
		path := filepath.Join(dir, r.file)
		if has, err := os.ReadFile(path); err == nil && bytes.Equal(has, r.pem) {
			return Already, nil
		}
		if err := os.WriteFile(path, r.pem, 0o644); err != nil { //nolint:gosec // a certificate is public
			return "", err
		}
		if out, err := m.run(ctx, update); err != nil {
			return "", errors.Join(said(update, out, err), os.Remove(path))
		}
		return Trusted, nil
	})}
	return append(all, m.browsers(ctx, true, func(store string) (string, error) {
		if has, err := m.run(ctx, "certutil", "-L", "-d", store, "-n", r.name, "-a"); err == nil && strings.Contains(has, "BEGIN CERTIFICATE") {
			return Already, nil
		}
		file, err := os.CreateTemp("", "fairway-root-*.pem")
		if err != nil {
			return "", err
		}
		defer os.Remove(file.Name())
		_, err = file.Write(r.pem)
		if err = errors.Join(err, file.Close()); err != nil {
			return "", err
		}
		out, err := m.run(ctx, "certutil", "-A", "-d", store, "-n", r.name, "-t", "C,,", "-i", file.Name())
		return Trusted, said("certutil", out, err)
	})...)
}

// remove takes every root of Fairway out of every store that is there.
func (m Machine) remove(ctx context.Context) []Outcome {
	all := []Outcome{m.system(func(dir, update string) (string, error) {
		found, _ := filepath.Glob(filepath.Join(dir, "fairway-"+strings.Repeat("[0-9a-f]", 2*short)+".crt"))
		if len(found) == 0 {
			return Nothing, nil
		}
		for _, path := range found {
			if err := os.Remove(path); err != nil {
				return "", err
			}
		}
		out, err := m.run(ctx, update)
		return Untrusted, said(update, out, err)
	})}
	return append(all, m.browsers(ctx, false, func(store string) (string, error) {
		list, err := m.run(ctx, "certutil", "-L", "-d", store)
		if err != nil {
			return "", said("certutil", list, err)
		}
		found := named.FindAllStringSubmatch(list, -1)
		for _, match := range found {
			if out, err := m.run(ctx, "certutil", "-D", "-d", store, "-n", match[1]); err != nil {
				return "", said("certutil", out, err)
			}
		}
		if found == nil {
			return Nothing, nil
		}
		return Untrusted, nil
	})...)
}

// named finds the names of our roots in a list of certutil, in front of their trust.
var named = regexp.MustCompile(`(?m)^(` + ours + `.*\S)\s+\w*,\w*,\w*\s*$`)

// system does something with the store of the system.
func (m Machine) system(do func(dir, update string) (string, error)) Outcome {
	for _, s := range systems() {
		dir := filepath.Join(m.Root, s.dir)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		o := Outcome{Store: dir, Of: "system"}
		return o.become(do(dir, s.update))
	}
	return Outcome{
		Store: "-", Of: "system", Result: Failed, Text: "no store that is known",
		Hint: "install the package ca-certificates, or add what fairway trust --print prints by hand",
	}
}

// browsers does something with every store of a browser, of which one for Chromium is made
// where there is none.
func (m Machine) browsers(ctx context.Context, create bool, do func(store string) (string, error)) (all []Outcome) {
	stores := map[string]string{} // by directory
	for pattern, of := range map[string]string{
		".pki/nssdb/cert9.db":                                      "Chromium",
		"snap/chromium/current/.pki/nssdb/cert9.db":                "Chromium",
		".mozilla/firefox/*/cert9.db":                              "Firefox",
		"snap/firefox/common/.mozilla/firefox/*/cert9.db":          "Firefox",
		".var/app/org.mozilla.firefox/.mozilla/firefox/*/cert9.db": "Firefox",
	} {
		found, _ := filepath.Glob(filepath.Join(m.Home, pattern))
		for _, file := range found {
			stores[filepath.Dir(file)] = of
		}
	}
	_, err := m.run(ctx, "certutil", "--version") // it knows no such flag
	absent := errors.Is(err, exec.ErrNotFound)
	if chromium := filepath.Join(m.Home, ".pki", "nssdb"); create && !absent && !m.Sudo && m.Home != "" && stores[chromium] == "" {
		if err := os.MkdirAll(chromium, 0o700); err == nil {
			if _, err = m.run(ctx, "certutil", "-N", "-d", "sql:"+chromium, "--empty-password"); err == nil {
				stores[chromium] = "Chromium"
			}
		}
	}
	for dir, of := range stores {
		o := Outcome{Store: dir, Of: of}
		if absent {
			o.Result, o.Text, o.Hint = Failed, "certutil is not installed", "install libnss3-tools (Debian, Ubuntu) or nss-tools (Fedora, Alpine), and run this again"
		} else {
			o = o.become(do("sql:" + dir))
		}
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b Outcome) int { return strings.Compare(a.Store, b.Store) })
	return all
}

// become says what became of a store.
func (o Outcome) become(result string, err error) Outcome {
	switch {
	case err == nil:
		o.Result = result
	case errors.Is(err, fs.ErrPermission):
		o.Result, o.Text, o.Hint = Failed, "it may not be written", "run this as root, with sudo"
	case errors.Is(err, exec.ErrNotFound):
		o.Result, o.Text, o.Hint = Failed, err.Error(), "install the package ca-certificates"
	default:
		o.Result, o.Text = Failed, err.Error()
	}
	return o
}

// said is an error with the last line that a program printed.
func said(program, out string, err error) error {
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return fmt.Errorf("%s: %w: %.200s", program, err, lines[len(lines)-1])
}

// programTime bounds how long a program may run.
const programTime = time.Minute

func (m Machine) run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	if m.Run != nil {
		return m.Run(ctx, name, args...)
	}
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput() //nolint:gosec // names of ours
	return string(out), err
}
