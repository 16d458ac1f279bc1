package edit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// caller calls an API with JSON.
type caller struct {
	base      string // URL, without a slash at its end
	tokenFile string // empty for none
	client    *http.Client
}

func newCaller(base, tokenFile string) caller {
	return caller{strings.TrimSuffix(base, "/"), tokenFile, &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// unsent says why there is no answer, without the URL, which may have a secret of its own.
func unsent(r *http.Request, err error, secret string) error {
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		err = failed.Err
	}
	return errors.New(words(r.URL.Host+": "+err.Error(), secret))
}

// do sends body, where that is not nil, and reads the answer into out, where that is not nil.
func (c caller) do(ctx context.Context, method, path string, body, out any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	token := ""
	if c.tokenFile != "" {
		if token, err = secret("acme.dns.token-file", c.tokenFile); err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return unsent(r, err, token)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", r.URL.Host, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &refusal{resp.StatusCode, fmt.Sprintf("%s answers %d: %s", r.URL.Host, resp.StatusCode, words(reason(answer), token))}
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("the answer of %s makes no sense: %w", r.URL.Host, err)
		}
	}
	return nil
}

// refusal is an answer that is no 2xx.
type refusal struct {
	status int
	text   string
}

// Error is the text.
func (r *refusal) Error() string { return r.text }

// missing is err, but nil where it says that there is no such thing.
func missing(err error) error {
	if r := (*refusal)(nil); errors.As(err, &r) && r.status == http.StatusNotFound {
		return nil
	}
	return err
}

// reason is what an answer says is wrong.
func reason(answer []byte) string {
	var said struct {
		Message string `json:"message"`
		Error   struct {
			Message string `json:"message"`
		} `json:"error"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	_ = json.Unmarshal(answer, &said) // then it is text
	list := []string{said.Message, said.Error.Message}
	for _, e := range said.Errors {
		list = append(list, e.Message)
	}
	if text := strings.TrimSpace(strings.Join(list, " ")); text != "" {
		return text
	}
	return string(answer)
}

// Webhook has a service of the operator's own change records, by POST to URL/present and
// URL/cleanup with
//
//	{"fqdn": "NAME.", "value": "TEXT"}
//
// It has to have done so when it answers, with a status 2xx.
type Webhook struct{ caller caller }

// NewWebhook returns one. tokenFile holds a token that is sent as Bearer; empty for none.
func NewWebhook(url, tokenFile string) Webhook { return Webhook{newCaller(url, tokenFile)} }

// Add posts to present.
func (e Webhook) Add(ctx context.Context, r Record) error { return e.post(ctx, "/present", r) }

// Remove posts to cleanup.
func (e Webhook) Remove(ctx context.Context, r Record) error { return e.post(ctx, "/cleanup", r) }

func (e Webhook) post(ctx context.Context, path string, r Record) error {
	return e.caller.do(ctx, http.MethodPost, path, map[string]string{"fqdn": r.Name, "value": r.Text}, nil)
}
