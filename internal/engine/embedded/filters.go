package embedded

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/users"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
	"fairway/internal/route/canonical"
	"fairway/internal/route/field"
)

// add makes a filter ready, in the order of the table: a check is never passed by.
func (c *compiledRoute) add(e *Engine, f *route.Filter, before *liveRoute) {
	switch {
	case f.Maintenance != nil:
		c.filters = append(c.filters, maintenance(f.Maintenance))
	case f.IPAllow != nil:
		c.filters = append(c.filters, ipAllow(f.IPAllow.Prefixes))
	case f.Methods != nil:
		c.filters = append(c.filters, methods(*f.Methods))
	case f.RequireTLS != nil:
		c.filters = append(c.filters, requireTLS)
	case f.RequireClientCert != nil:
		c.filters = append(c.filters, requireClientCert)
	case f.RateLimit != nil:
		l := before.limiterFor(*f.RateLimit)
		c.limiters = append(c.limiters, l)
		c.filters = append(c.filters, limitRate(l))
	case f.MaxBody != nil:
		c.filters = append(c.filters, maxBody(f.MaxBody.Bytes))
	case f.RedirectHTTPS != nil:
		c.filters = append(c.filters, redirectHTTPS(*f.RedirectHTTPS))
	case f.Redirect != nil:
		c.filters = append(c.filters, redirect(*f.Redirect))
	case f.BasicAuth != nil:
		c.filters = append(c.filters, e.basicAuth(f.BasicAuth))
	case f.StripPrefix != nil:
		c.filters = append(c.filters, stripPrefix(f.StripPrefix.Prefix))
	case f.AddPrefix != nil:
		c.filters = append(c.filters, addPrefix(f.AddPrefix.Prefix))
	case f.RewritePath != nil:
		c.filters = append(c.filters, rewritePath(*f.RewritePath))
	case f.RequestHeaders != nil:
		c.requestHeaders = append(c.requestHeaders, newHeaderChange(f.RequestHeaders))
	case f.ResponseHeaders != nil:
		c.responseHeaders = append(c.responseHeaders, newHeaderChange(f.ResponseHeaders))
	case f.Compress != nil:
		c.compress = true
	default:
		// A filter that this engine does not know might be a check: nothing passes.
		c.filters = append(c.filters, refuse)
	}
}

// refuse answers for a route that may not be served. The reason is in the table,
// for the operator; it may name files, and clients do not get it.
func refuse(context.Context, *request) *answer {
	return &answer{
		status: http.StatusServiceUnavailable, code: "route-refused",
		text: "the route is known but may not be served; see the problems of the service",
	}
}

// maintenance answers for a service that is not to be used, but for clients that may.
func maintenance(m *route.Maintenance) filter {
	allowed := ipAllow(m.Allow)
	return func(ctx context.Context, q *request) *answer {
		if allowed(ctx, q) == nil {
			return nil
		}
		return &answer{
			status: http.StatusServiceUnavailable, code: errorpage.CodeMaintenance, text: m.Message,
			header: []route.HeaderValue{{Name: "Retry-After", Value: m.RetryAfter()}},
		}
	}
}

// ipAllow refuses clients outside the prefixes, and those without an address.
func ipAllow(prefixes []netip.Prefix) filter {
	unmapped := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		unmapped[i] = route.UnmappedPrefix(p)
	}
	return func(_ context.Context, q *request) *answer {
		for _, p := range unmapped {
			if p.Contains(q.Client) {
				return nil
			}
		}
		return &answer{status: http.StatusForbidden, code: "ip-not-allowed", text: "this address is not allowed here"}
	}
}

// maxBody refuses a body that is announced as too large; the transport stops others.
func maxBody(bytes int64) filter {
	return func(_ context.Context, q *request) *answer {
		if q.length > bytes {
			return bodyTooLarge()
		}
		if q.maxBody < 0 || bytes < q.maxBody {
			q.maxBody = bytes
		}
		return nil
	}
}

func bodyTooLarge() *answer {
	return &answer{status: http.StatusRequestEntityTooLarge, code: "body-too-large", text: "the request body is too large"}
}

func methods(f route.Methods) filter {
	return func(_ context.Context, q *request) *answer {
		if len(f.Allow) > 0 && !slices.Contains(f.Allow, q.Method) || slices.Contains(f.Deny, q.Method) {
			return &answer{status: http.StatusForbidden, code: "method-not-allowed", text: "this method is not allowed here"}
		}
		return nil
	}
}

func requireTLS(_ context.Context, q *request) *answer {
	if q.TLS {
		return nil
	}
	return &answer{status: http.StatusForbidden, code: "tls-required", text: "this is served over TLS only"}
}

func requireClientCert(_ context.Context, q *request) *answer {
	if q.certified {
		return nil
	}
	return noCertificate()
}

func noCertificate() *answer {
	return &answer{status: http.StatusForbidden, code: "certificate-required", text: "a client certificate is needed"}
}

