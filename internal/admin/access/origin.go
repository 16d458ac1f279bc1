package access

import (
	"net/http"
	"slices"
	"strings"

	"fairway/internal/api"
)

// SameOrigin refuses what a browser asks on behalf of another page, whatever the method.
// Pages of the same site are strangers too: services of others have sister names.
func SameOrigin(r *http.Request) *api.Error {
	if !slices.Contains([]string{"", "none", "same-origin"}, r.Header.Get("Sec-Fetch-Site")) {
		return api.Errorf(http.StatusForbidden, "refused: the request was made by a page of another origin; type the address instead")
	}
	// Browsers without Sec-Fetch-Site send Origin with what scripts could read.
	origin := r.Header.Get("Origin")
	if _, host, _ := strings.Cut(origin, "://"); origin != "" && host != r.Host {
		return api.Errorf(http.StatusForbidden, "refused: the request was made by a page of another origin")
	}
	return nil
}
