// Package nearest finds the word that a mistyped one most likely stands for: the
// hint in errors about labels, configuration keys and files.
package nearest

import "strings"

// Word returns the candidate that word was most likely meant to be, in any
// case, or nothing when none is near: up to two edits away, three for long words.
// Of equally near ones the first is returned.
func Word(word string, candidates []string) string {
	best, bestDistance := "", 3
	if len(word) > 10 {
		bestDistance = 4
	}
	word = strings.ToLower(word)
	for _, c := range candidates {
		if d := len(c) - len(word); d >= bestDistance || -d >= bestDistance {
			continue
		}
		if d := Distance(word, strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if bestDistance*2 > len(word) {
		return "" // so short that anything would be near
	}
	return best
}

// Distance counts the insertions, removals, replacements and swaps of
// neighbouring bytes that lead from a to b.
func Distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

// Host is Word for host names, which are often written without their end: "shop" for
// shop.example.com.
func Host(name string, candidates []string) string {
	if found := Word(name, candidates); found != "" {
		return found
	}
	for _, c := range candidates {
		if label, _, more := strings.Cut(c, "."); more && Word(name, []string{label}) != "" {
			return c
		}
	}
	return ""
}
