package fairway

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// goFile is a parsed file of the module.
type goFile struct {
	path string // slash-separated, relative to the module root
	pkg  string // directory, relative to the module root
	test bool
	fset *token.FileSet
	ast  *ast.File
}

func parseModule(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(p) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		slashed := filepath.ToSlash(p)
		files = append(files, goFile{
			path: slashed,
			pkg:  path.Dir(slashed),
			test: strings.HasSuffix(p, "_test.go"),
			fset: fset,
			ast:  f,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestImports holds every package to the table above, and the table to the
// floors.
func TestImports(t *testing.T) {
	for pkg, rule := range allowed {
		for _, imp := range rule.imports {
			below, ok := allowed[imp]
			if !ok {
				t.Errorf("%s may import %s, which is not in the table", pkg, imp)
			} else if below.floor > rule.floor {
				t.Errorf("%s (floor %d) may import %s (floor %d): imports run down", pkg, rule.floor, imp, below.floor)
			}
		}
	}
	for _, f := range parseModule(t) {
		if f.test || f.pkg == "." || strings.HasPrefix(f.pkg, "test/") || strings.HasPrefix(f.pkg, "bench") {
			continue
		}
		rule, ok := allowed[f.pkg]
		if !ok {
			t.Errorf("%s: package %s is not in the table", f.path, f.pkg)
			continue
		}
		for _, spec := range f.ast.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			ours, isOurs := strings.CutPrefix(imp, "fairway/")
			if slices.Contains(forTests, ours) && f.pkg != "internal/engine/enginetest" && !slices.Contains(forTests, f.pkg) {
				t.Errorf("%s imports %s outside a test", f.path, ours)
			}
			if isOurs && !slices.Contains(rule.imports, ours) {
				t.Errorf("%s imports %s: a new arrow needs a line in the table, with its reason", f.path, ours)
			}
			if imp == "testing" && f.pkg != "internal/engine/enginetest" && !slices.Contains(forTests, f.pkg) {
				t.Errorf("%s imports testing outside a test", f.path)
			}
		}
	}
}

// TestPackageComments demands that every package says what it is for.
func TestPackageComments(t *testing.T) {
	has := map[string]bool{}
	for _, f := range parseModule(t) {
		if f.test && f.pkg != "." && !strings.HasPrefix(f.pkg, "test/") && !strings.HasPrefix(f.pkg, "bench") {
			continue
		}
		doc := f.ast.Doc.Text()
		ok := strings.HasPrefix(doc, "Package "+f.ast.Name.Name+" ") ||
			f.ast.Name.Name == "main" && (strings.HasPrefix(doc, "Command ") || strings.HasPrefix(doc, "Fairway "))
		has[f.pkg] = has[f.pkg] || ok
	}
	for pkg, ok := range has {
		if !ok {
			t.Errorf("%s has no package comment", pkg)
		}
	}
}

// TestMeasures keeps files and functions readable and init out of the module.
func TestMeasures(t *testing.T) {
	for _, f := range parseModule(t) {
		if lines := f.fset.File(f.ast.Pos()).LineCount(); lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", f.path, lines, maxFileLines)
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init: wire it explicitly in internal/app", f.path)
			}
			lines := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
			name := fmt.Sprintf("%s.%s", f.pkg, fn.Name.Name)
			if !f.test && lines > maxFunctionLines && !slices.Contains(longFunctions, name) {
				t.Errorf("%s: %s has %d lines, more than %d", f.path, fn.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

// TestPlainWords keeps words out that CONTEXT.md avoids.
func TestPlainWords(t *testing.T) {
	counts := map[string]int{}
	words := regexp.MustCompile(`(?i)\b[a-z]+\b`)
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(p)
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "dist") {
			return filepath.SkipDir
		}
		if name == "arch_test.go" || name == "CONTEXT.md" || filepath.Ext(p) != ".go" && filepath.Ext(p) != ".md" {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for _, word := range words.FindAll(text, -1) {
			word := strings.ToLower(string(word))
			if _, old := oldWords[word]; old {
				counts[word]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for word, most := range oldWords {
		switch n := counts[word]; {
		case n > most:
			t.Errorf("%q is in the tree %d times, more than %d: CONTEXT.md has the word of the field", word, n, most)
		case n < most:
			t.Errorf("%q is in the tree %d times: lower its number from %d", word, n, most)
		}
	}
}

// TestWords guards the words of CONTEXT.md where a machine can: type names
// of other products' vocabularies do not come back.
func TestWords(t *testing.T) {
	avoid := []string{"Provider", "Registry", "Manager", "Aggregator", "Frontend", "Router", "Upstream", "Cluster", "Entrypoint", "Util", "Helper"}
	for _, f := range parseModule(t) {
		for _, decl := range f.ast.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok || !ts.Name.IsExported() {
					continue
				}
				for _, word := range avoid {
					if strings.Contains(ts.Name.Name, word) {
						t.Errorf("%s: type %s uses %q, which CONTEXT.md avoids", f.path, ts.Name.Name, word)
					}
				}
			}
		}
	}
}
