package edit

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// service keeps texts of names as one of the services does, and answers as its API is documented.
type service struct {
	mu    sync.Mutex
	texts map[string][]string // by name
	fault func(w http.ResponseWriter) bool
}

func (s *service) add(name, text string) { s.texts[name] = append(s.texts[name], text) }

func (s *service) remove(name, text string) {
	s.texts[name] = slices.DeleteFunc(s.texts[name], func(t string) bool { return t == text })
}

func (s *service) serve(t *testing.T, authorized string, handler func(w http.ResponseWriter, r *http.Request, body []byte)) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		switch {
		case !strings.HasPrefix(r.Header.Get("Authorization"), authorized):
			http.Error(w, `{"message": "who is `+r.Header.Get("Authorization")+`?"}`, http.StatusUnauthorized)
		case s.fault == nil || !s.fault(w):
			handler(w, r, body)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (s *service) cloudflare(w http.ResponseWriter, r *http.Request, body []byte) {
	type item struct {
		ID      string `json:"id"`
		Content string `json:"content"`
	}
	var found []item
	switch {
	case r.URL.Path == "/zones":
		if r.URL.Query().Get("name") == "example.com" {
			found = []item{{ID: "z1"}}
		}
	case r.Method == http.MethodGet:
		for _, text := range s.texts[r.URL.Query().Get("name")] {
			found = append(found, item{r.URL.Query().Get("name") + "|" + text, `"` + text + `"`})
		}
	case r.Method == http.MethodPost:
		var one struct{ Type, Name, Content string }
		_ = json.Unmarshal(body, &one)
		s.add(one.Name, strings.Trim(one.Content, `"`))
	default:
		name, text, _ := strings.Cut(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], "|")
		s.remove(name, text)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "result": found})
}

func (s *service) digitalocean(w http.ResponseWriter, r *http.Request, body []byte) {
	type item struct {
		ID   int    `json:"id"`
		Data string `json:"data"`
	}
	if !strings.HasPrefix(r.URL.Path, "/domains/example.com/records") {
		http.Error(w, `{"id": "not_found", "message": "The resource you were accessing could not be found."}`, http.StatusNotFound)
		return
	}
	const name = "_acme-challenge.app.example.com"
	switch r.Method {
	case http.MethodGet:
		var found []item
		for i, text := range s.texts[r.URL.Query().Get("name")] {
			found = append(found, item{i, text})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"domain_records": found})
	case http.MethodPost:
		var one struct{ Type, Name, Data string }
		_ = json.Unmarshal(body, &one)
		s.add(one.Name+".example.com", one.Data)
		w.WriteHeader(http.StatusCreated)
	default:
		var i int
		_, _ = fmt.Sscanf(r.URL.Path, "/domains/example.com/records/%d", &i)
		s.texts[name] = slices.Delete(s.texts[name], i, i+1)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *service) hetzner(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct{ Records []struct{ Value string } }
	_ = json.Unmarshal(body, &in)
	path := strings.Split(r.URL.Path, "/") // "", zones, ZONE, rrsets, NAME, TXT, actions, ACTION
	if len(path) != 8 || path[2] != "example.com" || len(in.Records) != 1 || r.Method != http.MethodPost {
		http.Error(w, `{"error": {"code": "not_found", "message": "zone not found"}}`, http.StatusNotFound)
		return
	}
	name, text := path[4]+"."+path[2], strings.Trim(in.Records[0].Value, `"`)
	switch {
	case path[7] == "remove_records" && !slices.Contains(s.texts[name], text):
		http.Error(w, `{"error": {"code": "not_found", "message": "record not found"}}`, http.StatusNotFound)
		return
	case path[7] == "remove_records":
		s.remove(name, text)
	case !slices.Contains(s.texts[name], text):
		s.add(name, text)
	}
	w.WriteHeader(http.StatusCreated)
}

