package render

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// Passwords are entries of a map, so that they change without a reload; the key is the
// route and the user in hexadecimal, the value the form of the hash and what belongs to
// it. Those of apr1, which the C library does not know, fairway.lua checks; the others of
// crypt(3) are in a list of users, whose hashes the C library checks. Who was let in by a
// slow hash is remembered for a while.
//
// HAProxy computes a hash of crypt for names in its list alone. Other credentials that
// are refused are therefore put to an entry that no user has, with the dearest of the
// hashes: the time of an answer does not show which names exist.

const (
	maxRounds  = 50_000 // of crypt's $5$ and $6$
	maxCost    = 12     // of bcrypt
	authMemory = "5m"   // who was let in is not asked again for so long
)

// TooDear says why HAProxy does not check a hash of a known form; empty when it does. Its
// thread serves nobody else meanwhile: a quarter of a second is too long.
func TooDear(hash string) string {
	switch form, cost := userhash.FormOf(hash); {
	case form == userhash.Bcrypt && cost > maxCost:
		return fmt.Sprintf("HAProxy takes too long to check bcrypt above cost %d", maxCost)
	case form == userhash.SHACrypt && cost > maxRounds:
		return fmt.Sprintf("HAProxy takes too long to check SHA-crypt above %d rounds", maxRounds)
	}
	return ""
}

// checkOf is how a user's password is checked; empty for one that no password fits.
// HAProxy refuses a list of users with a hash that the C library does not know, so that
// the form is looked at closely.
func checkOf(u route.User) string {
	switch form, _ := userhash.FormOf(u.Hash); form {
	case userhash.SHA:
		return "sha"
	case userhash.Salted:
		return "salted"
	case userhash.MD5Crypt, userhash.SHACrypt, userhash.Bcrypt:
		if strings.HasPrefix(u.Hash, "$apr1$") {
			return "apr1"
		}
		if TooDear(u.Hash) == "" && u.Name != "" && quote.IsText(u.Name) {
			return "list"
		}
	}
	return ""
}

func isListed(u route.User) bool { return checkOf(u) == "list" }

