package yamlnode

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func document(t *testing.T, text string) *yaml.Node {
	t.Helper()
	n, err := Document([]byte(text), "list")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDocument(t *testing.T) {
	for text, want := range map[string]string{"": `empty: "list" is missing`, "a: 1\n---\nb: 2": "more than one YAML document", "a: [": "line 2"} {
		if _, err := Document([]byte(text), "list"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestReaderReportsEveryFaultWithItsLine(t *testing.T) {
	n := document(t, "nmae: x\nlist: 5\ntexts: {a: 1, b: [x], 'c': ~}\nname: 'x'\nname: y\nother: &o {}\nzzzzzz: *o\n? [k]\n: v\n")
	var r Reader
	fields := r.Fields(n, "the file", "name", "list", "texts", "other")
	r.Items(fields["list"], "list")
	texts := r.Texts(fields["texts"], "texts", func(key string, value *yaml.Node) (string, bool) {
		text, ok := Scalar(value)
		if !ok {
			r.Fault(value, "text %q", key)
		}
		return text, ok
	})
	if got := fmt.Sprint(texts); got != "map[a:1 c:]" {
		t.Errorf("texts are %s", got)
	}
	if name, ok := r.Text(n, fields, "name", true); !ok || name != "x" {
		t.Errorf("name is %q", name)
	}
	r.Text(n, fields, "gone", true)
	r.Text(n, r.Fields(fields["list"], "list", "a"), "a", true) // reported as no mapping alone
	const want = `line 1: the file has no key "nmae" (did you mean "name"?)
line 5: the file: key "name" is there twice
line 7: the file: aliases are not followed, write it out
line 8: the file: want a plain key
line 2: list: want a list
line 3: text "b"
line 1: "gone" is missing
line 2: list: want a mapping`
	if got := r.Err(); got == nil || got.Error() != want {
		t.Errorf("faults\n%v\nwant\n%s", got, want)
	}
}

func TestEntriesFollowMergeKeys(t *testing.T) {
	n := document(t, "base: &b {a: 1, b: 2}\nmore: &m {b: 3, c: 4}\nown: {<<: [*b, *m], a: 5}\none: {<<: *b}\nlist: [*b, x]\n")
	for path, want := range map[string]string{"own.a": "5", "own.b": "2", "own.c": "4", "one.b": "2", "one.c": "", "own.a.x": "", "none": "", "base": ""} {
		if got := Text(Get(n, strings.Split(path, ".")...)); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if items := List(Get(n, "list")); len(items) != 2 || Text(Get(items[0], "a")) != "1" || List(n) != nil || List(nil) != nil {
		t.Errorf("items %v", items)
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{"yaml: line 3: bad\n  thing": "3 bad thing", "yaml: bad": "0 bad", "line x: y": "0 line x: y"} {
		if line, reason := Reason(errors.New(text)); fmt.Sprint(line, " ", reason) != want {
			t.Errorf("%q: %d %s", text, line, reason)
		}
	}
}
