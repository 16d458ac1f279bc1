package users

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// TestPasswordForms checks the password "open sesame" against every form of hash.
func TestPasswordForms(t *testing.T) {
	for _, hash := range []string{
		"$2a$04$JeaqkoKpn0Oe8LuPfHtZ8efJI7edmLdunnXDI6g81rTpzpC01QL1O",
		"{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=",
		userhash.Of("salt", "open sesame"),
		"$1$saltsalt$Yo6tRKYGO/jWyb1etwHDS/",
		"$apr1$saltsalt$HIDXe7D36X22w1CH4M1cQ.",
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
	for _, hash := range []string{"", "open sesame", "rqXexS6ZhobKA", "$9$x", "$apr1$salt$x", "{SSHA256}", "{SSHA256}$", "$6$rounds=999999999$salt$x", "$6$rounds=x$salt$x", "$5$", "$1$"} {
		if checkPassword(hash, "open sesame") || checkPassword(hash, "") || checkPassword(hash, hash) {
			t.Errorf("%q is the hash of something", hash)
		}
	}
}

// TestPasswordVectors checks hashes that others have published: Apache's page on
// passwords, the description of SHA-crypt, and the tests of crypt_blowfish.
func TestPasswordVectors(t *testing.T) {
	for hash, password := range map[string]string{
		"$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/":                                                                                   "myPassword",
		"{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=":                                                                                       "myPassword",
		"$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC":                                                            "myPassword",
		"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":                                                            "U*U",
		"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                                               "Hello world!",
		"$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA":                                            "Hello world!",
		"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1":                    "Hello world!",
		"$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.": "Hello world!",
	} {
		if !checkPassword(hash, password) {
			t.Errorf("%s: the right password is refused", hash)
		}
		if checkPassword(hash, password+"x") || checkPassword(hash, hash) {
			t.Errorf("%s: a wrong password is taken", hash)
		}
	}
}

// TestPasswordsOfOthers makes hashes with the tool that users have.
func TestPasswordsOfOthers(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not here: its hashes are not compared")
	}
	for _, form := range []string{"-1", "-apr1", "-5", "-6"} {
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
	const sha, bcrypt, six = "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=", "$2a$10$JeaqkoKpn0Oe8LuPfHtZ8efJI7edmLdunnXDI6g81rTpzpC01QL1O",
		"$6$saltsalt$e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7n7EbRdRiCx3HbQ90yjOHr.G0T.mx79PEMRy8nmtr0qSYhQp1"
	u := NewSet([]route.User{{Name: "a", Hash: sha}, {Name: "b", Hash: six}, {Name: "a", Hash: bcrypt}, {Name: "c"}})
	if u.hashes["a"] != sha || u.dummy != six || !u.Has("c") || u.Has("d") {
		t.Errorf("%+v", u.hashes)
	}
	if n := costOf("$6$rounds=200001" + six[len("$6"):]); n != maxRounds {
		t.Errorf("a hash that is too dear costs %d", n)
	}
}

func FuzzParseUsers(f *testing.F) {
	f.Add([]byte("joe:secret,ann:pass:word\n# x\nbob:{SHA}x\n"), "secret")
	if content, err := os.ReadFile("../enginetest/testdata/filter-users.txtar"); err == nil {
		f.Add(content, "open sesame")
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		list, faults := Parse(data, len(data)%2 == 0, TooDear)
		locked := 0
		for _, u := range list {
			if u.Hash == "" {
				locked++
			} else if form, _ := userhash.FormOf(u.Hash); u.Name == "" || form == userhash.Unknown || TooDear(u.Hash) != "" {
				t.Fatalf("user %q has the hash %q", u.Name, u.Hash)
			}
			if costOf(u.Hash) < 1000 {
				_ = checkPassword(u.Hash, password)
			}
		}
		if locked > len(faults) {
			t.Fatalf("%d users are locked, and %d faults say why", locked, len(faults))
		}
	})
}
