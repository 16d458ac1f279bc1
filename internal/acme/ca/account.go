package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// accountKeys are where the registration and the key of the account are kept.
func (c *Client) accountKeys() (registration, key string) {
	email, name := "default", "default"
	if c.o.Email != "" {
		email = c.o.Email
		name, _, _ = strings.Cut(email, "@")
	}
	safe := certmagic.StorageKeys.Safe
	dir := path.Join("acme", safe(c.issuer), "users", safe(email))
	return path.Join(dir, safe(name)+".json"), path.Join(dir, safe(name)+".key")
}

// account is the one that is kept, or a new one.
func (c *Client) account(ctx context.Context, client *acmez.Client) (acme.Account, error) {
	if a, err := c.keptAccount(ctx); err == nil || errors.Is(err, errStorage) {
		return a, err
	}
	const lock = "fairway-registration"
	if err := c.o.Storage.Lock(ctx, lock); err != nil {
		return acme.Account{}, fmt.Errorf("storage: %w", err)
	}
	defer func() { _ = c.o.Storage.Unlock(context.WithoutCancel(ctx), lock) }() // it becomes stale
	if a, err := c.keptAccount(ctx); err == nil || errors.Is(err, errStorage) {
		return a, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return acme.Account{}, err
	}
	account := acme.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if c.o.Email != "" {
		account.Contact = []string{"mailto:" + c.o.Email}
	}
	if c.o.KeyID != "" {
		if err := account.SetExternalAccountBinding(ctx, client.Client, acme.EAB{KeyID: c.o.KeyID, MACKey: c.o.MACKey}); err != nil {
			return acme.Account{}, err
		}
	}
	if account, err = client.NewAccount(ctx, account); err != nil {
		return acme.Account{}, fmt.Errorf("registering an account: %w", err)
	}
	text, err := json.MarshalIndent(account, "", "\t")
	if err != nil {
		return acme.Account{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return acme.Account{}, err
	}
	registration, keyName := c.accountKeys()
	if err := errors.Join(c.o.Storage.Store(ctx, keyName, keyPEM), c.o.Storage.Store(ctx, registration, text)); err != nil {
		return acme.Account{}, fmt.Errorf("storage: %w", err)
	}
	c.o.Logger.Info("registered with the certificate authority", "ca", c.o.Directory)
	return account, nil
}

// errStorage says that a storage cannot say whether there is an account.
var errStorage = errors.New("storage")

// load reads a value of the account.
func (c *Client) load(ctx context.Context, key string) ([]byte, error) {
	data, err := c.o.Storage.Load(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", errStorage, err)
	}
	return data, err
}

// keptAccount is the one that is kept. Unless the error is errStorage, there is none that can
// be used.
func (c *Client) keptAccount(ctx context.Context) (a acme.Account, err error) {
	registration, keyName := c.accountKeys()
	text, err := c.load(ctx, registration)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, err
	}
	data, err := c.load(ctx, keyName)
	if err != nil {
		return a, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return a, errors.New("the key of the account is no PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return a, err
	}
	a.PrivateKey = key
	if a.Status != acme.StatusValid || a.Location == "" {
		return a, errors.New("the account is not valid")
	}
	return a, nil
}

func (c *Client) forgetAccount(ctx context.Context) error {
	registration, _ := c.accountKeys()
	return c.o.Storage.Delete(ctx, registration)
}
