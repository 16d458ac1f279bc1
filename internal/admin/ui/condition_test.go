package ui

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
	"fairway/internal/api/automatic"
)

// inCondition is an answer of each operation, where everything is in one condition. Its
// requests fail all, which pages do not judge.
func inCondition(c api.Condition) answers {
	a := everything(plainText)
	a["/v1/services"] = &api.List[api.Service]{Items: []api.Service{{
		ID: "shop@docker", Name: "shop", Source: "docker", Condition: c, Routes: []string{"shop@docker"},
		Instances: []api.Instance{{ID: "1", Name: "shop-1", Source: "docker", State: "ready"}},
	}}}
	a["/v1/routes"] = &api.List[api.Route]{Items: []api.Route{{
		ID: "shop@docker", Service: "shop@docker", Source: "docker", Condition: c, Backend: &api.Backend{ID: "b"},
		Matches:   []api.Match{{Host: "shop.example.com", Path: "/", PathKind: "prefix"}},
		Endpoints: []api.Endpoint{{ID: "1", Address: "10.0.0.1:80", Instance: "shop-1", Source: "docker", State: "ready", Weight: 1}},
	}}}
	if c.State != api.StateHealthy {
		a["/v1/routes"].(*api.List[api.Route]).Items[0].Endpoints[0].Fault = c.Why()
	}
	a["/v1/problems"], a["/v1/commands"] = &api.List[api.Problem]{}, &api.List[api.Command]{}
	a["/v1/traffic"] = &api.Traffic{Routes: []api.RouteTraffic{{Route: "shop@docker", Rate: 10, Errors: 10}}}
	status := &api.Status{State: c.State, Routes: map[string]int{c.State: 1}}
	for _, r := range c.Reasons {
		status.Findings = append(status.Findings, api.Finding{Kind: "route", Subject: "shop@docker", Service: "shop@docker", State: c.State, Reason: r})
	}
	a["/v1/status"] = status
	return a
}

func inState(state string) api.Condition {
	c := api.Condition{State: state}
	if c.State != api.StateHealthy {
		c.Reasons = []api.Reason{{Code: "x", Text: "the reason of it", Hint: "what to do", Since: now()}}
	}
	return c
}

// textOf is what a screen reader reads of a page's main part, attributes included.
func textOf(page string) string {
	_, page, _ = strings.Cut(page, "<main")
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			b.WriteString(z.Token().Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			for _, a := range z.Token().Attr {
				if a.Key == "aria-label" {
					b.WriteString(" " + a.Val + " ")
				}
			}
		}
	}
}

// Every page shows the condition that was judged, with its sign, as text and with the
// reason and what to do, and judges nothing itself.
func TestPagesShowConditions(t *testing.T) {
	p := newPages(t)
	for state, sign := range map[string]string{
		api.StateHealthy: signs.Fine, api.StateUnknown: signs.Waiting, api.StateHeld: signs.Waiting,
		api.StateDegraded: signs.Faulty, api.StateRefused: signs.Broken, api.StateDown: signs.Broken,
	} {
		a := inCondition(inState(state))
		for _, path := range []string{"/", "/services", "/services/shop@docker", "/routes"} {
			body := get(t, p, a, path).Body.String()
			_, main, _ := strings.Cut(body, "<main")
			text := textOf(body)
			if !strings.Contains(main, "#m-"+sign+`"`) || !strings.Contains(text, state) {
				t.Errorf("%s does not say %s with the sign %s", path, state, sign)
			}
			wrong := state != api.StateHealthy
			if strings.Contains(text, "the reason of it") != wrong || strings.Contains(text, "what to do") != wrong {
				t.Errorf("%s, %s: reason and hint are shown: %v, want %v", path, state, !wrong, wrong)
			}
			if path != "/" && sign == signs.Fine && (strings.Contains(main, "#m-faulty") || strings.Contains(main, "#m-broken")) {
				t.Errorf("%s judges by itself", path)
			}
		}
		ready := "1 of 1 instance ready"
		if state != api.StateHealthy {
			ready = "0 of 1 instance ready"
		}
		if body := get(t, p, a, "/services/shop@docker").Body.String(); !strings.Contains(body, ready) {
			t.Errorf("%s: not %q", state, ready)
		}
		trouble := strings.Contains(get(t, p, a, "/routes?only=trouble").Body.String(), `<tr id="r-`)
		if trouble != isTrouble(sign) {
			t.Errorf("a route that is %s is listed as degraded: %v", state, trouble)
		}
	}
}