// usersOf are the users of a filter, each name once; false when its file is unreadable.
func (r *renderer) usersOf(f *route.BasicAuth) ([]route.User, bool) {
	users := slices.Clone(f.Users)
	if f.File != "" {
		if r.o.UserFile == nil {
			return nil, false
		}
		inFile, ok := r.o.UserFile(f)
		if !ok {
			return nil, false
		}
		users = append(users, inFile...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(users, func(u route.User) bool {
		again := seen[u.Name]
		seen[u.Name] = true
		return again
	}), true
}

// userEntries are the map entries of a filter.
func userEntries(token string, users []route.User) []MapEntry {
	var entries []MapEntry
	for _, u := range users {
		value := checkOf(u)
		switch value {
		case "":
			continue
		case "sha":
			value += "|" + quote.MapWord(u.Hash[len("{SHA}"):])
		case "apr1":
			value += "|" + quote.MapWord(u.Hash)
		case "salted":
			salt, sum, _ := strings.Cut(u.Hash[len(userhash.SaltedSHA256):], "$")
			value += "|" + base64.StdEncoding.EncodeToString([]byte(salt)) + "|" + quote.MapWord(sum)
		}
		entries = append(entries, MapEntry{Key: token + "." + strings.ToUpper(hex.EncodeToString([]byte(u.Name))), Value: value})
	}
	return entries
}

// userList is the name of the list of users, and of the memory of who was let in. It
// changes with the hashes, so that who was let in by an old one is not remembered.
func userList(id string, place int, users []route.User) string {
	parts := []string{"users", id, itoa(place)}
	for _, u := range users {
		if isListed(u) {
			parts = append(parts, u.Name, u.Hash)
		}
	}
	return "users-" + digest(parts...)
}

// writeUserLists writes the lists of a route, and the memory of who was let in.
func (r *renderer) writeUserLists(t *text, q *route.Route) {
	for i := range q.Filters {
		f := q.Filters[i].BasicAuth
		if f == nil {
			continue
		}
		users, _ := r.usersOf(f)
		if !hasSlow(users) {
			continue
		}
		name := userList(q.ID, i, users)
		if hash := dearest(users); hash != "" {
			t.section("userlist %s", name)
			t.line("user %s password %s", quote.Word(noUser), quote.Secret(quote.Word(hash)))
		}
		for _, u := range users {
			if isListed(u) {
				t.line("user %s password %s", quote.Word(u.Name), quote.Secret(quote.Word(u.Hash)))
			}
		}
		t.section("backend %s from %s", name, httpSection)
		t.note("who was let in by passwords of route %s", q.ID)
		t.line("stick-table type binary len 32 size 4096 expire %s peers %s store gpc0", authMemory, peersSection)
	}
}

func (d *dedicated) basicAuth(place int, f *route.BasicAuth) (final bool) {
	users, readable := d.usersOf(f)
	if !readable {
		d.line("%s", problem{status: 503, code: "auth-unavailable", text: "the users of this route cannot be read"}.always())
		return true
	}
	// Salts and hashes are found by the name, the password is put to them.
	d.line("http-request set-var(txn.authed) bool(false)")
	if slices.ContainsFunc(d.route.Filters[:place], func(f route.Filter) bool { return f.BasicAuth != nil }) {
		// A look-up that finds nothing leaves what the filter before has found.
		for _, name := range []string{"credentials", "known", "wanted", "hashed"} {
			d.line("http-request unset-var(txn.%s)", name)
		}
	}
	// The fetches for credentials are not used: they remember the first they see.
	d.line("http-request set-var(txn.credentials) \"req.fhdr(authorization),field(2,' '),b64dec\" if { req.fhdr_cnt(authorization) eq 1 } { req.fhdr(authorization) -m reg -i -- %s }", quote.Word("^basic [a-z0-9+/]+=*$"))
	one := "{ var(txn.credentials) -m sub : }"
	d.line("http-request set-var(txn.user) var(txn.credentials),field(1,:),hex if %s", one)
	d.line("http-request set-var(txn.pass) var(txn.credentials),field(2,:,0) if %s", one)
	d.line("http-request set-var(txn.known) str(%s.),concat(,txn.user,),map_str(%s) if %s", authToken(d.route.ID, place), d.o.mapPath(mapUsers), one)
	known := one + " { var(txn.known),field(1,|) -m str "
	d.line("http-request set-var(txn.hashed) var(txn.pass),sha1,base64 if %ssha }", known)
	d.line("http-request set-var(txn.wanted) var(txn.known),field(2,|),url_dec if %ssha }", known)
	d.line("http-request set-var(txn.hashed) var(txn.known),field(2,|),b64dec,concat(,txn.pass,),sha2(256),hex,lower if %ssalted }", known)
	d.line("http-request set-var(txn.wanted) var(txn.known),field(3,|),url_dec if %ssalted }", known)
	d.line("http-request set-var(txn.authed) bool(true) if %s !{ var(txn.known),field(1,|) -m str list apr1 } { var(txn.wanted) -m len gt 0 } { var(txn.hashed),secure_memcmp(txn.wanted) }", one)
	if hasSlow(users) {
		d.slowPasswords(userList(d.route.ID, place, users), users, one)
	}
	realm := strings.NewReplacer(`"`, "", `\`, "", "\r", "", "\n", "").Replace(cmp.Or(f.Realm, "restricted"))
	challenge := problem{status: 401, code: "unauthorized", text: "user and password are needed"}
	d.line("http-request return status 401 %s hdr WWW-Authenticate %s if !{ var(txn.authed) -m bool }",
		challenge.payload(), quote.Word(`Basic realm="`+quote.Literal(realm)+`", charset="UTF-8"`))
	if f.Strip {
		d.line("http-request del-header authorization")
	}
	return false
}

// slowPasswords has the C library, or Lua, check who was not let in before. The header is
// remembered, with the hash where the map has it.
func (d *dedicated) slowPasswords(list string, users []route.User, one string) {
	d.line("http-request set-var(txn.seen) req.fhdr(authorization),concat(|,txn.known,),sha2(256)")
	d.line("http-request set-var(txn.authed) bool(true) if %s { var(txn.seen),table_gpc0(%s) gt 0 }", one, list)
	d.line("http-request set-var(txn.fresh) bool(false)")
	if slices.ContainsFunc(users, isListed) {
		d.line("http-request set-var(txn.fresh) bool(true) if !{ var(txn.authed) -m bool } %s { var(txn.known) -m str list } { http_auth(%s) }", one, list)
	}
	d.line("http-request set-var(txn.fresh) bool(true) if !{ var(txn.authed) -m bool } %s { var(txn.known),field(1,|) -m str apr1 } { lua.fairway_apr1 -m bool }", one)
	d.line("http-request set-var(txn.authed) bool(true) if { var(txn.fresh) -m bool }")
	d.line("http-request track-sc2 var(txn.seen) table %s if { var(txn.fresh) -m bool }", list)
	d.line("http-request sc-inc-gpc0(2) if { var(txn.fresh) -m bool }")
	// What comes of these is not looked at: they are for the time they take.
	other := one + " !{ var(txn.authed) -m bool } !{ var(txn.known),field(1,|) -m str list apr1 }"
	if slices.ContainsFunc(users, isListed) {
		d.line("http-request set-header Authorization \"Basic %%[str(%s:),concat(,txn.pass,),base64]\" if %s", strings.Trim(quote.Word(noUser), `"`), other)
		d.line("http-request set-var(txn.fresh) bool(true) if %s { http_auth(%s) }", other, list)
		return
	}
	d.line("http-request set-var(txn.known) str(apr1) if %s", other)
	d.line("http-request set-var(txn.fresh) bool(true) if !{ var(txn.authed) -m bool } { var(txn.known) -m str apr1 } { lua.fairway_apr1 -m bool }")
}

// noUser is a name in lists that no user has: it is no text.
const noUser = "\x7f"

// dearest is the listed hash that takes longest to check; empty without one.
func dearest(users []route.User) (hash string) {
	longest := 0
	for _, u := range users {
		if !isListed(u) {
			continue
		}
		form, work := userhash.FormOf(u.Hash) // a round of SHA-crypt takes about a microsecond
		switch form {
		case userhash.Bcrypt:
			work = 50 << work
		case userhash.MD5Crypt:
			work = 500
		}
		if work > longest {
			hash, longest = u.Hash, work
		}
	}
	return hash
}

func hasSlow(users []route.User) bool {
	return slices.ContainsFunc(users, func(u route.User) bool { return isListed(u) || checkOf(u) == "apr1" })
}

// authToken stands for a filter in the keys of the map of users.
func authToken(id string, place int) string { return "a" + digest("auth", id, itoa(place)) }