func (s *service) route53(w http.ResponseWriter, r *http.Request, body []byte) {
	switch {
	case r.URL.Path == "/2013-04-01/hostedzonesbyname":
		_, _ = io.WriteString(w, `<?xml version="1.0"?><ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZones>
			<HostedZone><Id>/hostedzone/ZPRIVATE</Id><Name>example.com.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone>
			<HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone></HostedZones></ListHostedZonesByNameResponse>`)
	case r.Method == http.MethodGet && r.URL.Path == "/2013-04-01/hostedzone/Z1/rrset":
		name, values := r.URL.Query().Get("name"), ""
		for _, text := range s.texts[bare(name)] {
			values += "<ResourceRecord><Value>&quot;" + text + "&quot;</Value></ResourceRecord>"
		}
		if values == "" { // the next set there is
			name, values = "a."+name, "<ResourceRecord><Value>&quot;text&quot;</Value></ResourceRecord>"
		}
		_, _ = io.WriteString(w, `<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>`+name+`</Name><Type>TXT</Type><TTL>60</TTL><ResourceRecords>`+
			values+`</ResourceRecords></ResourceRecordSet></ResourceRecordSets></ListResourceRecordSetsResponse>`)
	case r.URL.Path != "/2013-04-01/hostedzone/Z1/rrset/":
		http.NotFound(w, r)
	default:
		var in batch
		if err := xml.Unmarshal(body, &in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		next := maps.Clone(s.texts)
		for _, c := range in.Changes {
			name, values := bare(c.Set.Name), []string{}
			for _, v := range c.Set.Values {
				values = append(values, strings.Trim(v.Value, `"`))
			}
			if (c.Action == "DELETE") != (len(next[name]) > 0) || c.Action == "DELETE" && !slices.Equal(values, next[name]) {
				http.Error(w, `<InvalidChangeBatch><Messages><Message>it already exists</Message></Messages></InvalidChangeBatch>`, http.StatusBadRequest)
				return
			}
			if next[name] = values; c.Action == "DELETE" {
				delete(next, name)
			}
		}
		s.texts = next
	}
}

// TestServices: with each service a record comes beside others of its name and goes alone, also twice; what
// a service says is in the error, without the secret; a zone that it does not know is named.
func TestServices(t *testing.T) {
	token := file(t, "t0ken\n", 0o600)
	type editor interface {
		Add(context.Context, Record) error
		Remove(context.Context, Record) error
	}
	for name, open := range map[string]func(s *service) editor{
		"cloudflare": func(s *service) editor {
			return Cloudflare{newCaller(s.serve(t, "Bearer t0ken", s.cloudflare), token)}
		},
		"digitalocean": func(s *service) editor {
			return DigitalOcean{newCaller(s.serve(t, "Bearer t0ken", s.digitalocean), token)}
		},
		"hetzner": func(s *service) editor { return Hetzner{newCaller(s.serve(t, "Bearer t0ken", s.hetzner), token)} },
		"route53": func(s *service) editor {
			e := NewRoute53("AKID", token)
			e.base = s.serve(t, "AWS4-HMAC-SHA256 Credential=AKID/", s.route53)
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{texts: map[string][]string{"_acme-challenge.app.example.com": {"other"}}}
			e := open(s)
			step := func(what string, err error, want ...string) {
				t.Helper()
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if got := s.texts["_acme-challenge.app.example.com"]; !slices.Equal(got, want) {
					t.Errorf("%s: %q", what, got)
				}
			}
			step("add", e.Add(t.Context(), record), "other", "text")
			step("add again", e.Add(t.Context(), record), "other", "text")
			step("remove", e.Remove(t.Context(), record), "other")
			step("remove again", e.Remove(t.Context(), record), "other")
			only := record
			only.Text = "other"
			step("remove the last", e.Remove(t.Context(), only))
			step("add the first", e.Add(t.Context(), record), "text")
			foreign := Record{Zone: "example.org.", Name: "a.example.org.", Text: "text"}
			if err := e.Add(t.Context(), foreign); err == nil || strings.Contains(err.Error(), "t0ken") {
				t.Errorf("another zone: %v", err)
			}
			s.fault = func(w http.ResponseWriter) bool {
				http.Error(w, `{"success": false, "errors": [{"code": 10000, "message": "no, t0ken"}]}<Message>no, t0ken</Message>`, http.StatusForbidden)
				return true
			}
			if err := e.Remove(t.Context(), record); err == nil || !strings.Contains(err.Error(), "no, …") {
				t.Error(err)
			}
			s.fault = nil
		})
	}
}

// TestRoute53Races: a set that others have changed meanwhile is read again.
func TestRoute53Races(t *testing.T) {
	s := &service{texts: map[string][]string{}}
	e := NewRoute53("AKID", file(t, "secret", 0o600))
	calls := 0
	s.fault = func(http.ResponseWriter) bool {
		if calls++; calls == 3 { // before the change
			s.add("_acme-challenge.app.example.com", "other")
		}
		return false
	}
	var sent string
	e.base = s.serve(t, "", func(w http.ResponseWriter, r *http.Request, body []byte) {
		sent = string(body)
		s.route53(w, r, body)
	})
	if err := e.Add(t.Context(), record); err != nil || !slices.Equal(s.texts["_acme-challenge.app.example.com"], []string{"other", "text"}) {
		t.Errorf("%q, %v", s.texts, err)
	}
	both := `<ResourceRecords><ResourceRecord><Value>&#34;other&#34;</Value></ResourceRecord><ResourceRecord><Value>&#34;text&#34;</Value></ResourceRecord></ResourceRecords>`
	if !strings.Contains(sent, both) {
		t.Errorf("no element for each record: %s", sent)
	}
}

// TestSign: two of the examples that Amazon publishes for its signatures.
func TestSign(t *testing.T) {
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for target, want := range map[string]string{
		"https://example.amazonaws.com/":                             "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		"https://example.amazonaws.com/?Param2=value2&Param1=value1": "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		sign(r, nil, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service", at)
		if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+want) {
			t.Errorf("%s: %s", target, got)
		}
	}
}