// The chip at the top of every page says the condition of everything, and one that begins
// or ends says so.
func TestChip(t *testing.T) {
	p := newPages(t)
	for name, c := range map[string]struct{ state, table, want string }{
		"healthy":  {api.StateHealthy, api.StateSynced, "Healthy"},
		"degraded": {api.StateDegraded, api.StateSynced, "Degraded"},
		"refused":  {api.StateRefused, api.StateSynced, "Refused"},
		"down":     {api.StateDown, api.StatePartial, "Down"},
		"held":     {api.StateHeld, api.StateSynced, "Held by rollback"},
		"unknown":  {api.StateUnknown, api.StateSynced, "Unknown"},
		"restored": {api.StateUnknown, api.StateRestored, "Restored"},
		"draining": {api.StateHealthy, api.StateDraining, "Draining"},
		"starting": {api.StateUnknown, api.StateStarting, "Starting"},
	} {
		a := inCondition(inState(c.state))
		a["/v1/info"] = &api.Info{Table: api.Table{State: c.table}}
		if c.state == api.StateHeld {
			a["/v1/commands"] = &api.List[api.Command]{Items: []api.Command{{ID: api.HoldID, Kind: "rollback"}}}
		}
		_, chip, _ := strings.Cut(get(t, p, a, "/plan").Body.String(), `id="status">`)
		chip, _, _ = strings.Cut(chip, "\n")
		if !strings.Contains(chip, "</svg>"+c.want+"</span>") || (isTrouble(signs.Of(inState(c.state))) || c.state == api.StateHeld) != strings.Contains(chip, "the reason of it") {
			t.Errorf("%s: %s, want %s", name, chip, c.want)
		}
	}
}

// A rollback or pin in force stands on every page, once, with who and why, and can be
// released there by those who may.
func TestHoldOnEveryPage(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/commands"] = &api.List[api.Command]{Items: []api.Command{{
		ID: api.HoldID, Kind: "rollback", Entry: 20, Operator: "ops", Message: "at 3 in the morning", Since: now().Add(-time.Hour),
	}}}
	for name, path := range paths(a) {
		for _, role := range []string{api.RoleViewer, api.RoleOperator} {
			who := api.Identity{Name: "x", Role: role, By: api.ByToken}
			body := look(t, p, a, who, httptest.NewRequest("GET", path, nil)).Body.String()
			for _, want := range []string{`id="hold"`, "Held by rollback", `href="/history/20"`, "by ops", "“at 3 in the morning”", "No change of containers or labels goes live"} {
				if strings.Count(body, want) != 1 {
					t.Errorf("%s has %q %d times", name, want, strings.Count(body, want))
				}
			}
			if may := strings.Contains(body, `data-call="DELETE /v1/commands/hold"`); may != (role == api.RoleOperator) {
				t.Errorf("%s offers %s to release it: %v", name, role, may)
			}
		}
	}
}

// Nothing is offered for a service that no request reaches.
func TestNothingToDrain(t *testing.T) {
	p := newPages(t)
	a := inCondition(inState(api.StateDown))
	offered := func() bool {
		body := get(t, p, a, "/services/shop@docker").Body.String()
		return strings.Contains(body, `data-open="drain"`) && strings.Contains(body, "instance:shop-1")
	}
	if !offered() {
		t.Error("a drain is not offered for what has a route")
	}
	a["/v1/routes"] = &api.List[api.Route]{}
	if offered() || strings.Contains(get(t, p, a, "/services/shop@docker").Body.String(), "/v1/commands") {
		t.Error("a drain is offered for what has no route")
	}
}

