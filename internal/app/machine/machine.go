// Package machine holds defaults that depend on what this machine lets the process do.
package machine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Port returns the address of the privileged port, also of one that is taken: the error
// says what to stop. Where the machine forbids it, it is the other one.
func Port(privileged, other int) string {
	if !mayBind(privileged, os.ReadFile, os.Geteuid() == 0) {
		privileged = other
	}
	return ":" + strconv.Itoa(privileged)
}

// capNetBindService is the number of the capability to bind privileged ports,
// CAP_NET_BIND_SERVICE in capabilities(7).
const capNetBindService = 10

// mayBind reports whether this process may bind a port, by the limits of Linux: to try
// would take the port for a moment. Elsewhere only root may.
func mayBind(port int, readFile func(string) ([]byte, error), root bool) bool {
	if data, err := readFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		if first, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && port >= first {
			return true
		}
	}
	status, err := readFile("/proc/self/status")
	if err != nil {
		return root
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "CapEff:"); ok {
			capabilities, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && capabilities&(1<<capNetBindService) != 0
		}
	}
	return root
}

// StateDir is the directory for state where none is named.
func StateDir(env map[string]string, root bool) string {
	if root {
		return "/var/lib/fairway"
	}
	if dir := env["XDG_STATE_HOME"]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "fairway")
	}
	if home := env["HOME"]; home != "" {
		return filepath.Join(home, ".local", "state", "fairway")
	}
	return filepath.Join(os.TempDir(), "fairway-"+strconv.Itoa(os.Geteuid()))
}
