package admin

import "testing"

// A name that is in the JSON twice could mean either, and is refused.
func TestANameTwiceInJSONIsRefused(t *testing.T) {
	o := options(t, newWorld(t))
	o.Token = goodToken
	s := newServer(t, o)
	for body, want := range map[string]int{
		`{"name":"a","role":"viewer","role":"admin"}`: 400,
		`{"name":"a","role":"viewer","Role":"admin"}`: 400,
		`{"name":"b","role":"viewer"}`:                200,
	} {
		if rec := sendJSON(t, s, "POST", "/v1/tokens", body, bearer(goodToken)); rec.Code != want {
			t.Errorf("%s: %d %s, want %d", body, rec.Code, rec.Body, want)
		}
	}
}