// Every table has a name.
func TestTablesHaveNames(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for name, path := range paths(a) {
		body := get(t, p, a, path).Body.String()
		for part := range strings.SplitSeq(body, "<table") {
			if tag, _, _ := strings.Cut(part, ">"); strings.HasPrefix(tag, " ") && !strings.Contains(tag, "aria-label=") {
				t.Errorf("%s: <table%s>", name, tag)
			}
		}
	}
}

// An endpoint that was not tried yet is not broken while its route works.
func TestMarksOfEndpoints(t *testing.T) {
	for name, c := range map[string]struct {
		route    string
		endpoint api.Endpoint
		want     string
	}{
		"up":           {api.StateDegraded, api.Endpoint{State: "ready", Weight: 1}, signs.Fine},
		"refused":      {api.StateDegraded, api.Endpoint{State: "ready", Weight: 1, Fault: "connection refused"}, signs.Broken},
		"not tried":    {api.StateHealthy, api.Endpoint{State: "ready", Weight: 1, Fault: "no connection was tried yet"}, signs.Waiting},
		"drained":      {api.StateDown, api.Endpoint{State: "draining", Weight: 1, Fault: "drain by ops"}, signs.Waiting},
		"takes no new": {api.StateDown, api.Endpoint{State: "ready", Fault: "weight 0"}, signs.Waiting},
	} {
		marks := marksOf(api.Route{Condition: inState(c.route), Endpoints: []api.Endpoint{c.endpoint}})
		if marks[0].Health != c.want || !strings.Contains(marks[0].Text, c.endpoint.Fault) {
			t.Errorf("%s: %+v, want %s", name, marks[0], c.want)
		}
	}
}

// TestCertificates shows hosts without a certificate before all certificates, what is wrong
// with each, and only those in trouble where that is asked for.
func TestCertificates(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/certificates"] = &api.Certificates{
		At: now(),
		Certificates: []api.Certificate{
			{File: "/old.pem", State: automatic.CertificateExpired, Names: []string{"old.example"}, NotAfter: now().Add(-72 * time.Hour)},
			{File: "/soon.pem", State: automatic.CertificateExpiring, Names: []string{"soon.example"}, NotAfter: now().Add(72 * time.Hour)},
			{File: "/shop.pem", State: automatic.CertificateValid, Names: []string{"shop.example"}, NotAfter: now().Add(600 * time.Hour), Routes: []string{"shop@docker"}},
		},
		Uncovered: []api.UncoveredHost{{Host: "new.example", Text: "no certificate covers it", Hint: "add one"}},
	}
	body := get(t, p, a, "/certificates").Body.String()
	last := 0
	for _, want := range []string{"1 host without a certificate", "new.example", "add one", "h-broken", "old.example", "expired 3 days ago", "h-faulty", "soon.example", "in 3 days", "h-fine", "in 25 days"} {
		i := strings.Index(body[last:], want)
		if i < 0 {
			t.Fatalf("no %q behind %q", want, body[max(0, last-40):last])
		}
		last += i
	}
	if body = get(t, p, a, "/certificates?only=trouble").Body.String(); strings.Contains(body, "shop.example") || !strings.Contains(body, "soon.example") {
		t.Error("a sound certificate is in trouble")
	}
	a["/v1/certificates"] = &api.Certificates{}
	if body = get(t, p, a, "/certificates").Body.String(); !strings.Contains(body, "--tls.certificates") {
		t.Error("it does not say how to give certificates")
	}
	a["/v1/certificates"] = &api.Certificates{Automatic: []automatic.Managed{{Name: "new.example", State: automatic.Waiting}}}
	if body = get(t, p, a, "/certificates").Body.String(); strings.Contains(body, "--acme") || !strings.Contains(body, "none is there yet") {
		t.Error("it asks for what is configured")
	}
}