// insecure says whether a request counts as one that came without TLS.
func insecure(f route.RedirectHTTPS, q *request) bool {
	switch f.Forwarded {
	case route.ForwardedWhenHTTP:
		return q.identity.Told == "http"
	case route.ForwardedUnlessHTTPS:
		return q.identity.Told != "https"
	}
	return !q.TLS
}

func redirectHTTPS(f route.RedirectHTTPS) filter {
	port := ""
	if f.Port != 0 && f.Port != 443 {
		port = ":" + strconv.Itoa(int(f.Port))
	}
	return func(_ context.Context, q *request) *answer {
		if !insecure(f, q) {
			return nil
		}
		status := f.Status
		switch {
		case status != 0:
		case q.Method == http.MethodGet || q.Method == http.MethodHead:
			status = http.StatusMovedPermanently
		default:
			status = http.StatusPermanentRedirect
		}
		if q.Host == "" {
			return hostless()
		}
		return location(status, "https://"+arrival.Bracketed(q.Host)+port+q.pathAndQuery(canonical.OneFrontSlash(q.path)))
	}
}

func redirect(f route.Redirect) filter {
	return func(_ context.Context, q *request) *answer {
		own := "http"
		if q.TLS {
			own = "https"
		}
		scheme, host, path := f.Scheme, f.Host, f.Path
		if scheme == "" {
			scheme = own
		}
		if host == "" {
			host = q.authority()
			if host == "" {
				return hostless()
			}
			if scheme != own {
				host = arrival.Bracketed(q.Host) // the port belongs to the other scheme
			}
		}
		if path == "" {
			path = canonical.OneFrontSlash(q.path)
		}
		return location(f.Status, scheme+"://"+host+q.pathAndQuery(path))
	}
}

// hostless is for a request of HTTP/1.0, which need not name one.
func hostless() *answer {
	return &answer{status: http.StatusBadRequest, code: "bad-host", text: "the request names no host to redirect to"}
}

func location(status int, url string) *answer {
	return &answer{status: status, header: []route.HeaderValue{{Name: "Location", Value: url}}}
}

func (q *request) pathAndQuery(path string) string {
	if q.Query == "" && !q.bareQuery {
		return path
	}
	return path + "?" + q.Query
}

func stripPrefix(prefix string) filter {
	return func(_ context.Context, q *request) *answer {
		if rest, ok := cutPrefix(q.path, prefix); ok && prefix != "/" {
			q.path, q.prefix = rest, prefix
		}
		return nil
	}
}

// cutPrefix takes the prefix off a path, in which runs of slashes count as one.
func cutPrefix(path, prefix string) (rest string, ok bool) {
	for i := range len(prefix) {
		if path == "" || path[0] != prefix[i] {
			return "", false
		}
		if path = path[1:]; prefix[i] == '/' {
			path = strings.TrimLeft(path, "/")
		}
	}
	if path != "" && path[0] != '/' {
		return "", false
	}
	return canonical.OneFrontSlash(path), true
}

func addPrefix(prefix string) filter {
	prefix = strings.TrimSuffix(prefix, "/")
	return func(_ context.Context, q *request) *answer {
		q.path = prefix + q.path
		return nil
	}
}

// rewritePath replaces a part of the path that is sent.
func rewritePath(f route.RewritePath) filter {
	w, err := f.Compile()
	if err != nil {
		return refuse
	}
	return func(_ context.Context, q *request) *answer {
		path, err := w.Path(q.path)
		if err != nil {
			return &answer{status: http.StatusBadRequest, code: "bad-path", text: "the rewritten " + err.Error()}
		}
		q.path = path
		return nil
	}
}

// headerChange is a route.HeaderOperation made ready, without headers of framing.
type headerChange struct {
	route.HeaderOperation
	names []string // that are removed or set, canonical
}

func newHeaderChange(op *route.HeaderOperation) *headerChange {
	c := &headerChange{HeaderOperation: op.WithoutFraming()}
	c.names = c.Replaced()
	return c
}

// apply changes h. A header that is removed or set also loses its lookalikes
// with underscores, which some backends take for it.
func (c *headerChange) apply(h *field.List) {
	for _, name := range c.names {
		arrival.DropLookalikes(h, name)
	}
	for _, name := range c.Remove {
		h.Del(name)
	}
	for _, v := range c.Set {
		h.Set(v.Name, v.Value)
	}
	for _, v := range c.Add {
		h.Add(v.Name, v.Value)
	}
}

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
			q.stripped = q.header.Get("Authorization")
			q.header.Del("Authorization")
		}
		return nil
	}
}

// basicCredentials reads the one Authorization header there may be.
func basicCredentials(h field.List) (name, password string, ok bool) {
	if h.Count("Authorization") != 1 {
		return "", "", false
	}
	r := http.Request{Header: http.Header{"Authorization": {h.Get("Authorization")}}}
	name, password, ok = r.BasicAuth()
	return name, password, ok && len(password) <= maxPassword
}

// maxPassword is the most bytes of a password, which a hash costs by, as in libxcrypt.
const maxPassword = 512
