package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"text/template/parse"
	"time"
	"unicode"
	"unicode/utf8"
)

//go:embed templates/*.html
var templateFiles embed.FS

// exact are the functions whose result goes into an attribute as it is. What ends
// with any other goes through show.
func exact() map[string]bool {
	return map[string]bool{"attr": true, "link": true, "key": true, "lines": true, "ids": true, "class": true}
}

// parseTemplates parses the layout and the parts with each page.
func parseTemplates(a *assets) (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(functions(a)).ParseFS(templateFiles, "templates/_*.html")
	if err != nil {
		return nil, err
	}
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	all := map[string]*template.Template{}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".html")
		if strings.HasPrefix(name, "_") {
			continue
		}
		t, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if t, err = t.ParseFS(templateFiles, "templates/"+e.Name()); err != nil {
			return nil, err
		}
		for _, part := range t.Templates() {
			if part.Tree != nil {
				harden(part.Tree.Root)
			}
		}
		all[name] = t
	}
	return all, nil
}

// harden lets every value that a template writes go through show, so that nobody
// has to think of it.
func harden(node parse.Node) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, child := range n.Nodes {
				harden(child)
			}
		}
	case *parse.IfNode:
		harden(n.List)
		harden(n.ElseList)
	case *parse.RangeNode:
		harden(n.List)
		harden(n.ElseList)
	case *parse.WithNode:
		harden(n.List)
		harden(n.ElseList)
	case *parse.ActionNode:
		if len(n.Pipe.Decl) > 0 || isExact(n.Pipe) {
			return
		}
		show := parse.NewIdentifier("show").SetPos(n.Pos).SetTree(nil)
		n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{show}})
	}
}

// isExact is true for a pipeline that ends with a function of exact, or with show
// itself: a tree that pages share is hardened once for each.
func isExact(p *parse.PipeNode) bool {
	last, ok := p.Cmds[len(p.Cmds)-1].Args[0].(*parse.IdentifierNode)
	return ok && (exact()[last.Ident] || last.Ident == "show")
}

// functions are what templates can call.
func functions(a *assets) template.FuncMap {
	return template.FuncMap{
		"show":   show,
		"attr":   func(s string) string { return s },
		"link":   link,
		"key":    key,
		"lines":  showLines,
		"asset":  func(name string) string { return a.prefix + name },
		"ago":    ago,
		"when":   when,
		"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"plural": plural,
		"bytes":  showBytes,
		"dict":   dict,
		"pick":   pick,
		"ids":    ids,
		"class":  class,
		"join":   strings.Join,
	}
}

// maxShown is how many characters of a value are shown.
const maxShown = 160

// show makes a value fit to be read: what one cannot see is written as an escape,
// and what is too long is cut. Numbers stay as they are.
func show(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	return visible(s, maxShown, false)
}

// maxLines is how many characters of a text of several lines are shown.
const maxLines = 1 << 20

// showLines is show for texts of several lines: line ends and tabs stay.
func showLines(s string) string { return visible(s, maxLines, true) }

// visible writes what one cannot see as escapes, and cuts what is longer than
// most characters.
func visible(s string, most int, lines bool) string {
	clean := true
	n := 0
	for _, r := range s {
		if n++; n > most || !plain(r, lines) {
			clean = false
			break
		}
	}
	if clean && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	n = 0
	for i, r := range s {
		if n++; n > most {
			fmt.Fprintf(&b, "… (%d bytes)", len(s))
			break
		}
		switch {
		case plain(r, lines) && (r != utf8.RuneError || strings.HasPrefix(s[i:], "\uFFFD")):
			b.WriteRune(r)
		case r == utf8.RuneError:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// plain is true for what can be seen where it stands. What changes the direction
// of what follows is not.
func plain(r rune, lines bool) bool {
	return unicode.IsPrint(r) || lines && (r == '\n' || r == '\t')
}

// maxLink is the length of an ID from which on links have a digest of it in its
// place: what is longer could not be asked for.
const maxLink = 512

// link is the path of a page about one thing: link "services" ID.
func link(page, id string) string {
	if len(id) > maxLink || id == "" || strings.HasPrefix(id, "~") || id == "." || id == ".." || strings.Contains(id, "/") {
		id = "~" + key(id)
	}
	return "/" + page + "/" + url.PathEscape(id)
}

// named tells whether the last part of a link means the thing with this ID.
func named(part, id string) bool {
	digest, ok := strings.CutPrefix(part, "~")
	return part == id || ok && digest == key(id)
}

// key is a short name that stands for an ID in attributes and links.
func key(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}

// ago says how long ago something was, coarsely.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(now.Sub(t))
}

// span is a duration in one unit.
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " d"
	}
}

// when is a point in time for people.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// plural is a number with its word: plural 2 "route".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	if strings.HasSuffix(word, "y") {
		return strconv.Itoa(n) + " " + strings.TrimSuffix(word, "y") + "ies"
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// showBytes is a number of bytes with three digits at most.
func showBytes(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	f, unit := float64(n), 0
	for f >= 1023.5 && unit < 5 {
		f /= 1024
		unit++
	}
	digits := 1
	if f >= 10 {
		digits = 0
	}
	return strconv.FormatFloat(math.Round(f*10)/10, 'f', digits, 64) + " " + string(" KMGTP"[unit]) + "iB"
}

// dict makes a map of names and values, for templates with more than one
// argument.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: %d arguments", len(pairs))
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: argument %d is no name", i)
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// pick is one text or the other.
func pick(first bool, one, other string) string {
	if first {
		return one
	}
	return other
}

// ids are the IDs of routes as a list that script can read.
func ids(routes []*routeOf) string {
	all := make([]string, len(routes))
	for i, r := range routes {
		all[i] = r.ID
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "[]" // strings always encode
	}
	return string(text)
}

var word = regexp.MustCompile(`^[a-z][a-z-]{0,30}$`)

// class is a word of ours as a part of the name of a class; what is no such word is
// none.
func class(s string) string {
	if word.MatchString(s) {
		return s
	}
	return "other"
}
