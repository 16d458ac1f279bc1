// Package certstore keeps what certmagic keeps (certificates, private keys, accounts at
// authorities, challenges) in the keys of Consul, and guards its work by Consul's locks:
// of any number of Fairways one orders a certificate, and all use it.
//
// What it writes is secret. The token of Fairway should be the only one that reads below
// the prefix, and Consul should be reached over TLS.
package certstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/consul"

	"github.com/caddyserver/certmagic"
)

// DefaultPrefix is where the keys are unless another prefix is given.
const DefaultPrefix = "fairway/acme"

// Settings of a Storage. The zero value is fit.
type Settings struct {
	// Prefix is in front of every key, without slashes around it; empty is DefaultPrefix.
	Prefix string
	// Lock says how locks are held.
	Lock consul.LockOptions
}

// Storage is a certmagic.Storage, a certmagic.TryLocker and a certmagic.LockLeaseRenewer
// over Consul. It may be used by any number of goroutines, and connects to nothing until
// it is used. Nothing of it waits for ever: calls have the deadline of the client, a lock
// is given up a minute after Consul went away.
type Storage struct {
	client   *consul.Client
	settings Settings

	mu    sync.Mutex
	locks map[string]*held // by name
}

// held is a lock of this process and the work that ends with it.
type held struct {
	lock *consul.Lock
	stop func() bool // ends the watch for the work under it
}

var (
	_ certmagic.Storage          = (*Storage)(nil)
	_ certmagic.TryLocker        = (*Storage)(nil)
	_ certmagic.LockLeaseRenewer = (*Storage)(nil)
)

// New makes a storage over a client:
//
//	client, err := consul.New(consul.Config{Addresses: …, TokenFile: …})
//	storage := certstore.New(client, certstore.Settings{})
//	config := certmagic.New(cache, certmagic.Config{Storage: storage})
//	ctx, cancel := storage.Work(ctx)
//	err = config.ObtainCertSync(ctx, "a.example")
func New(client *consul.Client, s Settings) *Storage {
	s.Prefix = cmp.Or(strings.Trim(s.Prefix, "/"), DefaultPrefix)
	s.Lock.Name = cmp.Or(s.Lock.Name, "fairway certificates")
	return &Storage{client: client, settings: s, locks: map[string]*held{}}
}

// String names the storage in logs.
func (s *Storage) String() string { return "consul:" + s.settings.Prefix }

type workKey struct{}

// Work returns a context that ends when a lock that is taken under it is lost, with
// consul.ErrLost as its cause: what certmagic does under the context then stops, an order
// at an authority too.
func (s *Storage) Work(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return context.WithValue(ctx, workKey{}, cancel), func() { cancel(context.Canceled) }
}

// Lock waits for the lock of a name and takes it.
func (s *Storage) Lock(ctx context.Context, name string) error {
	lock, err := s.client.Lock(ctx, s.lockKey(name), s.settings.Lock)
	if err != nil {
		return err
	}
	s.keep(ctx, name, lock)
	return nil
}

// TryLock takes the lock of a name, and reports whether it could be had.
func (s *Storage) TryLock(ctx context.Context, name string) (bool, error) {
	lock, err := s.client.TryLock(ctx, s.lockKey(name), s.settings.Lock)
	if lock == nil {
		return false, err
	}
	s.keep(ctx, name, lock)
	return true, nil
}

func (s *Storage) keep(ctx context.Context, name string, lock *consul.Lock) {
	h := &held{lock: lock, stop: func() bool { return true }}
	if cancel, ok := ctx.Value(workKey{}).(context.CancelCauseFunc); ok {
		h.stop = context.AfterFunc(lock.Context(), func() { cancel(context.Cause(lock.Context())) })
	}
	s.mu.Lock()
	s.locks[name] = h // Consul gave it to us: one that was there is lost
	s.mu.Unlock()
}

// RenewLockLease allows the lock of a name to be held for d from now.
func (s *Storage) RenewLockLease(_ context.Context, name string, d time.Duration) error {
	h := s.held(name)
	if h == nil {
		return fmt.Errorf("%w: %s", consul.ErrLost, name)
	}
	return h.lock.Extend(d)
}

// Unlock gives the lock of a name back.
func (s *Storage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	h := s.locks[name]
	delete(s.locks, name)
	s.mu.Unlock()
	if h == nil {
		return fmt.Errorf("%w: %s", consul.ErrLost, name)
	}
	h.stop()
	return h.lock.Unlock(ctx)
}

func (s *Storage) held(name string) *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locks[name]
}

// guard returns the lock of this process under which a key is written: certmagic has a lock
// for the name of a certificate. Nil is a key without one, such as that of a challenge.
func (s *Storage) guard(key string) *consul.Lock {
	parts := strings.Split(key, "/") // certificates/ISSUER/NAME/FILE
	if len(parts) != 4 || parts[0] != "certificates" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, h := range s.locks {
		if subject, ok := strings.CutPrefix(name, "issue_cert_"); ok && certmagic.StorageKeys.Safe(subject) == parts[2] {
			return h.lock
		}
	}
	return nil
}

// Store writes a value. Under a lock that was lost it writes nothing and returns
// consul.ErrLost: a slow Fairway cannot put an old certificate over a new one. The
// error for a value that Consul does not take is consul.ErrTooLarge.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	now := uint64(time.Now().UnixMilli())
	if lock := s.guard(key); lock != nil {
		return lock.Put(ctx, s.key(key), value, now)
	}
	return s.client.Put(ctx, s.key(key), value, now)
}

// Load reads a value; the error for none is fs.ErrNotExist.
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	pair, err := s.client.Get(ctx, s.key(key))
	return pair.Value, err
}

// Delete removes a key and all keys below it.
func (s *Storage) Delete(ctx context.Context, key string) error {
	if err := s.client.Delete(ctx, s.key(key)); err != nil {
		return err
	}
	return s.client.DeleteBelow(ctx, s.key(key)+"/")
}

// Exists reports whether a key is there, or keys below it. It is false where Consul
// cannot be asked.
func (s *Storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the keys below a path, with recursive those at any depth; the error for
// none is fs.ErrNotExist.
func (s *Storage) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	separator := "/"
	if recursive {
		separator = ""
	}
	below := s.key(dir) + "/"
	keys, err := s.client.Keys(ctx, below, separator)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(keys))
	for _, key := range keys {
		name := strings.Trim(strings.TrimPrefix(key, below), "/")
		// Locks are beside what is stored, and no part of it.
		if name != "" && !strings.HasPrefix(key, s.lockKey("")) && key != s.lockKey("") {
			out = append(out, path.Join(dir, name))
		}
	}
	if len(out) == 0 {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	return slices.Compact(out), nil
}

// Stat returns what is known of a key; the error for none is fs.ErrNotExist.
func (s *Storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	pair, err := s.client.Get(ctx, s.key(key))
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: time.UnixMilli(int64(pair.Flags)), Size: int64(len(pair.Value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	below, failed := s.client.Keys(ctx, s.key(key)+"/", "/")
	if failed != nil || len(below) == 0 {
		return certmagic.KeyInfo{}, cmp.Or(failed, err)
	}
	return certmagic.KeyInfo{Key: key}, nil
}

func (s *Storage) key(key string) string { return path.Join(s.settings.Prefix, key) }

// lockKey is the key of a lock. The name is one part of it.
func (s *Storage) lockKey(name string) string {
	return s.settings.Prefix + "/locks/" + strings.ReplaceAll(name, "/", "_")
}
