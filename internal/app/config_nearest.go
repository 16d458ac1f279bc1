package app

// nearest returns the candidate that word was most likely meant to be, or
// nothing when none is near: at most two edits away, or three for long words.
// Of equally near ones the first in the alphabet is returned.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 3
	if len(word) > 10 {
		bestDistance = 4
	}
	for _, c := range candidates {
		d := editDistance(word, c)
		if d < bestDistance || d == bestDistance && best != "" && c < best {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance counts the insertions, removals and replacements of bytes that
// lead from a to b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
