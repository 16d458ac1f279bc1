package haproxy_test

import (
	"testing"

	"fairway/internal/engine/enginetest/hostile"
)

// hostileOtherwise is what clients get of HAProxy 2.6 where an endpoint misbehaves in a way
// that the embedded engine refuses. In none of them is its connection used again.
var hostileOtherwise = map[string]string{
	// It takes these for what they are meant to be, and sends on what has one reading.
	"HTTP/3.0":                              "200",
	"an empty line in front":                "200",
	"lines that end without CR":             "200",
	"the same length twice":                 "200",
	"a list of lengths":                     "200",
	"a field that goes on in the next line": "200",
	"chunks in HTTP/1.0":                    "200",
	"chunks with 204":                       "204",
	// It may have sent nothing of the answer yet.
	"a size of a chunk that is none":      "502|200 cut",
	"a size of a chunk beyond all":        "502|200 cut",
	"a chunk that is longer than it says": "502|200 cut",
	"endless trailers":                    "502|200 cut",
	"early hints for ever":                "endless",
	"an endless extension of a chunk":     "late",
	"small chunks with large extensions":  "late",
}

// TestH2Spec: HTTP/2 is what RFC 9113 says.
func TestH2Spec(t *testing.T) {
	need(t)
	hostile.H2Spec(t, startEngine(t).(candid))
}

// TestHostileEndpoints: an endpoint that misbehaves harms itself alone.
func TestHostileEndpoints(t *testing.T) {
	need(t)
	hostile.Run(t, startEngine(t).(candid), hostileOtherwise)
}
