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
	return HasPrefix(key, LabelPrefix) || HasPrefix(key, FlowLabelPrefix)
}

// HasPrefix reports whether a label begins with a prefix, which is in lower case. Case
// and space around it do not count.
func HasPrefix(key, prefix string) bool {
	key = strings.TrimSpace(key)
	return len(key) >= len(prefix) && strings.EqualFold(key[:len(prefix)], prefix)
}

// HaveLabels reports whether any label begins with a prefix.
func HaveLabels(labels map[string]string, prefix string) bool {
	for key := range labels {
		if HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
