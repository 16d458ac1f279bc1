package render

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	"fairway/internal/route"
)

// Passwords. Those with a hash that is quick to compute are entries of a map, so
// that they change without a reload; the key is the route and the user in
// hexadecimal, the value the form of the hash and what belongs to it. Those of
// crypt(3) are a list of users as HAProxy has it, whose hashes the C library
// checks: who was let in is remembered for a while, for such a hash is slow on
// purpose.

// hashForm is the form of a password's hash.
type hashForm int

const (
	formUnknown hashForm = iota
	formSHA
	formSalted
	formCrypt
)

// The measures of passwords.
const (
	maxRounds  = 50_000 // of crypt's $5$ and $6$
	authMemory = "5m"   // who was let in is not asked again for so long
)

// Forms of crypt(3). HAProxy refuses a list of users with a hash that the C library
// does not know, so that they are looked at closely. Nobody else is served by a thread
// while it checks a password: what takes a quarter of a second and more has no form
// that is known here.
var (
	cryptForm  = regexp.MustCompile(`^\$(?:1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}|5\$(?:rounds=[0-9]{4,6}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}|6\$(?:rounds=[0-9]{4,6}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86})$`)
	bcryptForm = regexp.MustCompile(`^\$2[aby]\$(?:0[4-9]|1[0-2])\$[./0-9A-Za-z]{53}$`)
)

// formOf tells the form of a hash. Nothing is the password of one of unknown form.
func formOf(hash string) hashForm {
	switch {
	case strings.HasPrefix(hash, route.SaltedSHA256):
		return formSalted
	case strings.HasPrefix(hash, "{SHA}"):
		return formSHA
	case bcryptForm.MatchString(hash):
		return formCrypt
	case cryptForm.MatchString(hash):
		if _, rest, ok := strings.Cut(hash, "rounds="); ok {
			digits, _, _ := strings.Cut(rest, "$")
			if n, err := strconv.Atoi(digits); err != nil || n > maxRounds {
				return formUnknown
			}
		}
		return formCrypt
	}
	return formUnknown
}

// usersOf are the users of a filter, each name once; false when its file cannot be
// read.
func (r *renderer) usersOf(f *route.BasicAuth) ([]route.User, bool) {
	all := f.Users
	if f.File != "" {
		data, ok := r.o.PasswordFiles[f.File]
		if !ok {
			return nil, false
		}
		known := func(hash string) bool { return formOf(hash) != formUnknown }
		salt := digest("salt", f.File, string(data))
		inFile, err := route.ParseUsers(data, known, func() string { return salt })
		if err != nil {
			return nil, false
		}
		all = append(all[:len(all):len(all)], inFile...)
	}
	seen := map[string]bool{}
	users := make([]route.User, 0, len(all))
	for _, u := range all {
		if !seen[u.Name] {
			seen[u.Name] = true
			users = append(users, u)
		}
	}
	return users, true
}

// userEntries are the map entries of a filter.
func userEntries(token string, users []route.User) []MapEntry {
	var entries []MapEntry
	for _, u := range users {
		key := token + "." + strings.ToUpper(hex.EncodeToString([]byte(u.Name)))
		switch formOf(u.Hash) {
		case formSHA:
			entries = append(entries, MapEntry{key, "sha|" + mapWord(u.Hash[len("{SHA}"):])})
		case formSalted:
			if salt, sum, ok := strings.Cut(u.Hash[len(route.SaltedSHA256):], "$"); ok {
				entries = append(entries, MapEntry{key, "salted|" + base64.StdEncoding.EncodeToString([]byte(salt)) + "|" + mapWord(sum)})
			}
		}
	}
	return entries
}

// userList is the name of the list of users that the C library checks.
func userList(id string, place int) string { return "users-" + digest("users", id, itoa(place)) }

// writeUserLists writes the lists of a route, and where it is remembered who was let
// in.
func (r *renderer) writeUserLists(t *text, q *route.Route) {
	for i := range q.Filters {
		f := q.Filters[i].BasicAuth
		if f == nil {
			continue
		}
		users, _ := r.usersOf(f)
		begun := false
		for _, u := range users {
			if formOf(u.Hash) != formCrypt || !isUserName(u.Name) {
				continue
			}
			if !begun {
				begun = true
				t.section("userlist %s", userList(q.ID, i))
			}
			t.line("user %s password %s", quoted(u.Name), secret(quoted(u.Hash)))
		}
		if begun {
			t.section("backend %s from %s", userList(q.ID, i), httpSection)
			t.note("who was let in by passwords of route %s", q.ID)
			t.line("stick-table type binary len 32 size 4096 expire %s peers %s store gpc0", authMemory, peersSection)
		}
	}
}

