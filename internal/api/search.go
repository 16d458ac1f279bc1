package api

import (
	"context"
	"net/url"
)

// The kinds of what a search finds.
const (
	FoundService  = "service"
	FoundRoute    = "route"
	FoundInstance = "instance"
	FoundNode     = "node"
	FoundDocument = "document" // of the fleet
	FoundEntry    = "entry"    // of the history
)

// Found is something that a search finds.
type Found struct {
	// Kind is one of the Found constants.
	Kind string `json:"kind"`
	// ID is the ID of the service, route, instance or node, the name of the document or
	// the number of the entry.
	ID string `json:"id"`
	// Name is what people call it: of a route its host and path, of an entry its cause.
	Name string `json:"name"`
	// Text says more, such as the image and the node of an instance.
	Text string `json:"text,omitempty"`
	// Service is the ID of the service that a route or an instance belongs to.
	Service string `json:"service,omitempty"`
}

// Search finds what has all the words, at most limit; zero means 20, and 100 is the most.
func (c *Client) Search(ctx context.Context, words string, limit int) (List[Found], error) {
	return list[Found](ctx, c, "/v1/search", url.Values{"q": text(words), "limit": given(limit)})
}

// Label is a label that Fairway reads.
type Label struct {
	// Name is the whole label of a service's unnamed route; behind a dot at its end
	// stands the name of a header.
	Name string `json:"name"`
	// Value says what its value looks like, and Meaning what it does, with code between
	// backquotes.
	Value   string `json:"value"`
	Meaning string `json:"meaning"`
	Example string `json:"example"`
}

// Labels lists the labels that Fairway reads, in the order of docs/labels.md.
func (c *Client) Labels(ctx context.Context) (List[Label], error) {
	return list[Label](ctx, c, "/v1/labels", nil)
}
