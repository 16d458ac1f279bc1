package daemon

import (
	"strconv"
	"strings"
)

// IsStopping reports whether a signal asks a container to end: SIGINT, SIGKILL or
// SIGTERM, or the one that the container is configured with. Others, such as SIGHUP,
// or SIGQUIT to a Java program, ask for something else. Both are written as the
// daemon does: by number, or by name with or without SIG.
func IsStopping(signal, configured string) bool {
	switch n := signalNumber(signal); n {
	case 0:
		return signal == "" // daemons that leave it out mean the default, SIGKILL
	case 2, 9, 15:
		return true
	default:
		return n == signalNumber(configured)
	}
}

// signals are Linux's numbers of the signals that containers get.
var signals = []struct {
	name   string
	number int
}{
	{"HUP", 1},
	{"INT", 2},
	{"QUIT", 3},
	{"ABRT", 6},
	{"KILL", 9},
	{"USR1", 10},
	{"USR2", 12},
	{"ALRM", 14},
	{"TERM", 15},
	{"CONT", 18},
	{"STOP", 19},
	{"WINCH", 28},
	{"PWR", 30},
}

// signalNumber returns the number of a signal; zero when it is unknown.
func signalNumber(s string) int {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n <= 64 {
		return n
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if offset, ok := strings.CutPrefix(name, "RTMIN"); ok {
		n, err := strconv.Atoi("0" + strings.TrimPrefix(offset, "+"))
		if err == nil && n <= 30 {
			return 34 + n
		}
		return 0
	}
	for _, signal := range signals {
		if signal.name == name {
			return signal.number
		}
	}
	return 0
}

// SignalName is what people call a signal; empty when it is unknown.
func SignalName(s string) string {
	n := signalNumber(s)
	for _, signal := range signals {
		if signal.number == n {
			return "SIG" + signal.name
		}
	}
	if n > 0 {
		return "signal " + strconv.Itoa(n)
	}
	return ""
}
