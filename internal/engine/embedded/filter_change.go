package embedded

import (
	"context"
	"net/http"
	"strings"

	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

func stripPrefix(prefix string) filter {
	return func(_ context.Context, q *request) *answer {
		if rest, ok := cutPrefix(q.path, prefix); ok && prefix != "/" {
			q.path, q.prefix = rest, prefix
		}
		return nil
	}
}

// cutPrefix takes the prefix off a path, on a segment boundary. In the path runs of
// slashes count as one; what is left begins with one slash.
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
	return route.OneFrontSlash(path), true
}

func addPrefix(prefix string) filter {
	prefix = strings.TrimSuffix(prefix, "/")
	return func(_ context.Context, q *request) *answer {
		q.path = prefix + q.path
		return nil
	}
}

// rewritePath replaces a part of the path that is sent. A result that is no path is
// refused: with another request the label makes one.
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

// headerChange is a route.HeaderOperation made ready. Headers that frame messages are
// left out.
type headerChange struct {
	route.HeaderOperation
	names []string // that are removed or set, canonical
}

func newHeaderChange(op *route.HeaderOperation) *headerChange {
	c := &headerChange{HeaderOperation: op.WithoutFraming()}
	for _, name := range c.Remove {
		c.names = append(c.names, http.CanonicalHeaderKey(name))
	}
	for _, v := range c.Set {
		c.names = append(c.names, http.CanonicalHeaderKey(v.Name))
	}
	return c
}

// apply changes h. A header that is removed or set also loses its lookalikes
// with underscores, which some backends take for it.
func (c *headerChange) apply(h http.Header) {
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
