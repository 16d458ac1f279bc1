package ending

import "testing"

// TestReason: the termination state and the code of a line are said in words.
func TestReason(t *testing.T) {
	const address = "172.17.0.20:9999"
	for _, c := range []struct {
		state string
		end   End
		want  string
	}{
		{"--", End{Address: address}, ""},
		{"LR", End{}, ""},
		{"LR", End{Code: "no-endpoint"}, "no endpoint of the service is ready"},
		{"PR", End{Code: "unauthorized"}, "user and password are needed"},
		{"PR", End{Code: "of-tomorrow"}, "refused by Fairway"},
		{"LR", End{Code: "of-tomorrow"}, "of tomorrow"},
		{"PR", End{}, "refused by Fairway"},
		{"--", End{Code: "timeout", Address: address}, "the endpoint did not answer in time"},
		{"SC", End{Code: "unreachable", Address: address, Retries: 3}, "no connection: refused or reset at 172.17.0.20:9999, after 3 more attempts"},
		{"SC", End{Address: address, Retries: 1}, "no connection: refused or reset at 172.17.0.20:9999, after 1 more attempt"},
		{"sC", End{Address: address}, "no connection in time at 172.17.0.20:9999"},
		{"SH", End{Code: "bad-gateway", Address: address}, "the connection was closed before there was an answer at 172.17.0.20:9999"},
		{"sH", End{Code: "timeout", Address: address}, "no answer in time at 172.17.0.20:9999"},
		{"PH", End{Code: "bad-gateway", Address: address}, "the endpoint answered nonsense at 172.17.0.20:9999"},
		{"SD", End{Address: address}, "the endpoint broke off its answer at 172.17.0.20:9999"},
		{"sD", End{Address: address}, "the endpoint stopped sending at 172.17.0.20:9999"},
		{"CD", End{Address: address}, "the client went away before the answer was over"},
		{"CH", End{Address: address}, "the client went away"},
		{"cD", End{Address: address}, "the client took too long to take the answer"},
		{"cR", End{}, "the client took too long to send its request"},
		{"sQ", End{}, "no endpoint was ready before the wait was over"},
		{"SQ", End{}, "no endpoint was ready before the wait was over"},
		{"RC", End{}, "HAProxy has no room: memory, sockets or ports are used up"},
		{"IH", End{}, "HAProxy found an error of its own"},
		{"DC", End{Address: address}, "cut off: the endpoint left at 172.17.0.20:9999"},
	} {
		c.end.State = [2]byte([]byte(c.state))
		if got := c.end.Reason(); got != c.want {
			t.Errorf("%s %+v: %q, want %q", c.state, c.end, got, c.want)
		}
	}
}
