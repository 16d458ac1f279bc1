package nearest

import "testing"

// TestWord: what is meant is found, and what is not near is not guessed.
func TestWord(t *testing.T) {
	names := []string{"host", "path", "strip-prefix", "weight", "sticky"}
	for word, want := range map[string]string{
		"hots": "host", "Host": "host", "stripprefix": "strip-prefix", "stip-prefx": "strip-prefix", "wieght": "weight",
		"x": "", "ho": "", "bath": "path", "completely": "", "": "",
	} {
		if got := Word(word, names); got != want {
			t.Errorf("Word(%q) = %q, want %q", word, got, want)
		}
	}
}
