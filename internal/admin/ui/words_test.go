package ui

import (
	"strings"
	"testing"
)

// Pages use the words of the field.
func TestWords(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for name, path := range paths(a) {
		body := get(t, p, a, path).Body.String()
		for _, word := range []string{"Not for you", "for good", "answers by itself", "−1 for none", "in step", "Slowest 5", ">Takes<", "On the way", ">Bad <", "needs a look", "Make it"} {
			if strings.Contains(body, word) {
				t.Errorf("%s says %q", name, word)
			}
		}
	}
}

// Colours lie behind the field, in an element that is always there, so that an update of
// the page never takes the field away.
func TestEditorsHaveRoomForColours(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for _, name := range []string{"plan", "document"} {
		if body := get(t, p, a, paths(a)[name]).Body.String(); !strings.Contains(body, `<pre class="paint" aria-hidden="true"></pre><textarea`) {
			t.Errorf("%s: no room behind the text", name)
		}
	}
}

// The two things that can be planned have a form each, and each sends what is its own.
func TestPlanForms(t *testing.T) {
	p := newPages(t)
	body := get(t, p, everything(plainText), "/plan").Body.String()
	forms := strings.Split(body, `<form action="/plan"`)
	if len(forms) != 3 {
		t.Fatalf("%d forms", len(forms)-1)
	}
	for i, fields := range [][2]string{{`name="text"`, `name="subject"`}, {`name="subject"`, `name="text"`}} {
		form, _, _ := strings.Cut(forms[i+1], "</form>")
		if !strings.Contains(form, fields[0]) || strings.Contains(form, fields[1]) {
			t.Errorf("form %d: %s", i, form)
		}
	}
}
