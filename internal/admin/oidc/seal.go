package oidc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// maxAge is how long a sign-in may take.
const maxAge = 10 * time.Minute

// sealed is what belongs to a sign-in that was begun.
type sealed struct {
	State, Nonce, Verifier string
	Callback, To           string
	At                     time.Time
}

// seal closes what the browser keeps, with a key that ends with the process, so that it
// cannot be read or made elsewhere.
type seal struct{ cipher.AEAD }

func newSeal() (seal, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return seal{}, fmt.Errorf("oidc: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return seal{}, fmt.Errorf("oidc: %w", err)
	}
	return seal{aead}, nil
}

// close returns it as the value of a cookie.
func (s seal) close(v sealed) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("oidc: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.Seal(nil, nil, text, nil)), nil
}

// open returns what was closed by this process.
func (s seal) open(kept string) (v sealed, err error) {
	data, err := base64.RawURLEncoding.DecodeString(kept)
	if err != nil || len(data) > maxAnswer {
		return v, errors.New("oidc: not ours")
	}
	text, err := s.Open(nil, nil, data, nil)
	if err != nil {
		return v, errors.New("oidc: not ours")
	}
	return v, json.Unmarshal(text, &v)
}
