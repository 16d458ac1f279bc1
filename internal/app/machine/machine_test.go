package machine

import (
	"os"
	"testing"
)

func TestStateDir(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		root bool
		want string
	}{
		{nil, true, "/var/lib/fairway"},
		{map[string]string{"HOME": "/home/a"}, false, "/home/a/.local/state/fairway"},
		{map[string]string{"HOME": "/home/a", "XDG_STATE_HOME": "/s"}, false, "/s/fairway"},
		{map[string]string{"HOME": "/home/a", "XDG_STATE_HOME": "relative"}, false, "/home/a/.local/state/fairway"},
	} {
		if got := StateDir(tt.env, tt.root); got != tt.want {
			t.Errorf("%v, root %v: %q, want %q", tt.env, tt.root, got, tt.want)
		}
	}
}

func TestMayBind(t *testing.T) {
	const start, status = "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/self/status"
	for name, tt := range map[string]struct {
		files map[string]string
		root  bool
		want  bool
	}{
		"root":                      {map[string]string{start: "1024\n", status: "Name:\tx\nCapEff:\t000001ffffffffff\n"}, true, true},
		"nobody":                    {map[string]string{start: "1024\n", status: "CapEff:\t0000000000000000\n"}, false, false},
		"the capability alone":      {map[string]string{start: "1024\n", status: "CapEff:\t0000000000000400\n"}, false, true},
		"root without capabilities": {map[string]string{start: "1024\n", status: "CapEff:\t0000000000000000\n"}, true, false},
		"ports open to all":         {map[string]string{start: "0\n", status: "CapEff:\t0000000000000000\n"}, false, true},
		"from this port on":         {map[string]string{start: "80\n"}, false, true},
		"not Linux, root":           {nil, true, true},
		"not Linux":                 {nil, false, false},
	} {
		readFile := func(path string) ([]byte, error) {
			if text, ok := tt.files[path]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		}
		if got := mayBind(80, readFile, tt.root); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
