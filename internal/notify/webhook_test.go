package notify

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func channelOf(t *testing.T, c Channel) *channel {
	t.Helper()
	c.Name = "ops"
	for _, err := range c.Check() {
		t.Fatal(err)
	}
	made, err := newChannel(c, "host-1")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func parcelOf(events ...Event) *batch {
	for i := range events {
		events[i] = events[i].cleaned()
		events[i].ID, events[i].At = "id"+strconv.Itoa(i), noon
	}
	return &batch{id: idOf(events), from: "host-1", at: noon.Add(time.Second), events: events}
}

var nodeDown = Event{Kind: NodeDown, Subject: "node/abc", Name: "n3", Text: "node n3 is down", Details: map[string]string{"address": "10.0.0.3"}}

// The example of the text of Standard Webhooks.
func TestSignature(t *testing.T) {
	key, err := signingKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

// Two secrets make two signatures, so that a receiver may know either.
func TestWebhook(t *testing.T) {
	var header http.Header
	var body []byte
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	}))
	defer receiver.Close()
	ca := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})))
	next := "whsec_" + base64.StdEncoding.EncodeToString([]byte("the secret that comes next"))
	c := channelOf(t, Channel{
		Kind: KindWebhook, URL: receiver.URL + "/hook?x=1", CA: ca,
		Secrets: []string{write(t, next+"\n"), write(t, "the secret that leaves")},
	})
	if err := c.sender.send(t.Context(), parcelOf(nodeDown)); err != nil {
		t.Fatal(err)
	}
	at := strconv.FormatInt(noon.Add(time.Second).Unix(), 10)
	want := signature([]byte("the secret that comes next"), "id0", at, body) + " " + signature([]byte("the secret that leaves"), "id0", at, body)
	if got := header.Get("Webhook-Signature"); got != want || header.Get("Webhook-Id") != "id0" || header.Get("Webhook-Timestamp") != at {
		t.Errorf("header %v, want the signature %s", header, want)
	}
	if want := `{"type":"node.down","timestamp":"2026-05-01T12:00:00Z","data":{"id":"id0","kind":"node.down","subject":"node/abc","name":"n3",` +
		`"at":"2026-05-01T12:00:00Z","text":"node n3 is down","details":{"address":"10.0.0.3"},"severity":"bad","from":"host-1"}}`; string(body) != want {
		t.Errorf("body %s", body)
	}
	if err := c.sender.send(t.Context(), parcelOf(nodeDown, nodeDown)); err != nil {
		t.Fatal(err)
	}
	var summary wire
	if err := json.Unmarshal(body, &summary); err != nil || summary.Type != Summary || len(summary.Data.Events) != 2 {
		t.Errorf("%v in %s", err, body)
	}
}

// A receiver that says no is told apart from one that cannot; no error says what a
// secret is.
func TestWebhookThatFails(t *testing.T) {
	followed := false
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/followed":
			followed = true
		case "/moved":
			http.Redirect(w, r, "/followed", http.StatusTemporaryRedirect)
		default:
			code, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
			w.WriteHeader(code)
		}
	}))
	defer receiver.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	untrusted.TLS = &tls.Config{}
	untrusted.StartTLS()
	defer untrusted.Close()
	const secret = "a-secret-in-the-path"
	for _, c := range []struct {
		url     string
		want    string
		refused bool
	}{
		{receiver.URL + "/400", "status 400", true},
		{receiver.URL + "/422", "status 422", true},
		{receiver.URL + "/404", "status 404", false},
		{receiver.URL + "/503", "status 503", false},
		{receiver.URL + "/moved", "status 307", false},
		{untrusted.URL + "/" + secret, "certificate", false},
		{"http://127.0.0.1:1/" + secret, "refused", false},
		{"http://169.254.169.254/" + secret, "none of a receiver", false},
		{"http://[fe80::1%25lo]/" + secret, "none of a receiver", false},
		{"http://[::ffff:169.254.169.254]/" + secret, "none of a receiver", false},
		{"http://user:" + secret + "@127.0.0.1/", "do not belong there", false},
		{"://" + secret, "is no URL", false},
		{"", "is empty", false},
		{"two\nlines", "more than one line", false},
	} {
		ch := channelOf(t, Channel{Kind: KindWebhook, URLFile: write(t, c.url)})
		err := ch.sender.send(t.Context(), parcelOf(nodeDown))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.url, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(ch.sender.receiver(), secret) {
			t.Errorf("%s: the error %v tells the secret", c.url, err)
		}
		if refused := strings.Contains(err.Error(), errRefused.Error()+" with"); refused != c.refused {
			t.Errorf("%s: refused is %v", c.url, refused)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
	short := channelOf(t, Channel{Kind: KindWebhook, URL: receiver.URL + "/200", Secrets: []string{write(t, "short")}})
	if err := short.sender.send(t.Context(), parcelOf(nodeDown)); err == nil || strings.Contains(err.Error(), `"short"`) {
		t.Errorf("error %v of a secret that is too short", err)
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "30": 30 * time.Second, "0": 0, "-1": 0, "soon": 0, "999999": time.Hour, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Sat, 03 Jan 2026 03:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q is %s, want %s", value, got, want)
		}
	}
}

func TestSlack(t *testing.T) {
	var got struct{ Text string }
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
	}))
	defer receiver.Close()
	c := channelOf(t, Channel{Kind: KindSlack, URLFile: write(t, receiver.URL)})
	if err := c.sender.send(t.Context(), parcelOf(nodeDown)); err != nil {
		t.Fatal(err)
	}
	if want := ":red_circle: *node n3 is down*\naddress: 10.0.0.3"; got.Text != want {
		t.Errorf("text %q, want %q", got.Text, want)
	}
	if err := c.sender.send(t.Context(), parcelOf(nodeDown, nodeDown)); err != nil {
		t.Fatal(err)
	}
	if want := "*2 events: node.down × 2*\n• 2026-05-01T12:00:00Z node n3 is down\n• 2026-05-01T12:00:00Z node n3 is down"; got.Text != want {
		t.Errorf("text %q, want %q", got.Text, want)
	}
}

func TestTemplates(t *testing.T) {
	var body string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		body = string(data)
	}))
	defer receiver.Close()
	c := channelOf(t, Channel{Kind: KindWebhook, URL: receiver.URL, Body: `{"alert": "{{.Name}}: {{.Text}}", "at": "{{.At}}", "where": "{{.Details.address}}"}`})
	quoted := nodeDown
	quoted.Text = `"}, "admin": "true`
	if err := c.sender.send(t.Context(), parcelOf(quoted)); err != nil {
		t.Fatal(err)
	}
	if want := `{"alert": "n3: \"}, \"admin\": \"true", "at": "2026-05-01T12:00:00Z", "where": "10.0.0.3"}`; body != want {
		t.Errorf("body %s, want %s", body, want)
	}
	bad := channelOf(t, Channel{Kind: KindWebhook, URL: receiver.URL, Body: `{{.Text}}`})
	if err := bad.sender.send(t.Context(), parcelOf(nodeDown)); err == nil || !strings.Contains(err.Error(), "does not make JSON") {
		t.Errorf("error %v", err)
	}
}