// isUserName is true for names that a list of HAProxy's can have.
func isUserName(name string) bool { return name != "" && isText(name) }

// basicAuth writes the rules that ask for a user and password.
func (d *dedicated) basicAuth(place int, f *route.BasicAuth) (final bool) {
	users, readable := d.usersOf(f)
	if !readable {
		unavailable := problem{status: 503, code: "auth-unavailable", text: "the users of this route cannot be read"}
		d.line("http-request return status 503 %s", unavailable.payload())
		return true
	}
	// Salts and hashes are found by the name, the password is put to them.
	d.line("http-request set-var(txn.authed) bool(false)")
	one := "{ req.fhdr_cnt(authorization) eq 1 } { http_auth_user -m found }"
	d.line("http-request set-var(txn.user) http_auth_user,hex if %s", one)
	d.line("http-request set-var(txn.pass) http_auth_pass if %s", one)
	d.line("http-request set-var(txn.known) str(%s.),concat(,txn.user,),map_str(%s) if %s", authToken(d.route.ID, place), d.o.mapPath(mapUsers), one)
	known := one + " { var(txn.known),field(1,|) -m str "
	d.line("http-request set-var(txn.hashed) var(txn.pass),sha1,base64 if %ssha }", known)
	d.line("http-request set-var(txn.wanted) var(txn.known),field(2,|),url_dec if %ssha }", known)
	d.line("http-request set-var(txn.hashed) var(txn.known),field(2,|),b64dec,concat(,txn.pass,),sha2(256),hex,lower if %ssalted }", known)
	d.line("http-request set-var(txn.wanted) var(txn.known),field(3,|),url_dec if %ssalted }", known)
	d.line("http-request set-var(txn.authed) bool(true) if %s { var(txn.known) -m found } { var(txn.wanted) -m len gt 0 } { var(txn.hashed),secure_memcmp(txn.wanted) }", one)
	if hasCrypt(users) {
		d.slowPasswords(place, one)
	}
	realm := strings.NewReplacer(`"`, "", `\`, "", "\r", "", "\n", "").Replace(cmp.Or(f.Realm, "restricted"))
	challenge := problem{status: 401, code: "unauthorized", text: "user and password are needed"}
	d.line("http-request return status 401 %s hdr WWW-Authenticate %s if !{ var(txn.authed) -m bool }",
		challenge.payload(), quoted(`Basic realm="`+literal(realm)+`", charset="UTF-8"`))
	if f.Strip {
		d.line("http-request del-header authorization")
	}
	return false
}

// slowPasswords has the C library check what was not let in before.
func (d *dedicated) slowPasswords(place int, one string) {
	list := userList(d.route.ID, place)
	d.line("http-request set-var(txn.seen) req.fhdr(authorization),sha2(256)")
	d.line("http-request set-var(txn.authed) bool(true) if %s { var(txn.seen),table_gpc0(%s) gt 0 }", one, list)
	d.line("http-request set-var(txn.fresh) bool(false)")
	d.line("http-request set-var(txn.fresh) bool(true) if !{ var(txn.authed) -m bool } %s !{ var(txn.known) -m found } { http_auth(%s) }", one, list)
	d.line("http-request set-var(txn.authed) bool(true) if { var(txn.fresh) -m bool }")
	d.line("http-request track-sc2 var(txn.seen) table %s if { var(txn.fresh) -m bool }", list)
	d.line("http-request sc-inc-gpc0(2) if { var(txn.fresh) -m bool }")
}

func hasCrypt(users []route.User) bool {
	for _, u := range users {
		if formOf(u.Hash) == formCrypt && isUserName(u.Name) {
			return true
		}
	}
	return false
}

// authToken stands for a filter in the keys of the map of users.
func authToken(id string, place int) string { return "a" + digest("auth", id, itoa(place)) }
