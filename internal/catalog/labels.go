package catalog

import "strings"

// The labels that mean something to Fairway.
const (
	// LabelPrefix begins Fairway's own labels, in any case.
	LabelPrefix = "fairway."
	// FlowLabelPrefix begins the labels of Docker Flow.
	FlowLabelPrefix = "com.df."
	// ServiceLabel is the label by which instances name their service.
	ServiceLabel = LabelPrefix + "service"
)

// IsLabel reports whether a label means something to Fairway. Case and space
// around it do not count.
func IsLabel(key string) bool {
	key = strings.ToLower(strings.TrimSpace(key))
	return strings.HasPrefix(key, LabelPrefix) || strings.HasPrefix(key, FlowLabelPrefix)
}
