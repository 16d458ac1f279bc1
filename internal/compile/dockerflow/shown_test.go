package dockerflow

import (
	"slices"
	"testing"
)

// TestShownParametersExist: a parameter with a rule of its own exists.
func TestShownParametersExist(t *testing.T) {
	for name := range shownParameters {
		if !slices.ContainsFunc(parameters, func(p Parameter) bool { return p.Name == name }) {
			t.Errorf("there is no parameter %s", name)
		}
	}
}
