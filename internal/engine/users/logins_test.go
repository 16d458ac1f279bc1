package users

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// parsedUsers are the users of a file.
func parsedUsers(text string) *Set {
	list, _ := Parse([]byte(text), false, TooDear)
	return NewSet(list)
}

// TestLoginsCostTheSame: an unknown user, and one with a quick hash, cost the work of
// the dearest.
func TestLoginsCostTheSame(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), 8)
	if err != nil {
		t.Fatal(err)
	}
	u := parsedUsers("ada:" + string(hash) + "\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
	if cost, err := bcrypt.Cost([]byte(u.dummy)); err != nil || cost != 8 {
		t.Fatalf("the dummy costs %d (%v), want as much as the dearest hash", cost, err)
	}
	// A slow hash waits for its turn. None is free here, and the client has left: the
	// error is that of a name for which a slow hash is computed.
	store := NewChecker()
	for range cap(store.work) {
		store.work <- struct{}{}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"ada", "eve", "bob"} {
		if right, err := store.Verify(gone, u, name, "wrong"); right || !errors.Is(err, context.Canceled) {
			t.Errorf("user %s: %t, %v, want the wait for a slow hash", name, right, err)
		}
	}
}

// TestVerifyWaits: the wait for a turn to check a password ends with the client.
func TestVerifyWaits(t *testing.T) {
	u := parsedUsers("ada:$2a$04$JeaqkoKpn0Oe8LuPfHtZ8efJI7edmLdunnXDI6g81rTpzpC01QL1O\n")
	store := NewChecker()
	for range cap(store.work) {
		store.work <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if right, err := store.Verify(ctx, u, "ada", "lovelace"); right || err == nil {
		t.Errorf("%v %v", right, err)
	}
}
