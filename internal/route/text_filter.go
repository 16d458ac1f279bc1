package route

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Text returns the filter in one line, beginning with its name. Of a user it has
// the name and a digest of the hash.
func (f Filter) Text() string {
	var w words
	f.checks(&w)
	f.answers(&w)
	f.changes(&w)
	return w.String()
}

// checks adds the filters that refuse requests.
func (f *Filter) checks(w *words) {
	if v := f.IPAllow; v != nil {
		w.add("ip-allow", prefixes(v.Prefixes))
	}
	if v := f.Methods; v != nil {
		w.add("methods")
		if len(v.Allow) > 0 {
			w.add("allow", tokens(v.Allow))
		}
		if len(v.Deny) > 0 {
			w.add("deny", tokens(v.Deny))
		}
	}
	if f.RequireTLS != nil {
		w.add("require-tls")
	}
	if f.RequireClientCert != nil {
		w.add("require-client-cert")
	}
	if v := f.RateLimit; v != nil {
		w.add("rate-limit", strconv.Itoa(v.Requests), "per", v.Per.String(), "burst", strconv.Itoa(v.Burst))
	}
	if v := f.MaxBody; v != nil {
		w.add("max-body", strconv.FormatInt(v.Bytes, 10))
	}
}

// answers adds the filters that answer requests themselves.
func (f *Filter) answers(w *words) {
	if v := f.RedirectHTTPS; v != nil {
		w.add("redirect-https")
		if v.Port != 0 {
			w.add("port", strconv.Itoa(int(v.Port)))
		}
		if v.Status != 0 {
			w.add("status", strconv.Itoa(v.Status))
		}
		w.optional("forwarded", string(v.Forwarded))
	}
	if v := f.Redirect; v != nil {
		w.add("redirect", strconv.Itoa(v.Status))
		w.optional("scheme", v.Scheme)
		w.optional("host", v.Host)
		w.optional("path", v.Path)
	}
	if v := f.BasicAuth; v != nil {
		w.add("basic-auth")
		if v.File != "" {
			w.add(token(v.File))
		}
		if v.Clear {
			w.add("clear")
		}
		w.add("realm", token(v.Realm))
		for _, u := range v.Users {
			w.add("user", token(u.Name), digestOf(u.Hash))
		}
		if v.Strip {
			w.add("strip")
		}
	}
}

// changes adds the filters that change requests and answers.
func (f *Filter) changes(w *words) {
	if v := f.StripPrefix; v != nil {
		w.add("strip-prefix", token(v.Prefix))
	}
	if v := f.AddPrefix; v != nil {
		w.add("add-prefix", token(v.Prefix))
	}
	if v := f.RewritePath; v != nil {
		w.add("rewrite-path", strconv.Quote(v.Search), "to", token(v.Replace))
	}
	if v := f.RequestHeaders; v != nil {
		w.add("request-headers")
		w.headers(v)
	}
	if v := f.ResponseHeaders; v != nil {
		w.add("response-headers")
		w.headers(v)
	}
	if f.Compress != nil {
		w.add("compress")
	}
	if v := f.Snippet; v != nil {
		w.add("snippet")
		for _, line := range v.Lines {
			w.add(strconv.Quote(line))
		}
	}
}

// digestOf is short enough for people and long enough that two hashes of one user
// do not meet.
func digestOf(hash string) string {
	if hash == Masked {
		return hash
	}
	sum := sha256.Sum256([]byte(hash))
	return hex.EncodeToString(sum[:8])
}
