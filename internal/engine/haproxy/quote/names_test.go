package quote

import "testing"

func TestFrontend(t *testing.T) {
	for listener, want := range map[string]string{
		"http": "in-http", "tcp-6379": "in-tcp-6379", "": "in-", "a_b": "in-a_5fb", "no\nname ü": "in-no_0aname_20_c3_bc",
	} {
		got := Frontend(listener)
		if got != want || Listener(got) != listener {
			t.Errorf("%q is %q and back %q, want %q", listener, got, Listener(got), want)
		}
	}
	for _, foreign := range []string{"stats", "in", "in-a_5", "in-_zz"} {
		if got := Listener(foreign); got != "" {
			t.Errorf("%q is said to be of the listener %q", foreign, got)
		}
	}
}
