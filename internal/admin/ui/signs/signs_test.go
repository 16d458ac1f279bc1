package signs

import (
	"testing"

	"fairway/internal/api"
)

// Each state has a sign, and worse states have no better one.
func TestOf(t *testing.T) {
	last := ""
	for _, state := range []string{api.StateHealthy, api.StateUnknown, api.StateHeld, api.StateDegraded, api.StateRefused, api.StateDown} {
		sign := Of(api.Condition{State: state})
		if Badness(sign) < 0 || Badness(sign) < Badness(last) || Worse(last, sign) != sign {
			t.Errorf("%s is %s, after %s", state, sign, last)
		}
		last = sign
	}
	if sign := Of(api.Condition{}); sign != Idle {
		t.Errorf("what is not judged is %s", sign)
	}
	if Word("no word") != Idle || Word(api.SeverityBad) != Broken {
		t.Error("words have other signs")
	}
}
