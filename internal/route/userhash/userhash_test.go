package userhash

import "testing"

func TestOf(t *testing.T) {
	const want = "{SSHA256}s$9740c9dcdb4487d8cd63d2a544d8e6573f082081c49aef08c7853ab0f99e019a"
	if got := Of("s", "x"); got != want {
		t.Errorf("Of = %s, want %s", got, want)
	}
}
