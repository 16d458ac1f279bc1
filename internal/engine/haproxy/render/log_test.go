package render

import (
	"strings"
	"testing"
)

func TestFrontendName(t *testing.T) {
	for listener, want := range map[string]string{
		"http": "in-http", "tcp-6379": "in-tcp-6379", "": "in-", "a_b": "in-a_5fb", "no\nname ü": "in-no_0aname_20_c3_bc",
	} {
		got := FrontendName(listener)
		if got != want || ListenerOf(got) != listener {
			t.Errorf("%q is %q and back %q, want %q", listener, got, ListenerOf(got), want)
		}
	}
	for _, foreign := range []string{"stats", "in", "in-a_5", "in-_zz"} {
		if got := ListenerOf(foreign); got != "" {
			t.Errorf("%q is said to be of the listener %q", foreign, got)
		}
	}
}

// TestLogLines: a format has as many fields as readers count, and none when there
// is nowhere to write to.
func TestLogLines(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		var lines text
		(&renderer{o: &Options{LogSocket: "/run/log.sock"}}).writeLog(&lines, tcp)
		if n := strings.Count(lines.String(), `\t`) + 1; n != FieldCount {
			t.Errorf("tcp %v: %d fields, want %d", tcp, n, FieldCount)
		}
	}
	var nothing text
	r := &renderer{o: &Options{}}
	r.writeLog(&nothing, false)
	r.writeRing(&nothing)
	if nothing.Len() > 0 {
		t.Error("something is logged to nowhere")
	}
}
