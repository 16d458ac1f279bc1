package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template/parse"
	"time"

	"fairway/internal/admin/ui/assets"
	"fairway/internal/admin/ui/compare"
	"fairway/internal/admin/ui/export"
	"fairway/internal/admin/ui/happened"
	"fairway/internal/admin/ui/labelref"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/human"
)

//go:embed templates/*.html
var templateFiles embed.FS

// templates has the template of each page, by its name. One is parsed when it is first
// shown: together with the parts that all have, they take 10 MB.
func templates(a *assets.Assets) (map[string]func() (*template.Template, error), error) {
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	all := map[string]func() (*template.Template, error){}
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".html"); !strings.HasPrefix(name, "_") {
			all[name] = sync.OnceValues(func() (*template.Template, error) { return parseTemplate(a, e.Name()) })
		}
	}
	return all, nil
}

func parseTemplate(a *assets.Assets, file string) (*template.Template, error) {
	t, err := template.New("").Funcs(functions(a)).ParseFS(templateFiles, "templates/_*.html", "templates/"+file)
	if err != nil {
		return nil, err
	}
	for _, part := range t.Templates() {
		if part.Tree != nil {
			harden(part.Tree.Root)
		}
	}
	return t, nil
}

// harden lets every value of a template go through show, but for what isExact excepts.
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

// isExact is true where the last function's result goes into an attribute as it is.
func isExact(p *parse.PipeNode) bool {
	last, ok := p.Cmds[len(p.Cmds)-1].Args[0].(*parse.IdentifierNode)
	return ok && slices.Contains([]string{"attr", "link", "key", "lines", "long", "ids", "class"}, last.Ident)
}

func functions(a *assets.Assets) template.FuncMap {
	return template.FuncMap{
		"show":    show,
		"attr":    func(s string) string { return s },
		"link":    link,
		"key":     key,
		"lines":   func(s string) string { return human.Lines(s, maxLines) },
		"long":    func(s string) string { return human.Excerpt(s, maxLong) },
		"marked":  labelref.Parts,
		"project": projectLink,
		"label":   labelLink,
		"asset":   func(name string) string { return a.Prefix + name },
		"ago":     ago,
		"when":    func(t time.Time) string { return strings.TrimSuffix(human.Time(t), "Z") },
		"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"plural":  human.Plural,
		"dict":    dict,
		"pick":    pick,
		"left":    lifeLeft,
		"path":    url.PathEscape,
		"ids":     ids,
		"class":   class,
		"join":    strings.Join,
		"upper":   strings.ToUpper,
		"formats": export.Formats,
		"health":  signs.Word,
		"state":   stateOf,
		"source":  sourceHealth,
		"sign":    sign,
		"rule":    happened.RuleSign,
		"rest":    textAfterName,
		"subject": subjectLink,
		"unified": compare.Unified,
	}
}

// How many characters of a value and of a text of several lines are shown.
const (
	maxShown = 160
	maxLines = 1 << 20
	maxLong  = 1000 // of errors
)

// show escapes what cannot be seen in a text and cuts what is too long.
func show(v any) any {
	if s, ok := v.(string); ok {
		return human.Excerpt(s, maxShown)
	}
	return v
}

// heading is show for the title of a page.
func heading(s string) string { return human.Excerpt(s, 80) }

// maxLink is the longest ID in a link; a longer one has a digest in its place.
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
	if t.IsZero() {
		return "never"
	}
	return human.Age(now.Sub(t))
}

// dict is names and values, for templates with more than one argument.
func dict(pairs ...any) map[string]any {
	m := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0].(string)] = pair[1] // a template with other pairs fails
	}
	return m
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
	text, _ := json.Marshal(all) // strings always encode
	return string(text)
}

var word = regexp.MustCompile(`^[a-z][a-z-]{0,30}$`)

// class is a word of Fairway's own as a part of the name of a class.
func class(s string) string {
	if word.MatchString(s) {
		return s
	}
	return "other"
}
