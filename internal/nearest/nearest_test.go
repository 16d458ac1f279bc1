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

func TestHost(t *testing.T) {
	hosts := []string{"blog.example.com", "shop.example.com", "localhost"}
	for name, want := range map[string]string{"shop": "shop.example.com", "shp": "shop.example.com", "blog.exmple.com": "blog.example.com", "other": "", "": ""} {
		if got := Host(name, hosts); got != want {
			t.Errorf("Host(%q) = %q, want %q", name, got, want)
		}
	}
}
