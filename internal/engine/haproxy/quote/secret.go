package quote

import "strings"

// SecretBegin and SecretEnd are marks: values that are secret by their place stand between
// them until the text is whole, so that it can be shown without them. No value has the marks
// in it: what is quoted has control characters written out, and lines that people write lose
// them.
const SecretBegin, SecretEnd = "\x02", "\x03"

var withoutMarks = strings.NewReplacer(SecretBegin, "", SecretEnd, "")

// Secret marks words.
func Secret(words string) string { return SecretBegin + withoutMarks.Replace(words) + SecretEnd }

// SecretLine marks all of a line that people wrote but its first word.
func SecretLine(line string) string {
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return withoutMarks.Replace(line)
	}
	return withoutMarks.Replace(line[:end]) + " " + Secret(line[end+1:])
}

// SecretQuery is the path of a check as one word, with its query marked as secret.
func SecretQuery(path string) string {
	word := Word(path)
	path, query, ok := strings.Cut(word, "?")
	if !ok {
		return word
	}
	return path + "?" + Secret(strings.TrimSuffix(query, `"`)) + `"`
}

// Plain is the text as HAProxy gets it.
func Plain(marked string) string { return withoutMarks.Replace(marked) }

// Masked is the text as people may see it, with a mask in the place of what is secret.
func Masked(marked, mask string) string {
	var b strings.Builder
	for {
		front, rest, ok := strings.Cut(marked, SecretBegin)
		b.WriteString(front)
		if !ok {
			return b.String()
		}
		b.WriteString(mask)
		_, marked, _ = strings.Cut(rest, SecretEnd)
	}
}
