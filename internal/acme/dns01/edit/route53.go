package edit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Route53 changes records by the API of Amazon Route 53.
type Route53 struct {
	keyID, keyFile, base string
	client               *http.Client
}

// NewRoute53 returns one. The access key needs route53:ListHostedZonesByName,
// ListResourceRecordSets and ChangeResourceRecordSets; keyFile holds its secret.
func NewRoute53(keyID, keyFile string) Route53 {
	return Route53{keyID, keyFile, "https://route53.amazonaws.com", newCaller("", "").client}
}

// Add adds a record.
func (e Route53) Add(ctx context.Context, r Record) error { return e.change(ctx, r, true) }

// Remove removes it.
func (e Route53) Remove(ctx context.Context, r Record) error { return e.change(ctx, r, false) }

// set is all records of a name and a type, which Route 53 changes together.
type set struct {
	Name   string  `xml:"Name"`
	Type   string  `xml:"Type"`
	TTL    int     `xml:"TTL"`
	Values []value `xml:"ResourceRecords>ResourceRecord"`
}

// value is a record of a set, each of which is an element of its own.
type value struct {
	Value string `xml:"Value"`
}

// batch are changes that are made together or not at all.
type batch struct {
	XMLName xml.Name  `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
	Changes []oneMore `xml:"ChangeBatch>Changes>Change"`
}

type oneMore struct {
	Action string `xml:"Action"`
	Set    set    `xml:"ResourceRecordSet"`
}

// errChanged says that the set was changed by others meanwhile.
var errChanged = errors.New("the records were changed by others at the same time")

// change adds to the set of the name, or takes from it: the set that was read is replaced by
// another one only where it is still the same.
func (e Route53) change(ctx context.Context, r Record, add bool) error {
	zone, err := e.zone(ctx, r)
	for range 5 {
		if err != nil && !errors.Is(err, errChanged) {
			return err
		}
		var there struct {
			Sets []set `xml:"ResourceRecordSets>ResourceRecordSet"`
		}
		query := url.Values{"name": {r.Name}, "type": {"TXT"}, "maxitems": {"1"}}
		if err := e.do(ctx, http.MethodGet, zone+"/rrset", query, nil, &there); err != nil {
			return err
		}
		changes := without(there.Sets, r, add)
		if len(changes) == 0 {
			return nil
		}
		if err = e.do(ctx, http.MethodPost, zone+"/rrset/", nil, batch{Changes: changes}, nil); err == nil {
			return nil
		}
	}
	return err
}

// without are the changes that bring what is there to what it is with or without a record.
func without(sets []set, r Record, add bool) (changes []oneMore) {
	next := set{Name: r.Name, Type: "TXT", TTL: TTL}
	if len(sets) > 0 && strings.EqualFold(sets[0].Name, r.Name) && sets[0].Type == "TXT" {
		if slices.Contains(sets[0].Values, value{quoted(r)}) == add {
			return nil
		}
		changes = append(changes, oneMore{"DELETE", sets[0]})
		next.TTL, next.Values = sets[0].TTL, slices.DeleteFunc(slices.Clone(sets[0].Values), func(v value) bool { return v == value{quoted(r)} })
	}
	if add {
		next.Values = append(next.Values, value{quoted(r)})
	}
	if len(next.Values) > 0 && (add || len(changes) > 0) {
		changes = append(changes, oneMore{"CREATE", next})
	}
	return changes
}

// zone is the path of the public zone of a record.
func (e Route53) zone(ctx context.Context, r Record) (string, error) {
	var found struct {
		Zones []struct {
			ID      string `xml:"Id"`
			Name    string `xml:"Name"`
			Private bool   `xml:"Config>PrivateZone"`
		} `xml:"HostedZones>HostedZone"`
	}
	if err := e.do(ctx, http.MethodGet, "/hostedzonesbyname", url.Values{"dnsname": {r.Zone}}, nil, &found); err != nil {
		return "", err
	}
	for _, z := range found.Zones {
		if strings.EqualFold(z.Name, r.Zone) && !z.Private {
			return "/hostedzone/" + url.PathEscape(strings.TrimPrefix(z.ID, "/hostedzone/")), nil
		}
	}
	return "", noZone(r)
}

var messages = regexp.MustCompile(`<(?:Code|Message)>([^<]*)</`)

// do sends body, where that is not nil, and reads the answer into out, where that is not nil.
func (e Route53) do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	key, err := secret("acme.dns.key-file", e.keyFile)
	if err != nil {
		return err
	}
	var text []byte
	if body != nil {
		if text, err = xml.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, e.base+"/2013-04-01"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.URL.RawQuery = query.Encode()
	sign(r, text, e.keyID, key, "us-east-1", "route53", time.Now())
	resp, err := e.client.Do(r)
	if err != nil {
		return unsent(r, err, key)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", r.URL.Host, err)
	case resp.StatusCode == http.StatusBadRequest && bytes.Contains(answer, []byte("InvalidChangeBatch")):
		return fmt.Errorf("%w: %s", errChanged, said(answer, key))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %d: %s", r.URL.Host, resp.StatusCode, said(answer, key))
	case out == nil:
		return nil
	}
	if err := xml.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the answer of %s makes no sense: %w", r.URL.Host, err)
	}
	return nil
}

// said are the words of an answer that is an error.
func said(answer []byte, key string) string {
	var list []string
	for _, m := range messages.FindAllSubmatch(answer, 4) {
		list = append(list, string(m[1]))
	}
	return words(strings.Join(list, ": "), key)
}

// sign signs a request that has no header of its own yet (AWS Signature Version 4).
func sign(r *http.Request, body []byte, keyID, key, region, service string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	day := stamp[:8]
	hash := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write([]byte(text)) // it never fails
		return h.Sum(nil)
	}
	query := strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") // sorted
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	request := strings.Join([]string{r.Method, path, query, "host:" + r.URL.Host, "x-amz-date:" + stamp, "", "host;x-amz-date", hash(body)}, "\n")
	scope := strings.Join([]string{day, region, service, "aws4_request"}, "/")
	derived := []byte("AWS4" + key)
	for _, part := range []string{day, region, service, "aws4_request"} {
		derived = mac(derived, part)
	}
	signature := hex.EncodeToString(mac(derived, strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, hash([]byte(request))}, "\n")))
	r.Header.Set("X-Amz-Date", stamp)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+keyID+"/"+scope+", SignedHeaders=host;x-amz-date, Signature="+signature)
}
