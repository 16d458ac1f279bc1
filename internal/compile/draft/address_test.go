package draft

import "testing"

// TestReadAddress reads what instances are reached by, and nothing that is Fairway's own.
func TestReadAddress(t *testing.T) {
	for value, want := range map[string]string{
		"192.168.1.10": "192.168.1.10", "::ffff:192.168.1.10": "192.168.1.10", "FD00::0:2": "fd00::2", "Dock-2.example.com": "dock-2.example.com", "host.docker.internal": "host.docker.internal",
		"": "", "127.0.0.1": "", "::1": "", "0.0.0.0": "", "::": "", "169.254.169.254": "", "fe80::1": "", "fe80::1%eth0": "", "224.0.0.1": "", "::ffff:127.0.0.1": "",
		"localhost": "", "a.localhost": "", "LOCALHOST.": "", "a.example:80": "", "[fd00::2]": "", "192.168.1.10:80": "", "a b": "", "*.example": "", "http://a": "", "127.1": "", "2130706433": "", "0x7f000001": "",
	} {
		got, err := ReadAddress(value)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", value, got, err, want)
		}
	}
}
