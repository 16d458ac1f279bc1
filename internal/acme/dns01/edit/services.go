package edit

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Cloudflare, DigitalOcean and Hetzner change records by the APIs of these services. Each
// has a token with the right to change the zone.
type (
	Cloudflare   struct{ caller caller }
	DigitalOcean struct{ caller caller }
	Hetzner      struct{ caller caller }
)

// NewCloudflare returns one; the token needs Zone:Read and DNS:Edit.
func NewCloudflare(tokenFile string) Cloudflare {
	return Cloudflare{newCaller("https://api.cloudflare.com/client/v4", tokenFile)}
}

// NewDigitalOcean returns one; the token needs domain:read, create and delete.
func NewDigitalOcean(tokenFile string) DigitalOcean {
	return DigitalOcean{newCaller("https://api.digitalocean.com/v2", tokenFile)}
}

// NewHetzner returns one, for zones in the Hetzner Console; the token needs Read & Write.
func NewHetzner(tokenFile string) Hetzner {
	return Hetzner{newCaller("https://api.hetzner.cloud/v1", tokenFile)}
}

// bare is a name without the dot at its end.
func bare(name string) string { return strings.TrimSuffix(name, ".") }

// zone is the ID of a zone.
func (e Cloudflare) zone(ctx context.Context, r Record) (string, error) {
	var found struct {
		Result []struct {
			ID string `json:"id"`
		} `json:"result"`
	}
	if err := e.caller.do(ctx, http.MethodGet, "/zones?name="+url.QueryEscape(bare(r.Zone)), nil, &found); err != nil {
		return "", err
	}
	if len(found.Result) == 0 {
		return "", noZone(r)
	}
	return url.PathEscape(found.Result[0].ID), nil
}

// noZone says that a service does not know the zone.
func noZone(r Record) error {
	return fmt.Errorf("the account of the token or key has no zone %s (acme.dns.zone)", bare(r.Zone))
}

// Add adds a record.
func (e Cloudflare) Add(ctx context.Context, r Record) error {
	zone, err := e.zone(ctx, r)
	if err != nil {
		return err
	}
	there, err := e.find(ctx, zone, r)
	if err != nil || len(there) > 0 {
		return err
	}
	return e.caller.do(ctx, http.MethodPost, "/zones/"+zone+"/dns_records",
		map[string]any{"type": "TXT", "name": bare(r.Name), "content": quoted(r), "ttl": TTL}, nil)
}

// Remove removes it.
func (e Cloudflare) Remove(ctx context.Context, r Record) error {
	zone, err := e.zone(ctx, r)
	if err != nil {
		return err
	}
	there, err := e.find(ctx, zone, r)
	for _, id := range there {
		if err == nil {
			err = missing(e.caller.do(ctx, http.MethodDelete, "/zones/"+zone+"/dns_records/"+id, nil, nil))
		}
	}
	return err
}

// find are the IDs of a record.
func (e Cloudflare) find(ctx context.Context, zone string, r Record) (ids []string, err error) {
	var found struct {
		Result []struct {
			ID      string `json:"id"`
			Content string `json:"content"`
		} `json:"result"`
	}
	query := url.Values{"type": {"TXT"}, "name": {bare(r.Name)}, "per_page": {"100"}}
	err = e.caller.do(ctx, http.MethodGet, "/zones/"+zone+"/dns_records?"+query.Encode(), nil, &found)
	for _, one := range found.Result {
		if strings.Trim(one.Content, `"`) == r.Text {
			ids = append(ids, url.PathEscape(one.ID))
		}
	}
	return ids, err
}

// quoted is the text as in files of zones.
func quoted(r Record) string { return `"` + r.Text + `"` }

// Add adds a record.
func (e DigitalOcean) Add(ctx context.Context, r Record) error {
	there, err := e.find(ctx, r)
	if err != nil || len(there) > 0 {
		return err
	}
	return e.caller.do(ctx, http.MethodPost, e.path(r), map[string]any{"type": "TXT", "name": r.atOr("@"), "data": r.Text, "ttl": TTL}, nil)
}

// Remove removes it.
func (e DigitalOcean) Remove(ctx context.Context, r Record) error {
	there, err := e.find(ctx, r)
	for _, id := range there {
		if err == nil {
			err = missing(e.caller.do(ctx, http.MethodDelete, fmt.Sprintf("%s/%d", e.path(r), id), nil, nil))
		}
	}
	return err
}

func (DigitalOcean) path(r Record) string {
	return "/domains/" + url.PathEscape(bare(r.Zone)) + "/records"
}

// find are the IDs of a record.
func (e DigitalOcean) find(ctx context.Context, r Record) (ids []int64, err error) {
	var found struct {
		Records []struct {
			ID   int64  `json:"id"`
			Data string `json:"data"`
		} `json:"domain_records"`
	}
	query := url.Values{"type": {"TXT"}, "name": {bare(r.Name)}, "per_page": {"200"}}
	err = e.caller.do(ctx, http.MethodGet, e.path(r)+"?"+query.Encode(), nil, &found)
	for _, one := range found.Records {
		if strings.Trim(one.Data, `"`) == r.Text {
			ids = append(ids, one.ID)
		}
	}
	return ids, err
}

// Add adds a record to those of its name.
func (e Hetzner) Add(ctx context.Context, r Record) error { return e.change(ctx, "add_records", r) }

// Remove removes it from them.
func (e Hetzner) Remove(ctx context.Context, r Record) error {
	return missing(e.change(ctx, "remove_records", r))
}

func (e Hetzner) change(ctx context.Context, action string, r Record) error {
	path := "/zones/" + url.PathEscape(bare(r.Zone)) + "/rrsets/" + url.PathEscape(r.atOr("@")) + "/TXT/actions/" + action
	return e.caller.do(ctx, http.MethodPost, path, map[string]any{"records": []map[string]string{{"value": quoted(r)}}}, nil)
}
