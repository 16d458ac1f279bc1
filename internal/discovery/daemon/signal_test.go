package daemon

import "testing"

// TestIsStopping is the table of signals.
func TestIsStopping(t *testing.T) {
	for _, tt := range []struct {
		signal, configured string
		want               bool
	}{
		{"15", "", true},
		{"SIGTERM", "", true},
		{"term", "", true},
		{"9", "SIGQUIT", true},
		{"2", "", true},
		{"3", "", false},
		{"3", "SIGQUIT", true},
		{"", "", true},
		{"1", "", false},
		{"10", "", false},
		{"12", "SIGTERM", false},
		{"28", "", false},
		{"28", "SIGWINCH", true},
		{"28", "28", true},
		{"SIGWINCH", "winch", true},
		{"37", "SIGRTMIN+3", true},
		{"37", "RTMIN+4", false},
		{"1", "SIGHUP", true},
		{"nonsense", "", false},
		{"nonsense", "nonsense", false},
		{"0", "0", false},
		{"99", "99", false},
	} {
		if got := IsStopping(tt.signal, tt.configured); got != tt.want {
			t.Errorf("IsStopping(%q, %q) = %v", tt.signal, tt.configured, got)
		}
	}
}
