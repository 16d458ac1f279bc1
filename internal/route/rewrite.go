package route

import (
	"fmt"
	"regexp"
	"strings"

	"fairway/internal/route/canonical"
)

// PathRewriter is a RewritePath that is ready for paths, for any number of goroutines.
type PathRewriter struct {
	search *regexp.Regexp
	pieces []piece
}

// piece is a part of a replacement: literal text, or a group when text is empty.
type piece struct {
	text  string
	group int
}

// Compile checks search and replacement and makes a rewriter of them.
func (r RewritePath) Compile() (*PathRewriter, error) {
	re, err := compileRegexp(r.Search)
	if err != nil {
		return nil, fmt.Errorf("rewrite-path: %w", err)
	}
	w := &PathRewriter{search: re}
	for rest := r.Replace; rest != ""; {
		text, after, found := strings.Cut(rest, `\`)
		if text != "" {
			w.pieces = append(w.pieces, piece{text: text})
		}
		if !found {
			break
		}
		p, ok := escapedPiece(after)
		if !ok || p.group > re.NumSubexp() {
			return nil, fmt.Errorf("rewrite-path: replacement %s: a backslash is not followed by the number of a group or a backslash", excerpt(r.Replace))
		}
		w.pieces, rest = append(w.pieces, p), after[1:]
	}
	return w, nil
}

func escapedPiece(s string) (piece, bool) {
	switch {
	case s == "":
		return piece{}, false
	case s[0] == '\\':
		return piece{text: `\`}, true
	case '0' <= s[0] && s[0] <= '9':
		return piece{group: int(s[0] - '0')}, true
	}
	return piece{}, false
}

// Path returns the path with the first match replaced, in canonical form, and path
// itself when there is none. Runs of slashes are one slash to the expression, so that
// one more does not get a request past it. The error is canonical.ReadPath's.
func (w *PathRewriter) Path(sent string) (string, error) {
	path := canonical.MergeSlashes(sent)
	at := w.search.FindStringSubmatchIndex(path)
	if at == nil {
		return sent, nil
	}
	var b strings.Builder
	b.WriteString(path[:at[0]])
	for _, p := range w.pieces {
		if p.text != "" {
			b.WriteString(p.text)
		} else if from, to := at[2*p.group], at[2*p.group+1]; from >= 0 {
			b.WriteString(path[from:to])
		}
	}
	b.WriteString(path[at[1]:])
	p, err := canonical.ReadPath(b.String())
	return p.Canonical, err
}
