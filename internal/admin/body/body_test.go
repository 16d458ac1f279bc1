package body

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestNamesOnce: a name that is there twice is found wherever it is.
func TestNamesOnce(t *testing.T) {
	type inner struct {
		X, Y any
		Sums map[string]int
	}
	type outer struct {
		A    *inner `json:"a"`
		List []inner
		Map  map[string]inner
		Any  any
	}
	for text, fine := range map[string]bool{
		`{"any":{"x":1,"y":[{"x":1},{"x":2}]},"a":{"x":"x"},"list":[{"x":1},{"x":2}]}`: true,
		`{"a":{"sums":{"X":1,"x":1}},"any":{"X":1,"x":1}}`:                             true, // names of labels, say
		`{"map":{"A":{"x":1},"a":{"x":1}}}`:                                            true,
		`{"any":{"x":1,"x":2}}`:                                                        false,
		`{"any":[{"x":[],"y":{},"x":1}]}`:                                              false,
		`{"a":{"sums":{"x":1,"x":1}}}`:                                                 false,
		`{"a":{"x":1,"X":2}}`:                                                          false,
		`{"list":[{"x":1},{"y":2,"Y":2}]}`:                                             false,
		`{"map":{"a":{"sums":{},"ſums":{}}}}`:                                          false,
		`{"a":{},"A":{}}`:                                                              false,
	} {
		if err := namesOnce(json.NewDecoder(strings.NewReader(text)), reflect.TypeFor[*outer]()); (err == nil) != fine {
			t.Errorf("%s: %v", text, err)
		}
	}
}
