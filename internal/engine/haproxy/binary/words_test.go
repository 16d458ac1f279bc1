package binary

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// environment of the tests of words.
func variable(name string) string {
	return map[string]string{"HOME": "/home", "L": "p q  r", "E": ""}[name]
}

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		`  bind 127.0.0.1:80   ssl`: {"bind", "127.0.0.1:80", "ssl"},
		``:                          nil,
		`# nothing`:                 nil,
		`a "" b`:                    {"a", "", "b"},
		`a#b c`:                     {"a"},
		`a "#b" \#c '#d'`:           {"a", "#b", "#c", "#d"},
		`a\ b "c d" 'e f'g`:         {"a b", "c d", "e fg"},
		`"$HOME/x" $HOME '$HOME'`:   {"/home/x", "$HOME", "$HOME"},
		`"${HOME}x" "${NOPE-d e}"`:  {"/homex", "d e"},
		`"x${L[*]}y"`:               {"xp", "q", "ry"},
		`"\$HOME" \$HOME`:           {"$HOME", `\$HOME`},
		`\x41\x2e '\x41' \q \`:      {"A.", `\x41`, `\q`, `\`},
		"a\tb\r":                    {"a", "b"},
	} {
		got, err := Words(line, variable)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`"a`, `'a`, `\x4`, `\x4g`, `"$"`, `"$1"`, `"${HOME"`, `"${}"`, `"${HOME.x}"`, `"${HOME[1]}"`, "a\x00b", `\x00`} {
		if got, err := Words(line, variable); err == nil {
			t.Errorf("%q is read as %q", line, got)
		}
	}
}

// judge asks haproxy what the word behind .notice is.
func judge(t *testing.T, b *Binary, word string) (string, bool) {
	t.Helper()
	file := write(t, t.TempDir(), "words.cfg", ".notice "+word+"\n")
	cmd := exec.Command(b.Path, "-c", "-f", file)
	cmd.Env = []string{"HOME=/home", "L=p q  r", "E="}
	out, _ := cmd.CombinedOutput()
	text := string(out)
	_, text, ok := strings.Cut(text, filepath.Base(file)+":1]: '")
	at := strings.LastIndex(text, "'.\n")
	if !ok || at < 0 {
		return "", false
	}
	return text[:at], true
}

// FuzzWords compares the splitter with HAProxy itself where there is one, and
// demands of it that it never fails otherwise.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{
		`a`, `"a b"`, `'a b'`, `a\ b`, `a\"b`, `"a\"b"`, `'a\'b'`, `"a\$b"`, `a\$b`, `"$HOME"`, `$HOME`, `"${HOME}"`, `"${L}"`, `"$HOME-x"`, `""`, `a#b`, `"a#b"`,
		`a\#b`, `\x41`, `"\x41"`, `'\x41'`, `\x4`, `a\qb`, `a\`, `"a\\"`, `a"b"c`, `a\nb`, `a\tb`, `"a`, `"${HOME"`, `"${NOPE}"`, `"${E}"`, `"${NOPE[*]}"`, `\\x41`,
		`"${_A}"`, `a'b"c'd`, `a"b'c"d`, `"$HOME$HOME"`, `"a\`, `\"`, `"\'"`, `\'`, "a\x01b", "a\x80b", `"\r"`,
	} {
		f.Add(seed)
	}
	b, err := Find(f.Context(), "")
	f.Fuzz(func(t *testing.T, word string) {
		got, wrong := Words(".notice "+word, variable)
		if again, _ := Words(".notice "+word, variable); !slices.Equal(got, again) {
			t.Errorf("%q is read in two ways", word)
		}
		// A NUL cuts the line for HAProxy, a line break ends it; a default of a
		// variable and words from a value are new since 2.6.
		if err != nil || strings.ContainsAny(word, "\x00\n\r") || strings.Contains(word, `\x00`) || strings.ContainsAny(word, "-[") && strings.Contains(word, "$") || len(word) > 500 {
			return
		}
		want, taken := judge(t, b, word)
		switch {
		case taken && (wrong != nil || len(got) > 2 || len(got) == 2 && got[1] != want || len(got) < 2 && want != ""):
			t.Errorf("%q: HAProxy reads %q, we %q, %v", word, want, got, wrong)
		case !taken && wrong == nil && len(got) == 2 && b.Version.AtLeast(2, 6):
			t.Errorf("%q: HAProxy refuses it, we read %q", word, got)
		}
	})
}

func TestStatFields(t *testing.T) {
	const behind = " S 7 8 9 0 -1 4194560 0 0 0 0 1 2 0 0 20 0 4 0 4711 0"
	f := StatFields("42 (a) Z 1 (b)" + behind + "\n")
	if len(f) != 21 || f[0] != "S" || f[1] != "7" || f[19] != "4711" {
		t.Errorf("%q", f)
	}
	for _, text := range []string{"", "1", "1 (a)", "1 (a) S 7", "1 a" + behind} {
		if f := StatFields(text); f != nil {
			t.Errorf("%q is read as %q", text, f)
		}
	}
}
