//go:build validator

// The validator takes a minute to compile, and longer for the race detector.

package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairway/internal/api"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

// TestOpenAPIIsValid: the document is one by OpenAPI's own schema, and what is asked
// and answered is what it says, for every operation that only reads, and for errors.
func TestOpenAPIIsValid(t *testing.T) {
	document, err := libopenapi.NewDocument(api.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(document)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		for _, err := range errs {
			t.Error(err.Message, err.Reason, err.SchemaValidationErrors)
		}
	}
	o := options(t, newWorld(t))
	o.Token, o.Series, o.Commands = goodToken, newSeries(t), &fakeCommands{}
	s := newServer(t, o)
	type call struct{ method, path, body string }
	var calls []call
	for _, path := range everyPath(s) {
		if path != "/metrics" && path != "/v1/openapi.json" {
			calls = append(calls, call{"GET", path, ""})
		}
	}
	const web = "/v1/fleet/documents/web"
	calls = append(calls, []call{
		{"GET", "/v1/routes?live=true&service=shop", ""},
		{"GET", "/v1/routes?live=perhaps", ""},
		{"GET", "/v1/services/none", ""},
		{"GET", "/v1/explain?url=http://nobody.example/", ""},
		{"GET", "/v1/history/7", ""},
		{"GET", "/v1/diff?from=1&to=live", ""},
		{"GET", "/v1/traffic?wait=false", ""},
		{"GET", "/v1/series/service/shop", ""},
		{"GET", "/v1/series/route/shop", ""},
		{"GET", "/v1/audit?limit=5", ""},
		{"GET", web + "/revisions/newest", ""},
		{"GET", web + "/rollout", ""},
		{"POST", "/v1/tokens", `{"name":"a","role":"viewer","days":3}`},
		{"POST", "/v1/tokens", `{"name":"a","role":"viewer"}`},
		{"DELETE", "/v1/tokens/a", ""},
		{"POST", "/v1/session", `{"token":"` + goodToken + `"}`},
		{"DELETE", "/v1/session", ""},
		{"POST", "/v1/commands", `{"kind":"drain","subject":"shop","message":"why"}`},
		{"POST", "/v1/preview", `{"kind":"drain","subject":"shop"}`},
		{"DELETE", "/v1/commands/x?message=why", ""},
		{"POST", "/v1/plan", `{"labels":[{"subject":"shop","label":"fairway.host","value":"a.example"}]}`},
		{"POST", web + "/revisions", `{"expect":2,"content":"Z2xvYmFsCg=="}`},
		{"POST", web + "/check", `{}`},
		{"POST", web + "/drift", `{"host":"edge1","action":"adopt"}`},
		{"POST", web + "/rollout", `{"settings":{"wave":"x"}}`},
		{"DELETE", web + "/rollout", ""},
	}...)
	for _, c := range calls {
		var sent *http.Request
		rec := sendJSON(t, s, c.method, c.path, c.body, func(r *http.Request) {
			bearer(goodToken)(r)
			if c.body == "" {
				r.Header.Del("Content-Type")
			}
			sent = r.Clone(t.Context())
		})
		sent.Body = http.NoBody
		if ok, errs := v.ValidateHttpResponse(sent, rec.Result()); !ok {
			for _, err := range errs {
				t.Errorf("%s %s = %d: %s %s %v\n%.300s", c.method, c.path, rec.Code, err.Message, err.Reason, err.SchemaValidationErrors, rec.Body)
			}
		}
		if rec.Code != 200 || c.body == "" {
			continue
		}
		sent = httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		sent.Header.Set("Content-Type", "application/json")
		bearer(goodToken)(sent)
		if ok, errs := v.ValidateHttpRequest(sent); !ok {
			for _, err := range errs {
				t.Errorf("%s %s: %s %s %v", c.method, c.path, err.Message, err.Reason, err.SchemaValidationErrors)
			}
		}
	}
}
