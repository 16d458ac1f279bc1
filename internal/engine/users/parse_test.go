package users

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fairway/internal/route/userhash"
)

// TestUsersOfUnknownFormAreLocked: a hash is never taken for a password in clear text,
// and one line is no reason to lock the users of others.
func TestUsersOfUnknownFormAreLocked(t *testing.T) {
	const good = "$apr1$xxxxxxxx$dxHfLAsjHkDRmG83UXe8K0"
	file := strings.Join([]string{
		"# users", "", "ann:" + good, "des:rqXexS6ZhobKA", "yes:$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
		"salted:{SSHA}DbMzNhZ0Ku9b", "cut:$2y$05$abc", "clear:secret", "secret-without-a-name", ":nobody", "empty:",
		"p@ss word:x", "des:" + good, "SGVsbG8=/" + strings.Repeat("x", 80) + ":y",
	}, "\n")
	users, faults := Parse([]byte(file), false, nil)
	got := map[string]string{}
	for _, u := range users {
		got[u.Name] = u.Hash
	}
	if len(users) != len(got) || got["ann"] != good {
		t.Errorf("users %v", users)
	}
	for _, locked := range []string{"des", "yes", "salted", "cut", "clear", "p@ss word"} {
		if hash, ok := got[locked]; !ok || hash != "" {
			t.Errorf("%s has the hash %q, or is not there: %v", locked, hash, ok)
		}
	}
	var text strings.Builder
	for _, f := range faults {
		fmt.Fprintln(&text, f)
	}
	const want = `line 4: user des: the hash is DES-crypt, or a password in clear text
line 5: user yes: the hash is yescrypt
line 6: user salted: the hash is salted SHA-1
line 7: user cut: the hash is bcrypt, but not a whole one
line 8: user clear: it is no hash, and passwords in clear text are not accepted
line 9: not user:hash
line 10: not user:hash
line 11: not user:hash
line 12: it is no hash, and passwords in clear text are not accepted
line 14: it is no hash, and passwords in clear text are not accepted
`
	if text.String() != want {
		t.Errorf("faults:\n%swant:\n%s", text.String(), want)
	}
}

// TestUsersInClear: a secret of Docker Flow may hold passwords, but what looks like a
// hash is none.
func TestUsersInClear(t *testing.T) {
	file := []byte("joe:secret,ann:pass:word\nbob:a,b\nyes:$y$x\nsalted:{SSHA}x\n")
	users, faults := Parse(file, true, nil)
	if len(users) != 5 || len(faults) != 2 {
		t.Fatalf("%v %v", users, faults)
	}
	for i, password := range []string{"secret", "pass:word", "a,b"} {
		salt, _, _ := strings.Cut(strings.TrimPrefix(users[i].Hash, userhash.SaltedSHA256), "$")
		if users[i].Hash != userhash.Of(salt, password) {
			t.Errorf("%s: %s", users[i].Name, users[i].Hash)
		}
	}
	if users[3].Hash != "" || users[4].Hash != "" {
		t.Errorf("hashes of unknown forms are passwords: %v", users[3:])
	}
	if again, _ := Parse(file, true, nil); again[0] != users[0] {
		t.Error("the same file made other users")
	}
}

// TestUsersRefusedByAnEngine: what is too dear for an engine locks that user.
func TestUsersRefusedByAnEngine(t *testing.T) {
	const sum = "yrhPKxCqiWcCE9h0g86j6Ugz7SDFdFm.BjU.d8RaQnC"
	users, faults := Parse([]byte("a:$5$saltsalt$"+sum+"\nb:$5$rounds=90000$saltsalt$"+sum+"\n"), false, func(hash string) string {
		if _, rounds := userhash.FormOf(hash); rounds > 50_000 {
			return "too many rounds"
		}
		return ""
	})
	if len(users) != 2 || users[0].Hash == "" || users[1].Hash != "" || len(faults) != 1 || faults[0].String() != "line 2: user b: too many rounds" {
		t.Errorf("%v %v", users, faults)
	}
}

func TestSplitUsers(t *testing.T) {
	for line, want := range map[string][]string{
		"a:b":         {"a:b"},
		"a:b,c:d":     {"a:b", "c:d"},
		"a:b, c:d":    {"a:b", "c:d"},
		"a:b,c":       {"a:b,c"},
		"a:b:c,d:e:f": {"a:b:c", "d:e:f"},
	} {
		if got := splitUsers(line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
