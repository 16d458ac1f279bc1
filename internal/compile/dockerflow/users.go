package dockerflow

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// userList reads users in the form of Docker Flow: names, with a password behind the first
// colon or none, separated by commas or lines. Entries with an empty half are skipped.
func userList(text string) []route.User {
	var users []route.User
	for entry := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		name, password, colon := strings.Cut(strings.TrimSpace(entry), ":")
		name, password = strings.TrimSpace(name), strings.TrimSpace(password)
		if name == "" || colon && password == "" {
			continue
		}
		users = append(users, route.User{Name: name, Hash: password})
	}
	return users
}

// ParseUsers reads users as Docker Flow has them in USERS and in secrets, without those
// that have no password; never nil. With encrypted all passwords are hashes; else those
// without a form of route.User.Hash are hashed, with a salt made of owner and the name.
func ParseUsers(owner, text string, encrypted bool) []route.User {
	users := []route.User{}
	for _, u := range userList(text) {
		if u.Hash != "" {
			users = append(users, hashUser(owner, u, encrypted || isHash(u.Hash)))
		}
	}
	return sortUsers(users)
}

// hashUser hashes the password of a user. The salt is the same every time, so that
// equal labels make equal tables.
func hashUser(owner string, u route.User, encrypted bool) route.User {
	if encrypted || strings.HasPrefix(u.Hash, userhash.SaltedSHA256) {
		return u
	}
	salt := sha256.Sum256([]byte(owner + "\x00" + u.Name))
	u.Hash = userhash.Of(hex.EncodeToString(salt[:8]), u.Hash)
	return u
}

// sortUsers sorts users by name; of several with the same name the first stays.
func sortUsers(users []route.User) []route.User {
	slices.SortStableFunc(users, func(a, b route.User) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(users, func(a, b route.User) bool { return a.Name == b.Name })
}

// hashed writes a list of users again, without a password in clear text.
func (l *labelSet) hashed(text string) string {
	encrypted := false
	if e := l.get("usersPassEncrypted", 0); e != nil {
		encrypted, _ = readBool(e.value)
	}
	var entries []string
	for _, u := range userList(text) {
		if u.Hash == "" {
			entries = append(entries, u.Name)
			continue
		}
		entries = append(entries, u.Name+":"+hashUser(l.service, u, encrypted).Hash)
	}
	return strings.Join(entries, ",")
}

// basicAuth reads who may use the service: its own users in the place of the
// global ones. Where users were asked for and none is known, no user is let in.
func (d *dest) basicAuth() *route.BasicAuth {
	if d.bool("ignoreAuthorization") {
		return nil
	}
	encrypted := d.bool("usersPassEncrypted")
	text, secret := d.text("users"), d.text("usersSecret")
	if text == "" && secret == "" {
		if d.Users == nil {
			return nil
		}
		return &route.BasicAuth{Realm: "defaultRealm", Users: d.Users, Strip: true}
	}
	auth := &route.BasicAuth{Realm: d.service + "Realm", Strip: true}
	if chars.HasControl(auth.Realm) || strings.ContainsAny(auth.Realm, `"\`) {
		auth.Realm = "serviceRealm"
	}
	if secret != "" && strings.ContainsAny(secret, "/\\ \t") {
		d.fault("usersSecret", draft.Bad("", "%s is not the name of a secret", chars.Excerpt(secret)))
		return auth
	}
	if text == "" {
		d.UserLabel = d.raw("usersSecret")
		auth.File, auth.Clear = SecretsDir+"/dfp_users_"+secret, !encrypted
		return auth
	}
	known, where := d.Users, "the global users"
	if secret != "" {
		known, where = d.Secrets[secret], "the secret dfp_users_"+chars.Printable(secret)
	}
	for _, u := range userList(text) {
		if u.Hash == "" {
			i := slices.IndexFunc(known, func(k route.User) bool { return strings.EqualFold(k.Name, u.Name) })
			if i < 0 {
				d.note("users", draft.Refuse(route.CodeIncomplete, "a user without a password is not one of "+where, "add the user there"))
				continue
			}
			u.Hash = known[i].Hash
		} else if encrypted && !isHash(u.Hash) {
			d.fault("users", draft.Bad("use mkpasswd -m sha-512 or htpasswd -B, or leave usersPassEncrypted out", "a password is not encrypted in a way that is known"))
			continue
		} else {
			u = hashUser(d.service, u, encrypted)
		}
		auth.Users = append(auth.Users, u)
	}
	auth.Users = sortUsers(auth.Users)
	return auth
}

// isHash says whether a password has one of the forms of route.User.Hash.
func isHash(s string) bool {
	return slices.ContainsFunc([]string{"$1$", "$apr1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "{SHA}", userhash.SaltedSHA256}, func(form string) bool {
		return strings.HasPrefix(s, form)
	})
}
