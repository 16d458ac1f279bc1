package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/api"
)

// openAPIFile is the document that package api embeds.
const openAPIFile = "../api/openapi.json"

// TestOpenAPI holds the document to the operations, to their wire types with the
// comments on these, and to docs/api.md; -update writes it anew.
func TestOpenAPI(t *testing.T) {
	s := newServer(t, options(t, newWorld(t)))
	got, err := json.MarshalIndent(newDocument(t).document(s.operations()), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(openAPIFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(api.OpenAPI()), string(got)); diff != "" {
		t.Errorf("%s (-want +got; rewrite with -update):\n%s", openAPIFile, diff)
	}
	// The example needs this document alone.
	example, err := os.ReadFile("../../docs/examples/drain.py")
	if err != nil {
		t.Fatal(err)
	}
	called := regexp.MustCompile(`api\.call\("(\w+)"`).FindAllSubmatch(example, -1)
	for _, m := range called {
		if !bytes.Contains(got, []byte(`"operationId": "`+string(m[1])+`"`)) {
			t.Errorf("docs/examples/drain.py calls %s, which is no operation", m[1])
		}
	}
	if len(called) == 0 {
		t.Error("docs/examples/drain.py calls nothing")
	}
	rec := ask(t, s, "GET", "/v1/openapi.json", nil)
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "application/json" || !bytes.Equal(rec.Body.Bytes(), api.OpenAPI()) {
		t.Errorf("it is served with %d and %s", rec.Code, rec.Header().Get("Content-Type"))
	}
}

// object is a JSON object; keys are sorted when it is written.
type object = map[string]any

// documenter makes the document.
type documenter struct {
	schemas  object
	types    map[string]reflect.Type // of the schemas
	bodies   bool                    // schemas are those of bodies, which may have no other fields
	comments map[string]string       // of types ("Route") and fields ("Route.ID")
	sections map[string]string       // of docs/api.md, by title
}

func newDocument(t *testing.T) *documenter {
	t.Helper()
	d := &documenter{schemas: object{}, types: map[string]reflect.Type{}, comments: map[string]string{}, sections: sectionsOf(t)}
	files, err := filepath.Glob("../api/*.go")
	if more, _ := filepath.Glob("../api/*/*.go"); err == nil {
		files = append(files, more...)
	}
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{} // of constants
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, v := range n.Values {
					if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						values[n.Names[i].Name] = lit.Value
					}
				}
			case *ast.GenDecl:
				for _, spec := range n.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						d.comments[ts.Name.Name] = n.Doc.Text()
						d.fieldComments(ts)
					}
				}
			}
			return true
		})
	}
	// A client knows no constants of Go: their values stand in their place.
	word := regexp.MustCompile(`\b[A-Z][A-Za-z]+\b`)
	group := regexp.MustCompile(`one of the ([A-Z][a-z]+) constants`)
	for key, text := range d.comments {
		text = group.ReplaceAllStringFunc(text, func(s string) string {
			prefix, found := group.FindStringSubmatch(s)[1], []string{}
			for _, name := range slices.Sorted(maps.Keys(values)) {
				if strings.HasPrefix(name, prefix) && name != "RoleNone" {
					found = append(found, values[name])
				}
			}
			return "one of " + strings.Join(found, ", ")
		})
		d.comments[key] = word.ReplaceAllStringFunc(strings.Join(strings.Fields(text), " "), func(s string) string {
			if v, ok := values[s]; ok {
				return v
			}
			return s
		})
	}
	return d
}

func (d *documenter) fieldComments(ts *ast.TypeSpec) {
	st, ok := ts.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, field := range st.Fields.List {
		for _, name := range field.Names {
			d.comments[ts.Name.Name+"."+name.Name] = field.Doc.Text()
		}
	}
}

// sectionsOf returns the sections of docs/api.md that describe operations.
func sectionsOf(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		if method, _, ok := strings.Cut(title, " /"); ok && method == strings.ToUpper(method) {
			sections[title] = body
		}
	}
	return sections
}

// title is the heading of an operation in docs/api.md.
func title(op operation) string { return op.method + " " + strings.ReplaceAll(op.path, "...", "") }

func (d *documenter) document(ops []operation) object {
	d.bodies = true
	for _, op := range ops {
		if op.takes != nil {
			d.schema(op.takes)
		}
	}
	d.bodies = false
	paths := object{}
	for _, op := range ops {
		path := strings.ReplaceAll(op.path, "...", "")
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(op.method)] = d.operation(op, path)
	}
	problem := d.schema(reflect.TypeFor[api.Error]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Fairway admin API", "version": "1",
			"description": "What exists, what is served, what was refused and why; and what operators may change. docs/api.md says more. " +
				"New fields and new values may appear at any time.",
		},
		"servers":  []object{{"url": "http://127.0.0.1:8080", "description": "admin.listen by default"}},
		"security": []object{{"token": []string{}}, {"session": []string{}, "sessionKey": []string{}}, {"certificate": []string{}}, {}},
		"paths":    paths,
		"components": object{
			"schemas": d.schemas,
			"responses": object{"Problem": object{
				"description": "Problem details after RFC 9457.", "content": object{api.ProblemContentType: object{"schema": problem}},
			}},
			"securitySchemes": object{
				"token":       object{"type": "http", "scheme": "bearer", "description": "A token of `fairway token create`."},
				"session":     object{"type": "apiKey", "in": "cookie", "name": "fairway", "description": "The cookie of POST /v1/session; over TLS it is named __Host-fairway."},
				"sessionKey":  object{"type": "apiKey", "in": "header", "name": api.SessionKeyHeader, "description": "The key of POST /v1/session, for all that changes something."},
				"certificate": object{"type": "mutualTLS", "description": "A client certificate of an authority in admin.client-ca; its organisation is the role."},
			},
		},
	}
}

