package lua

import (
	"strings"
	"testing"
)

// A page counts as HAProxy sends it, with the longest values.
func TestCheckPage(t *testing.T) {
	for page, want := range map[string]bool{
		strings.Repeat("x", MaxPage):                        true,
		strings.Repeat("x", MaxPage+1):                      false,
		strings.Repeat("é", MaxPage/6):                      true,
		strings.Repeat("é", MaxPage/6+1):                    false,
		strings.Repeat("\U0001f600", MaxPage/9+1):           false,
		"{host}" + strings.Repeat("x", MaxPage-253):         true,
		"{host}" + strings.Repeat("x", MaxPage-252):         false,
		strings.Repeat("{reason} {request_id}", MaxPage/90): false,
	} {
		if err := CheckPage(page); (err == nil) != want {
			t.Errorf("%.30q of %d bytes: %v", page, len(page), err)
		}
	}
}
