package enginetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"fairway/internal/route"
)

// switching is an endpoint that switches to the protocol that it is asked for, and
// then sends every line back behind its name, and "over" when the client has ended.
func switching(w *world, name string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		saw := w.endpoints[name].note(r)
		if r.Header.Get("Upgrade") == "" {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		conn, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream%s\r\nConnection: Upgrade\r\n"+
			"Upgrade: %s\r\n\r\nbody=%s\n", r.URL.Query().Get("kind"), r.Header.Get("Upgrade"), saw.Body)
		for lines := bufio.NewScanner(buffered); lines.Scan(); {
			if _, err := fmt.Fprintf(conn, "%s:%s\n", name, lines.Text()); err != nil {
				return
			}
		}
		_, _ = io.WriteString(conn, "over\n")
	}
}

// upgradeSwitches: protocols that the backend names are switched to, over http and
// https, whatever the method; then bytes pass both ways, and the end of one direction.
func upgradeSwitches(w *world) { upgradeWith(w, "") }

// upgradeWithBody: docker exec asks for the switch with a body.
func upgradeWithBody(w *world) { upgradeWith(w, `{"Tty":true}`) }

func upgradeWith(w *world, body string) {
	w.endpoint("e2", route.SchemeHTTPS)
	for _, name := range []string{"e1", "e2"} {
		h := switching(w, name)
		w.endpoint(name, route.SchemeHTTP).handler.Store(&h)
	}
	w.apply(`
routes:
  - {id: a, host: a.example, upgrade: [spdy/3.1, tcp], to: [e1]}
  - {id: filtered, host: filtered.example, filters: [{stripPrefix: {prefix: /x}}, {maxBody: {bytes: 100}}], upgrade: [tcp], to: [e1]}
  - {id: b, host: b.example, scheme: https, verify: {skipVerify: true}, upgrade: [tailscale-control-protocol], to: [e2]}
`)
	for _, one := range []struct{ host, protocol, name string }{
		{"a.example", "tcp", "e1"}, {"a.example", "SPDY/3.1", "e1"}, {"filtered.example", "TCP", "e1"}, {"b.example", "tailscale-control-protocol", "e2"},
	} {
		r := w.raw()
		r.send(fmt.Sprintf("POST /x/attach HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: %d\r\n\r\n%s",
			one.host, one.protocol, len(body), body))
		res := r.response("POST")
		if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != one.protocol {
			w.Errorf("%s, %s: answered %d with Upgrade %q", one.host, one.protocol, res.StatusCode, res.Header.Get("Upgrade"))
			continue
		}
		line := func(want string) {
			if got, err := r.r.ReadString('\n'); got != want+"\n" {
				w.Errorf("%s, %s: got %q, want %q (%v)", one.host, one.protocol, got, want, err)
			}
		}
		line("body=" + body)
		for _, word := range []string{"ls", strings.Repeat("long ", 5000)} {
			r.send(word + "\n")
			line(one.name + ":" + word)
		}
		if err := r.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			w.Fatal(err)
		}
		line("over")
		if _, err := r.r.ReadByte(); err != io.EOF {
			w.Errorf("%s, %s: the end of the endpoint's direction did not arrive: %v", one.host, one.protocol, err)
		}
	}
	r := w.raw()
	r.send("GET /?kind=%01 HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	if res := r.response("GET"); res.StatusCode != http.StatusBadGateway {
		w.Errorf("a switch with a control character: answered %d", res.StatusCode)
	}
}
