package embedded

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"fairway/internal/engine/users"
	"fairway/internal/route"
)

func (e *Engine) basicAuth(a *route.BasicAuth) filter {
	realm := strings.NewReplacer(`"`, "", `\`, "", "\r", "", "\n", "").Replace(cmp.Or(a.Realm, "restricted"))
	challenge := &answer{
		status: http.StatusUnauthorized, code: "unauthorized", text: "user and password are needed",
		header: []route.HeaderValue{{Name: "Www-Authenticate", Value: `Basic realm="` + realm + `", charset="UTF-8"`}},
	}
	unreadable := &answer{status: http.StatusServiceUnavailable, code: "auth-unavailable", text: "the users of this route cannot be read"}
	busy := unavailable("auth-busy", "too many passwords to check")
	own := users.NewSet(a.Users)
	var file *users.File
	if a.File != "" {
		file = e.users.File(users.NameOf(a))
	}
	return func(ctx context.Context, q *request) *answer {
		asked := own
		var inFile *users.Set
		if file != nil {
			if inFile = file.Content().Logins(); inFile == nil {
				return unreadable
			}
		}
		name, password, ok := basicCredentials(q.header)
		if !ok {
			return challenge
		}
		if inFile != nil && !own.Has(name) {
			asked = inFile
		}
		switch right, err := e.passwords.Verify(ctx, asked, name, password); {
		case err != nil:
			return busy
		case !right:
			return challenge
		}
		if a.Strip {
			q.stripped = q.header["Authorization"]
			delete(q.header, "Authorization")
		}
		return nil
	}
}

// basicCredentials reads the one Authorization header there may be.
func basicCredentials(h http.Header) (name, password string, ok bool) {
	r := http.Request{Header: h}
	name, password, ok = r.BasicAuth()
	return name, password, ok && len(h["Authorization"]) == 1 && len(password) <= maxPassword
}

// maxPassword is the most bytes of a password, which a hash costs by, as in libxcrypt.
const maxPassword = 512