func (d *documenter) operation(op operation, path string) object {
	text, _, _ := strings.Cut(d.sections[title(op)], "\n```")
	text, _, _ = strings.Cut(text, "\n|")
	text, _, _ = strings.Cut(text, "\n<!--")
	text = strings.Join(strings.Fields(regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(text, "$1")), " ")
	summary, _, _ := strings.Cut(text, ". ")
	if i := strings.IndexAny(summary, ":;"); i > 0 {
		summary = summary[:i]
	}
	out := object{
		"operationId": operationID(op.method, path), "summary": strings.TrimSuffix(summary, "."), "description": text,
		"tags": []string{tagOf(path)}, "responses": d.responses(op, path),
	}
	if role := op.needs(); role != "" {
		out["x-fairway-role"] = role
	} else {
		out["security"] = []object{}
	}
	var params []object
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range op.params {
		params = append(params, object{"name": p.name, "in": "query", "required": p.required, "description": p.help, "schema": paramSchema(p)})
	}
	if params != nil {
		out["parameters"] = params
	}
	if op.takes != nil {
		out["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": d.schema(op.takes)}}}
	}
	return out
}

func (d *documenter) responses(op operation, path string) object {
	content := object{"text/plain": object{"schema": object{"type": "string"}}}
	switch {
	case op.events:
		content = object{"text/event-stream": object{"schema": object{"type": "string"}}}
		d.schema(op.gives) // of the data of an event
	case op.gives != nil:
		content = object{"application/json": object{"schema": d.schema(op.gives)}}
	case path == "/v1/openapi.json":
		content = object{"application/json": object{"schema": object{"type": "object"}}}
	}
	codes := append([]int{http.StatusForbidden}, op.refusals...)
	if !op.public {
		codes = append(codes, http.StatusUnauthorized)
	}
	if len(op.params) > 0 || op.takes != nil {
		codes = append(codes, http.StatusBadRequest)
	}
	if op.takes != nil {
		codes = append(codes, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if strings.Contains(path, "{") {
		codes = append(codes, http.StatusNotFound)
	}
	out := object{"200": object{"description": "Done.", "content": content}, "default": object{"$ref": "#/components/responses/Problem"}}
	for _, code := range codes {
		out[strconv.Itoa(code)] = object{"$ref": "#/components/responses/Problem"}
	}
	if path == "/ready" {
		out["503"] = object{"description": "Nothing is served.", "content": content}
	}
	return out
}

// operationID is unique: getServicesByName.
func operationID(method, path string) string {
	id := strings.ToLower(method)
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '-' || r == '.' }) {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			part = "by" + strings.ToUpper(name[:1]) + strings.TrimSuffix(name[1:], "}")
		}
		if part != "v1" {
			id += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return id
}

// tagOf is the part of the API that a path belongs to.
func tagOf(path string) string {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return "process"
	}
	part, _, _ := strings.Cut(rest, "/")
	return strings.TrimSuffix(part, ".json")
}

func paramSchema(p param) object {
	switch p.form {
	case aFlag:
		return object{"type": "boolean"}
	case aNumber:
		s := object{"type": "integer", "minimum": 1}
		if p.most < 1<<53 {
			s["maximum"] = p.most
		}
		return s
	case aTime:
		return object{"type": "string", "format": "date-time"}
	case someLines:
		return object{"type": "array", "items": object{"type": "string"}}
	}
	return object{"type": "string"}
}

// schema is the schema of a type: structs by name, so that each is there once.
func (d *documenter) schema(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[[]byte]():
		return object{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint16, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		items := d.schema(t.Elem())
		if t.Elem().Kind() == reflect.Pointer {
			items["type"] = []any{items["type"], "null"}
		}
		return object{"type": "array", "items": items}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
	default:
		panic("no schema for " + t.String())
	}
	name := t.Name()
	if inner, ok := strings.CutPrefix(name, "List["); ok {
		name = strings.TrimSuffix(inner[strings.LastIndexByte(inner, '.')+1:], "]") + "List"
	}
	ref := object{"$ref": "#/components/schemas/" + name}
	if d.schemas[name] != nil {
		if d.types[name] != t {
			panic(fmt.Sprintf("%v and %v have one name, and so one schema", d.types[name], t))
		}
		return ref
	}
	d.types[name] = t
	out, required := object{}, []string{}
	d.schemas[name] = out
	properties := object{}
	d.properties(t, properties, &required)
	out["type"], out["properties"] = "object", properties
	if len(required) > 0 {
		slices.Sort(required)
		out["required"] = required
	}
	if d.bodies {
		out["additionalProperties"] = false
	}
	if text := d.comments[strings.TrimSuffix(name, "List")]; text != "" && !strings.HasSuffix(name, "List") {
		out["description"] = text
	}
	return ref
}

// properties adds the fields of a struct, with those of the structs in it that have no
// name of their own in JSON.
func (d *documenter) properties(t reflect.Type, into object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			d.properties(f.Type, into, required)
			continue
		}
		name, more, _ := strings.Cut(f.Tag.Get("json"), ",")
		property := d.schema(f.Type)
		owner, _, _ := strings.Cut(t.Name(), "[")
		if text := d.comments[owner+"."+f.Name]; text != "" {
			property["description"] = text
		}
		into[name] = property
		if more == "" {
			*required = append(*required, name)
		}
	}
}
