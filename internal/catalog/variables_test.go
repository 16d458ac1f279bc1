package catalog

import "testing"

// TestLabelsAreNoVariables: a label with the name of a variable is none, whether or not the
// container has variables.
func TestLabelsAreNoVariables(t *testing.T) {
	labels := map[string]string{"VIRTUAL_HOST": "a.example", "x": "1"}
	for _, env := range []map[string]string{nil, {"VIRTUAL_PORT": "80"}} {
		in := Instance{Labels: labels, Env: env}
		if all := in.Declared(); all["VIRTUAL_HOST"] != "" || all["x"] != "1" || len(all) != 1+len(env) {
			t.Errorf("with %v: %v", env, all)
		}
	}
}
