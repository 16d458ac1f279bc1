package dockerflow

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/route/userhash"
)

// TestParseUsers: entries with an empty half are skipped; a password may hold
// colons; hashes are the same every time.
func TestParseUsers(t *testing.T) {
	got := ParseUsers("o", "b:x:y, a:1\n:no\nno:\nname, ,b:again", false)
	if len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Fatalf("%v", got)
	}
	salt, _, _ := strings.Cut(strings.TrimPrefix(got[1].Hash, userhash.SaltedSHA256), "$")
	if want := userhash.Of(salt, "x:y"); got[1].Hash != want {
		t.Errorf("%s, want %s", got[1].Hash, want)
	}
	if diff := cmp.Diff(got, ParseUsers("o", "a:1,b:x:y", false)); diff != "" {
		t.Error(diff)
	}
	if other := ParseUsers("other", "a:1", false); other[0].Hash == got[0].Hash {
		t.Error("two owners have the same salt")
	}
	for _, encrypted := range []bool{true, false} {
		if kept := ParseUsers("o", "a:$6$salt$hash", encrypted); kept[0].Hash != "$6$salt$hash" {
			t.Errorf("%v", kept)
		}
	}
	if none := ParseUsers("o", "", false); none == nil || len(none) != 0 {
		t.Errorf("%v", none)
	}
}

// TestSplitWords reads words as HAProxy does.
func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                      nil,
		"a b":                   {"a", "b"},
		" a\t b ":               {"a", "b"},
		`a\ b`:                  {"a b"},
		`"a b"'c d'`:            {"a bc d"},
		`"a \" b"`:              {`a " b`},
		`'a \ b'`:               {`a \ b`},
		`''`:                    {""},
		"X-A \"max-age=1; x;\"": {"X-A", "max-age=1; x;"},
		"%%":                    {"%%"},
	} {
		if got, err := splitWords(text); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{`a\`, `"a`, `'a`, `a # b`} {
		if got, err := splitWords(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// TestCutExpressions: what separates expressions may stand in them where it means
// something else.
func TestCutExpressions(t *testing.T) {
	for _, tt := range []struct {
		text string
		at   byte
		want []string
	}{
		{"", ':', []string{""}},
		{"a,b:c,d", ':', []string{"a,b", "c,d"}},
		{"a{1,2},b", ',', []string{"a{1,2}", "b"}},
		{"[,:],b", ',', []string{"[,:]", "b"}},
		{`a\,b,c`, ',', []string{`a\,b`, "c"}},
		{"(?:a|b):c", ':', []string{"(?:a|b)", "c"}},
		{"[a", ':', []string{"[a"}},
		{"a:", ':', []string{"a", ""}},
	} {
		if got := cutExpressions(tt.text, tt.at); !cmp.Equal(got, tt.want) {
			t.Errorf("%q at %c: %q, want %q", tt.text, tt.at, got, tt.want)
		}
	}
}
