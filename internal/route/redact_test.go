package route

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fairway/internal/route/userhash"
)

// TestSecretsMaskThemselves: whatever prints or logs a part of a table, in whatever way,
// shows no secret of it.
func TestSecretsMaskThemselves(t *testing.T) {
	const canary = "canary-7f3a"
	header := HeaderValue{"X-Api-Key", canary}
	operation := &HeaderOperation{Set: []HeaderValue{header}, Add: []HeaderValue{header}}
	user := User{"ann", userhash.Of("salt", canary) + canary}
	auth := &BasicAuth{Users: []User{user}}
	snippet := &Snippet{Lines: []string{"http-request set-header Authorization " + canary}}
	condition := Condition{Kind: ConditionHeader, Name: "Authorization", Values: []string{canary}}
	match := Match{Host: Host{Kind: HostAny}, Path: Path{PathPrefix, "/"}, Conditions: []Condition{condition}}
	health := &Health{Path: "/health?token=" + canary, Headers: []HeaderValue{header}}
	backend := &Backend{ID: "b", Scheme: SchemeHTTP, Health: health}
	r := &Route{ID: "r", Backend: "b", Matches: []Match{match}, Filters: []Filter{
		{RequestHeaders: operation}, {ResponseHeaders: operation}, {BasicAuth: auth}, {Snippet: snippet},
	}, Origin: Origin{Labels: map[string]string{"fairway.basic-auth": canary}}}
	table, err := New(1, nil, []*Route{r}, []*Backend{backend}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []any{
		table, *table, r, *r, backend, *backend, match, condition, r.Filters, r.Filters[0], r.Filters[2], operation, *operation, header,
		auth, *auth, user, snippet, *snippet, health, *health, table.Routes, table.Backends,
	} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "value", value)
		for _, text := range []string{fmt.Sprint(value), fmt.Sprintf("%+v", value), fmt.Errorf("%v", value).Error(), log.String()} {
			if strings.Contains(text, canary) {
				t.Errorf("%T shows a secret: %s", value, text)
			}
		}
		if _, list := value.([]Filter); list || fmt.Sprintf("%T", value)[0] == '[' {
			continue // a list is logged as JSON as what it is
		}
		log.Reset()
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "value", value)
		if strings.Contains(log.String(), canary) {
			t.Errorf("%T logs a secret: %s", value, log.String())
		}
	}
}

// TestCallersOfText: Text has the secrets of a table. The packages here compare texts,
// or make engines of them; everybody else asks for String.
func TestCallersOfText(t *testing.T) {
	allowed := regexp.MustCompile(`^internal/(route|compile(/.+)?|control|engine/enginetest)$`)
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files := gotoken.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		imports := slices.ContainsFunc(f.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"fairway/internal/route"` })
		if !imports || allowed.MatchString(filepath.ToSlash(dir)) {
			return nil
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) > 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Text" {
				return true
			}
			if of, ok := sel.X.(*ast.Ident); !ok || of.Name != "rand" {
				t.Errorf("%s: Text shows secrets: use String, or add the package with its reason", files.Position(n.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
