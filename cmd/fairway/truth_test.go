package main

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fairway/internal/admin/admintest"
	"fairway/internal/condition"
	"fairway/internal/condition/situations"
)

// shown is what the places that people and programs look at show of a situation: commands by
// their arguments, pages, operations and metrics by their path; with exit codes and statuses.
type shown struct {
	text map[string]string
	code map[string]int
}

func showAll(t *testing.T, s situations.Situation) shown {
	t.Helper()
	base := admintest.Serve(t, s)
	found := shown{map[string]string{}, map[string]int{}}
	for _, command := range []string{"status", "routes -o wide", "services -o wide", "services shop", "sources -o wide", "doctor shop", "explain http://shop.example/"} {
		code, stdout, stderr := runAt(t, []string{"FAIRWAY_ADMIN=" + base}, strings.Fields(command)...)
		found.text[command], found.code[command] = stdout+stderr, code
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/", "/services", "/services/shop@docker", "/routes", "/v1/status", "/v1/routes", "/v1/services", "/metrics"} {
		answer, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		found.text[path], found.code[path] = string(body), answer.StatusCode
		if !strings.HasPrefix(path, "/v1") {
			found.text[path] = html.UnescapeString(string(body))
		}
	}
	return found
}

// TestTruth: in each situation every place says the same, with the reason and what to do;
// and none calls healthy what is not.
func TestTruth(t *testing.T) {
	for _, s := range situations.All() {
		t.Run(s.Name, func(t *testing.T) {
			found := showAll(t, s)
			says := func(where string, parts ...string) {
				t.Helper()
				for _, part := range parts {
					if !strings.Contains(found.text[where], part) {
						t.Errorf("%s does not say %q:\n%s", where, part, found.text[where])
					}
				}
			}
			exits := func(command string, want int) {
				t.Helper()
				if found.code[command] != want {
					t.Errorf("%s ends with %d, want %d:\n%s", command, found.code[command], want, found.text[command])
				}
			}
			says("/metrics", fmt.Sprintf("fairway_condition{state=%q} 1\n", s.Whole))
			says("/v1/status", fmt.Sprintf(`"state":%q`, s.Whole))
			says("status", string(s.Whole)+": ")
			exits("status", map[bool]int{true: exitOK, false: exitNo}[s.Whole == condition.Healthy])
			if s.Route != "" {
				says("/metrics", fmt.Sprintf("fairway_conditions{kind=\"route\",state=%q} 1\n", s.Route))
				says("/v1/routes", fmt.Sprintf(`"state":%q`, s.Route))
				says("routes -o wide", string(s.Route))
				says("/routes", string(s.Route))
			}
			if s.Service != "" {
				says("/metrics", fmt.Sprintf("fairway_conditions{kind=\"service\",state=%q} 1\n", s.Service))
				says("/v1/services", fmt.Sprintf(`"state":%q`, s.Service))
				says("services -o wide", string(s.Service))
				says("services shop", string(s.Service))
				says("/services", string(s.Service))
				says("/services/shop@docker", string(s.Service))
			}
			if !s.Whole.Wrong() {
				return
			}
			// A service that is well says nothing of what is wrong elsewhere, but lists do.
			where := []string{"status", "routes -o wide", "services -o wide", "/", "/services", "/routes", "/v1/status", "/v1/routes", "/v1/services"}
			if s.Service != condition.Healthy {
				where = append(where, "services shop", "/services/shop@docker", "doctor shop", "explain http://shop.example/")
			}
			noRoute := []string{"routes -o wide", "/routes", "/v1/routes", "explain http://shop.example/"}
			for _, where := range where {
				if s.Route == "" && s.Service == condition.Refused && slices.Contains(noRoute, where) {
					continue // another has its host
				}
				text := s.Text
				if strings.HasPrefix(where, "/v1") {
					text = strings.Trim(strconv.Quote(text), `"`)
				}
				says(where, text)
			}
			says("status", s.Hint)
			calls := regexp.MustCompile(`(?m)^.*shop.*[^n]healthy.*$`)
			for where, text := range found.text {
				if line := calls.FindString(text); line != "" && s.Route != condition.Healthy && s.Service != condition.Healthy {
					t.Errorf("%s says: %s", where, line)
				}
			}
		})
	}
}
