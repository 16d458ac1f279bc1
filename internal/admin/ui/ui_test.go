package ui

import "testing"

func TestParse(t *testing.T) {
	if _, err := New(nil); err != nil {
		t.Fatal(err)
	}
}
