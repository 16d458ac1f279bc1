package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"fairway/internal/atomicfile"
)

// note writes which process a master is beside its socket. HAProxy refuses
// connections to the socket for as long as it reads its files in a reload, and
// one that is gone leaves it there: the socket alone does not show which it is.
func note(masterSocket string, pid int) error {
	born, ok := birth(pid)
	if !ok {
		return nil // it has ended already, or the system does not say
	}
	return atomicfile.Write(masterSocket+".pid", fmt.Appendf(nil, "%d %s\n", pid, born), 0o600)
}

// noted is the master that was noted for a socket, while it lives; 0 otherwise.
// known is false when none was ever noted.
func noted(masterSocket string) (pid int, known bool) {
	text, err := os.ReadFile(masterSocket + ".pid")
	if err != nil {
		return 0, false
	}
	number, born, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err = strconv.Atoi(number)
	if err != nil || pid <= 0 {
		return 0, true
	}
	if now, ok := birth(pid); !ok || now != born {
		return 0, true // the number may be another process's by now
	}
	return pid, true
}

// birth is when a process was started, in a form to compare; not ok when it has
// ended.
func birth(pid int) (born string, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") //nolint:gosec // a number
	if err != nil {
		return "", false
	}
	// The name, in brackets, may hold anything; behind it are the state and, as
	// the twentieth, the time of the start.
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return "", false
	}
	return f[19], true
}
