package testkit

import "testing"

// TestFreePortIsNobodyElses: ports that were given and are not bound yet are not given again.
func TestFreePortIsNobodyElses(t *testing.T) {
	given := map[string]bool{}
	for range 500 {
		port := FreePort(t)
		if given[port] {
			t.Fatalf("%s is given twice", port)
		}
		given[port] = true
	}
}
