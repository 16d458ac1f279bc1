package haproxy_test

import (
	"regexp"
	"slices"
	"strings"
)

// wireRule is a difference between the engines that is documented.
type wireRule struct {
	// suite is the case of the behaviour suite that shows it, which the page on this
	// engine lists with its reason.
	suite string
	// tags are the peculiarities that it is about; none: every one.
	tags []string
	// covers says whether it is the difference between these outcomes.
	covers func(own, other outcome) bool
	// same brings what an endpoint saw into the form that both engines agree on.
	same func(saw string) string
}

// noTrailers is what an endpoint saw without trailers.
func noTrailers(saw string) string {
	before, _, _ := strings.Cut(saw, "\ntrailer ")
	return before
}

// endsBefore says that the engine has ended the connection where the other one has
// gone on to answer the probe, and that all is the same but for that.
func (o outcome) endsBefore(other outcome) bool {
	return slices.Equal(o.saw, other.saw) && slices.Equal(append(slices.Clone(o.answers), "probe"), other.answers)
}

// oldVersion is what an endpoint saw as if it had come in HTTP/1.1.
func oldVersion(saw string) string {
	return noHost.ReplaceAllString(strings.Replace(saw, " HTTP/1.0\n", " HTTP/1.1\n", 1), "")
}

// noHost is the field of a request that names no host: nothing, or the endpoint.
var noHost = regexp.MustCompile(`(?m)^host: (127\.0\.0\.1:\d+)?\n`)

// wireRules are all the differences that there are.
func wireRules() []wireRule {
	return []wireRule{
		{suite: "data/wire-refusals", covers: func(own, other outcome) bool { return own.refused() && other.refused() }},
		{
			suite:  "data/wire-lines-lenient",
			tags:   []string{"blanks", "front", "line-end"},
			covers: takenHere,
		},
		{
			suite:  "data/wire-hosts-lenient",
			tags:   []string{"equal-hosts"},
			covers: takenHere,
		},
		{
			suite:  "data/wire-lengths-lenient",
			tags:   []string{"equal-lengths", "length-and-chunks"},
			covers: takenHere,
		},
		{
			suite:  "data/wire-expect-lenient",
			tags:   []string{"other-expect"},
			covers: takenHere,
		},
		{
			suite:  "data/wire-chunks-lenient",
			tags:   []string{"chunk", "chunk-extension", "chunk-lf", "chunk-blank"},
			covers: takenHere,
		},
		{
			suite: "stream/trailers of requests",
			tags:  []string{"trailer", "bad-trailer"},
			covers: func(own, other outcome) bool {
				return takenHere(own, other) || takenThere(own, other) || own.with(noTrailers).endsBefore(other.with(noTrailers))
			},
			same: noTrailers,
		},
		{suite: "data/wire-large", tags: []string{"large"}, covers: takenThere},
		{suite: "data/wire-beyond-ascii", tags: []string{"target-8bit"}, covers: takenThere},
		{
			suite: "data/guard-target-other", tags: []string{"target-absolute", "target-other"},
			covers: func(own, other outcome) bool { return takenHere(own, other) || takenThere(own, other) },
			same:   func(saw string) string { return strings.ReplaceAll(saw, "a.example:80\n", "a.example\n") },
		},
		{
			suite: "data/wire-old-version", tags: []string{"version"},
			covers: func(own, other outcome) bool {
				return takenThere(own, other) || other.with(oldVersion).endsBefore(own.with(oldVersion))
			},
			same: oldVersion,
		},
		{
			suite: "data/wire-fields-lenient", tags: []string{"field"}, covers: takenHere,
			same: func(saw string) string { return strings.Join(strings.Fields(saw), " ") },
		},
		{suite: "match/what is no name in letters of the world", tags: []string{"host"}, covers: takenHere},
	}
}

// refused says that no endpoint saw anything of the case.
func (o outcome) refused() bool {
	return len(o.saw) == 0 && !slices.ContainsFunc(o.answers, func(a string) bool { return strings.HasPrefix(a, "2") })
}

// served says that one endpoint saw one request, and that it was answered.
func (o outcome) served() bool {
	return len(o.saw) == 1 && len(o.answers) > 0 && o.answers[0] == "200"
}

// takenHere says that HAProxy serves what the embedded engine refuses, takenThere the
// other way round.
func takenHere(own, other outcome) bool  { return own.refused() && other.served() }
func takenThere(own, other outcome) bool { return own.served() && other.refused() }

// explained returns the documented differences that explain why a case has come out
// differently; ok is false where something is left that they do not explain. used are the suite cases of those
// that were needed.
func explained(c wireCase, own, other outcome) (used []string, ok bool) {
	for _, r := range wireRules() {
		if !r.about(c) {
			continue
		}
		if r.covers != nil && r.covers(own, other) {
			return append(used, r.suite), true
		}
		if r.same == nil {
			continue
		}
		before := own.String() == other.String()
		own, other = own.with(r.same), other.with(r.same)
		if !before {
			used = append(used, r.suite)
		}
		if own.String() == other.String() {
			return used, true
		}
	}
	return used, own.String() == other.String()
}

func (r *wireRule) about(c wireCase) bool {
	return len(r.tags) == 0 || slices.ContainsFunc(c.tags, func(tag string) bool { return slices.Contains(r.tags, tag) })
}

// with is the outcome with what endpoints saw in another form.
func (o outcome) with(form func(string) string) outcome {
	saw := make([]string, len(o.saw))
	for i, s := range o.saw {
		saw[i] = form(s)
	}
	return outcome{o.answers, saw}
}
