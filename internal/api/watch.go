package api

import (
	"context"
	"encoding/json"
	"net/url"
)

// Watch calls each with the state of things at once and then with every change, until ctx
// ends, each returns an error, or the stream breaks off; it returns why, never nil. With
// traffic it calls each every second as well. Nothing is read while each runs.
func (c *Client) Watch(ctx context.Context, traffic bool, each func(Change) error) error {
	var change Change
	var failed error
	err := c.stream(ctx, "/v1/watch", url.Values{"traffic": given(traffic)}, func(event string, data []byte) error {
		if event == "change" {
			change = Change{}
			failed = json.Unmarshal(data, &change)
		}
		if failed == nil && (event == "change" || event == "traffic") {
			failed = each(change)
		}
		return failed
	})
	if failed != nil {
		return failed
	}
	return err
}
