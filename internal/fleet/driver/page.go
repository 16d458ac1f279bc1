package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fairway/internal/engine/haproxy/socket"
)

// maxStats is the largest answer taken from a statistics page: 10,000 backends
// make 7 MB.
const maxStats = 32 << 20

// statsPage is the statistics page of a HAProxy that cannot be asked from within
// its container.
type statsPage struct {
	client *http.Client
	url    string // empty for none
	user   string // "user:password"; empty for none
}

// read takes a reading from the page.
func (s statsPage) read(ctx context.Context) (Reading, error) {
	if s.url == "" {
		return Reading{}, ErrNoReading
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, csvURL(s.url), nil)
	if err != nil {
		return Reading{}, errors.New("statistics page: the URL makes no sense")
	}
	if name, password, ok := strings.Cut(s.user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which may hold a secret
		}
		return Reading{}, fmt.Errorf("statistics page: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Reading{}, fmt.Errorf("statistics page: %s", answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxStats))
	if err != nil {
		return Reading{}, fmt.Errorf("statistics page: %w", err)
	}
	stats, err := socket.ParseStats(string(text))
	if err != nil {
		return Reading{}, fmt.Errorf("statistics page: %w", err)
	}
	return newReading(time.Now(), stats), nil
}

// csvURL is the page in its form for programs.
func csvURL(page string) string {
	if strings.HasSuffix(page, ";csv") {
		return page
	}
	return page + ";csv"
}
