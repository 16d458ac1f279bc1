package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"text/template/parse"
	"time"

	"fairway/internal/human"
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

// harden lets every value that a template writes go through show, so that no
// template has to.
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
		"lines":  func(s string) string { return human.Lines(s, maxLines) },
		"asset":  func(name string) string { return a.prefix + name },
		"ago":    ago,
		"when":   when,
		"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"plural": human.Plural,
		"bytes":  human.Bytes,
		"dict":   dict,
		"pick":   pick,
		"ids":    ids,
		"class":  class,
		"join":   strings.Join,
	}
}

// maxShown and maxLines are how many characters of a value, and of a text of several
// lines, are shown.
const (
	maxShown = 160
	maxLines = 1 << 20
)

// show makes a value fit to be read: what one cannot see is written as an escape,
// and what is too long is cut. Numbers stay as they are.
func show(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	return human.Excerpt(s, maxShown)
}

// heading is show for the title of a page.
func heading(s string) string { return human.Excerpt(s, 80) }

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

// named says whether the last part of a link means the thing with this ID.
func named(part, id string) bool {
	digest, ok := strings.CutPrefix(part, "~")
	return part == id || ok && digest == key(id)
}

// key is a short name that stands for an ID in attributes and links.
func key(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}

// ago says how long ago something was, in one unit.
func ago(now, t time.Time) string {
	d := max(now.Sub(t), 0)
	switch {
	case t.IsZero():
		return "never"
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

// when is a point in time for people, in UTC.
func when(t time.Time) string { return strings.TrimSuffix(human.Time(t), "Z") }

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
