package app

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"fairway/internal/api"
)

// TestExplainIsWhatHappens: explain names the route that serves a request, whatever
// headers it has and whatever headers the rules look at.
func TestExplainIsWhatHappens(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	rules := []string{
		"HeaderRegexp(`X-Forwarded-For`, `127`)", "Header(`X-Real-Ip`, `127.0.0.1`)", "Header(`X-Forwarded-Port`, `81`)",
		"Header(`Upgrade`, `websocket`)", "Header(`Upgrade`, `h2c`)", "HeaderRegexp(`Connection`, `.`)", "Header(`Proxy`, `x`)", "Header(`Te`, `trailers`)",
		"Header(`Keep-Alive`, `5`)", "Header(`X-Own`, `1`)", "HeaderRegexp(`X-Forwarded-For`, `192`)",
		"Header(`X-Forwarded-Proto`, `https`)", "HeaderRegexp(`X-Forwarded-Host`, `:81$`)", "HeaderRegexp(`Forwarded`, `.`)", "HeaderRegexp(`X_Forwarded_For`, `.`)",
		"Header(`Http2-Settings`, `x`)", "HeaderRegexp(`X-Original-Url`, `.`)",
	}
	var text strings.Builder
	text.WriteString("services:\n")
	add := func(name, rule string, priority int) {
		fmt.Fprintf(&text, "  - {name: %s, labels: {fairway.rule: %q, fairway.priority: %q}, instances: [{address: %q}]}\n", name, rule, fmt.Sprint(priority), backend(t, name))
	}
	add("other", "Host(`a.example`) || Host(`other.example`)", 0)
	for i, rule := range rules {
		// Each is on a host of its own and on one where all compete.
		add(fmt.Sprintf("rule%d", i), fmt.Sprintf("(Host(`a.example`) || Host(`h%d.example`)) && %s", i, rule), i+1)
	}
	writeServices(t, file, text.String())
	// explain is held to the embedded engine, whose reading of a request it shares.
	p := startProgram(t, file, filepath.Join(dir, "state"), func(c *Config) { c.Engine = EngineEmbedded })
	p.answers(t, "other.example", "other")
	c := p.client(t)

	lines := []string{
		"Connection: Upgrade|Upgrade: websocket", "Upgrade: websocket", "Upgrade: h2c", "Upgrade: WebSocket", "Connection: Upgrade", "Connection: upgrade, X-Own", "Connection: keep-alive", "Connection: X-Real-Ip",
		"Proxy: x", "TE: trailers", "TE: gzip", "Keep-Alive: 5", "X-Own: 1", "X-Own: 2", "X-Forwarded-For: 192.0.2.1", "X_Forwarded_For: 192.0.2.1",
		"X-Forwarded-Proto: https", "Forwarded: for=192.0.2.1", "X-Real-Ip: 192.0.2.1", "HTTP2-Settings: x", "X-Original-Url: /x", "X-Forwarded-Port: 81",
	}
	random := rand.New(rand.NewPCG(3, 4))
	served := map[string]int{}
	for range 400 {
		host := "a.example"
		if random.IntN(2) == 0 {
			host = fmt.Sprintf("h%d.example", random.IntN(len(rules)))
		}
		host += []string{"", ":81", ":80"}[random.IntN(3)]
		method := []string{"GET", "GET", "POST"}[random.IntN(3)]
		var header []string
		for range random.IntN(5) {
			header = append(header, strings.Split(lines[random.IntN(len(lines))], "|")...)
		}
		told, err := c.Explain(t.Context(), api.ExplainRequest{Method: method, URL: "http://" + host + "/", Headers: header, Client: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if told.Winner != nil {
			want, _, _ = strings.Cut(told.Winner.Route.ID, "@")
		}
		status, got := p.wire(t, method, host, header)
		served[got]++
		if got != want || told.Outcome == api.OutcomeRouted && status != http.StatusOK {
			t.Errorf("%s %s %q is served by %q with %d, and explained as %q: %s", method, host, header, got, status, want, told.Text)
		}
	}
	if len(served) < 6 || served["rule3"] == 0 {
		t.Errorf("few routes were asked for: %v", served)
	}
}

// wire sends a request as it is written here, and returns the first word of the answer
// of a service.
func (p *program) wire(t *testing.T, method, host string, header []string) (status int, by string) {
	t.Helper()
	c, err := net.Dial("tcp", p.app.Addr("http").String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := method + " / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n"
	for _, line := range header {
		text += line + "\r\n"
	}
	if _, err := io.WriteString(c, text+"\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		by, _, _ = strings.Cut(string(body), " ")
	}
	return res.StatusCode, by
}
