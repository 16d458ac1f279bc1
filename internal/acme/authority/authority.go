// Package authority is a certificate authority of Fairway's own, for names for which no
// public one issues. A client that trusts the root trusts all who can read its key: it never
// leaves the directory.
//
// The root signs an intermediate, which signs leaves of short life. What is in the directory is
// made when it is first needed, and again when it is damaged or nears its end.
package authority

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/files"
)

// The files, of mode 0600: a certificate and its key in each.
const (
	fileRoot         = "root.pem"
	fileIntermediate = "intermediate.pem"
)

const maxFile = 64 << 10

// Options are what New needs. Dir is required.
type Options struct {
	// Dir is the directory, made with mode 0700 when it is needed.
	Dir string
	// Name stands for this authority in lists of roots, as that of the machine does; empty
	// for none.
	Name string
	// Now is the clock; nil for that of the machine.
	Now func() time.Time
	// Logger gets what people must know: a root is new, a file was damaged. Nil for none.
	Logger *slog.Logger
}

// Authority issues certificates. Its methods may be called from any goroutine; only their
// callers wait for its files.
type Authority struct {
	o Options

	mu                 sync.Mutex // held while files are read and written
	root, intermediate *signer    // nil before they were needed
}

// New returns an authority. Nothing is read or made yet.
func New(o Options) *Authority {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return &Authority{o: o}
}

// Root is what has to be trusted.
type Root struct {
	// PEM is the certificate, and Name its subject in words.
	PEM  []byte
	Name string
	// Fingerprint is its SHA-256, in lower-case hexadecimal.
	Fingerprint         string
	NotBefore, NotAfter time.Time
}

// Root returns the root, which is made when there is none.
func (a *Authority) Root() (Root, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.ready(a.o.Now()); err != nil {
		return Root{}, err
	}
	c := a.root.cert
	sum := sha256.Sum256(c.Raw)
	return Root{
		PEM:  pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw}),
		Name: c.Subject.CommonName, Fingerprint: hex.EncodeToString(sum[:]),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}, nil
}

// Issue makes a certificate for a host, a wildcard or an address, with the chain below the
// root, and its key. It holds for LeafLife.
func (a *Authority) Issue(ctx context.Context, name string) (certPEM, keyPEM []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	now := a.o.Now()
	template, err := leafTemplate(name, now)
	if err != nil {
		return nil, nil, err
	}
	a.mu.Lock()
	err = a.ready(now)
	parent := a.intermediate
	a.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	leaf, err := parent.sign(template)
	if err != nil {
		return nil, nil, err
	}
	certPEM = append(leaf.certificate(), parent.certificate()...)
	keyPEM, err = leaf.privateKey()
	return certPEM, keyPEM, err
}

// ready makes what is missing of root and intermediate, or will not last.
func (a *Authority) ready(now time.Time) (err error) {
	root := a.root
	if root == nil {
		if root, err = a.read(fileRoot); err != nil {
			return err
		}
	}
	if why := root.unfit(nil, now, intermediateLife); why != "" {
		if root != nil {
			if err := a.putAside(fileRoot, why); err != nil {
				return err
			}
		}
		if root, err = a.make(fileRoot, nil, rootTemplate(a.o.Name, now)); err != nil {
			return err
		}
		a.o.Logger.Warn("there is a new root of Fairway's own authority: have it trusted with fairway trust",
			"root", root.cert.Subject.CommonName, "until", root.cert.NotAfter.Format(time.DateOnly))
	}
	a.root = root
	between := a.intermediate
	if between == nil {
		if between, err = a.read(fileIntermediate); err != nil {
			return err
		}
	}
	if between.unfit(root, now, intermediateLife/3) != "" {
		if between, err = a.make(fileIntermediate, root, intermediateTemplate(a.o.Name, now)); err != nil {
			return err
		}
	}
	a.intermediate = between
	return nil
}

// read reads a signer; nil when there is none. A damaged file is moved aside.
func (a *Authority) read(name string) (*signer, error) {
	data, err := files.Read(filepath.Join(a.o.Dir, name), maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil && !errors.Is(err, files.ErrNotRegular):
		return nil, fmt.Errorf("authority: %w", err)
	}
	s, err := parseSigner(data)
	if err == nil {
		return s, nil
	}
	return nil, a.putAside(name, "it is damaged: "+err.Error())
}

// putAside renames a file that is of no use, so that nothing is lost.
func (a *Authority) putAside(name, why string) error {
	path := filepath.Join(a.o.Dir, name)
	for n := 1; ; n++ {
		aside := path + ".old-" + strconv.Itoa(n)
		if _, err := os.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		a.o.Logger.Error("a file of Fairway's own authority is replaced", "file", path, "reason", why, "moved", aside)
		if err := os.Rename(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("authority: %w", err)
		}
		return nil
	}
}

// make makes a signer and writes it down before it is used.
func (a *Authority) make(name string, parent *signer, t *template) (*signer, error) {
	s, err := parent.sign(t)
	if err != nil {
		return nil, err
	}
	key, err := s.privateKey()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(a.o.Dir, name), append(s.certificate(), key...), 0o600); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return s, nil
}
