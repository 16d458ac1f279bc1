package embedded

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"fairway/internal/route"
)

// TestPasswordForms checks the password "open sesame" against every form of hash.
func TestPasswordForms(t *testing.T) {
	for _, hash := range []string{
		"$2a$04$JeaqkoKpn0Oe8LuPfHtZ8efJI7edmLdunnXDI6g81rTpzpC01QL1O",
		"{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=",
		route.HashPassword("salt", "open sesame"),
		"$1$saltsalt$Yo6tRKYGO/jWyb1etwHDS/",
		"$5$saltsalt$yrhPKxCqiWcCE9h0g86j6Ugz7SDFdFm.BjU.d8RaQnC",
		"$6$saltsalt$e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7n7EbRdRiCx3HbQ90yjOHr.G0T.mx79PEMRy8nmtr0qSYhQp1",
	} {
		if !checkPassword(hash, "open sesame") {
			t.Errorf("%s: the right password is refused", hash)
		}
		for _, wrong := range []string{"", "open", "open sesame ", "Open sesame", hash} {
			if checkPassword(hash, wrong) {
				t.Errorf("%s: %q is taken", hash, wrong)
			}
		}
	}
	for _, hash := range []string{"", "open sesame", "$9$x", "$apr1$salt$x", "{SSHA256}", "{SSHA256}$", "$6$rounds=999999999$salt$x", "$6$rounds=x$salt$x", "$5$", "$1$"} {
		if checkPassword(hash, "open sesame") || checkPassword(hash, "") || checkPassword(hash, hash) {
			t.Errorf("%q is the hash of something", hash)
		}
	}
	if n := costOf("$6$rounds=200001$salt$x"); n != 0 {
		t.Errorf("a hash that is too dear costs %d", n)
	}
}

// TestPasswordsOfOthers makes hashes with the tool that users have.
func TestPasswordsOfOthers(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not here: its hashes are not compared")
	}
	for _, form := range []string{"-1", "-5", "-6"} {
		for _, password := range []string{"x", "pässwörd", strings.Repeat("long ", 12)} {
			out, err := exec.CommandContext(t.Context(), tool, "passwd", form, password).Output()
			if err != nil {
				t.Skipf("openssl passwd %s: %v", form, err)
			}
			hash := strings.TrimSpace(string(out))
			if !checkPassword(hash, password) || checkPassword(hash, password+"x") {
				t.Errorf("%s of %q is %s", form, password, hash)
			}
		}
	}
}

// TestUsersOfRoutes: the first of a name counts, and names that are not there cost
// what the dearest hash costs.
func TestUsersOfRoutes(t *testing.T) {
	u := newUsers([]route.User{{Name: "a", Hash: "{SHA}x"}, {Name: "b", Hash: "$6$salt$x"}, {Name: "a", Hash: "$2a$10$x"}, {Name: "c", Hash: "$1$salt$x"}})
	if u.hashes["a"] != "{SHA}x" || u.dummy != "$6$salt$x" || !u.has("c") || u.has("d") {
		t.Errorf("%+v", u.hashes)
	}
}

// TestClearPasswordsAreNotKept: a password in clear text is hashed when it is read.
func TestClearPasswordsAreNotKept(t *testing.T) {
	u, err := parseUsers([]byte("joe:topsecret\n"))
	if err != nil || strings.Contains(u.hashes["joe"], "topsecret") || !checkPassword(u.hashes["joe"], "topsecret") {
		t.Errorf("%v, %v", u, err)
	}
}

func FuzzParseUsers(f *testing.F) {
	f.Add([]byte("joe:secret,ann:pass:word\n# x\nbob:{SHA}x\n"), "secret")
	if content, err := os.ReadFile("../enginetest/testdata/filter-users.txtar"); err == nil {
		f.Add(content, "open sesame")
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		u, err := parseUsers(data)
		if err != nil {
			return
		}
		for name, hash := range u.hashes {
			if name == "" || formOf(hash) == formUnknown {
				t.Fatalf("user %q has the hash %q", name, hash)
			}
			if costOf(hash) < 1000 {
				_ = checkPassword(hash, password)
			}
		}
	})
}
